package runtime

import (
	"context"
	"time"
)

// saveEvery is how often a run writes its progress to the engine at most.
const saveEvery = time.Second

// Progress says how far the task has come. It is shown on the task's record: at
// most once a second while the task runs, and the last one when it ends.
// Outside a task it does nothing.
func (c *Context) Progress(done, total int64, note string) {
	r := c.runOrNil()
	if r == nil || r.ended.Load() {
		return
	}
	p := Progress{Done: done, Total: total, Note: clip(r.redactor().clean(note), MaxReason), At: time.Now().UTC()}
	x := r.more()
	x.mu.Lock()
	x.note().progress = &p
	save := p.At.Sub(x.saved) >= saveEvery
	if save {
		x.saved = p.At
	}
	x.mu.Unlock()
	r.app.observe(Event{Kind: EventProgress, run: r, Progress: p})
	if save {
		// The outcome carries it in any case: an error here loses nothing.
		_ = r.saveNotes(context.WithoutCancel(c))
	}
}

// saveNotes writes what the run has noted so far.
func (r *run) saveNotes(ctx context.Context) error {
	x := r.more()
	x.saving.Lock() // one at a time: a later one must not be overwritten
	defer x.saving.Unlock()
	if r.ended.Load() {
		return ErrTaskDone
	}
	return r.d.Memo.SaveMemo(ctx, r.encodeMemo(x))
}
