package runtime

import (
	"context"
	"encoding/json"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// Rest suspends the durable task for d, counted from the first run that came
// here, under a name. Later runs pass once that time is over.
func Rest(ctx context.Context, name string, d time.Duration) error {
	j, err := durableOf(ctx, "runtime.Rest")
	if err != nil {
		return inEntry("rest", name, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	n, err := j.take(name, engine.EntryTimer)
	if err != nil {
		return inEntry("rest", name, err)
	}
	due, err := j.timer(ctx, n.e, name, d)
	if err != nil {
		return inEntry("rest", name, err)
	}
	if !time.Now().Before(due) {
		return nil
	}
	return j.suspend(ctx, engine.Wait{}, due, "rest "+name)
}

// timer returns when a time of after is over that began when it was first asked
// for. e is the timer's entry, nil if it has none yet. The caller holds d.mu.
func (d *durable) timer(ctx context.Context, e *engine.JournalEntry, name string, after time.Duration) (time.Time, error) {
	if e == nil {
		if err := d.flush(ctx); err != nil {
			return time.Time{}, err
		}
		v, err := json.Marshal(time.Now().Add(after).Round(0).UTC())
		if err != nil { // years beyond 9999
			return time.Time{}, Permanent(err)
		}
		out, err := d.record(ctx, []engine.NewEntry{{Name: name, Kind: engine.EntryTimer, Value: v}})
		if err != nil {
			return time.Time{}, err
		}
		e = &out[0]
	}
	var due time.Time
	if err := json.Unmarshal(e.Value, &due); err != nil {
		return time.Time{}, park("read when %q is over: %s", name, guard.Text(err))
	}
	return due, nil
}
