package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/taskctx/taskctx/runtime"
)

// delivery is one run of a task.
type delivery struct {
	runtime.Delivery
	s       *serve
	job     int64
	attempt int16 // River's count, the fence of what the run writes

	mu   sync.Mutex
	memo json.RawMessage // guarded by mu: as last read or written
}

// LoadMemo implements [runtime.Memo]. Nobody else writes the memo while the
// task runs, so it need not be read again.
func (d *delivery) LoadMemo(context.Context) (json.RawMessage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append(json.RawMessage(nil), d.memo...), nil
}

// SaveMemo implements [runtime.Memo].
func (d *delivery) SaveMemo(ctx context.Context, memo json.RawMessage) error {
	own, err := json.Marshal(memoPatch(memo))
	if err != nil {
		return fmt.Errorf("save memo: %w", err)
	}
	tag, err := d.s.e.pool.Exec(ctx, d.s.e.sql.saveMemo, d.s.owner, d.job, d.attempt, string(own))
	if err != nil {
		return d.s.e.failed("save memo", err)
	}
	if tag.RowsAffected() == 0 {
		return runtime.ErrLeaseLost
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.memo = append(json.RawMessage(nil), memo...)
	return nil
}

// start runs a delivery on a goroutine of its own, which a handler may end.
func (s *serve) start(d *delivery) {
	go func() {
		o := new(outcome)
		o.d = d
		defer s.finish(o)
		if run := s.w.RunInline; run != nil {
			run(s.runs, &d.Delivery, &o.Outcome)
		} else {
			o.Outcome = s.w.Run(s.runs, &d.Delivery)
		}
	}()
}

// finish takes what became of a run.
func (s *serve) finish(o *outcome) {
	s.mu.Lock()
	delete(s.active, o.d)
	late := s.abandoned
	if !late {
		s.outcomes = append(s.outcomes, o)
	}
	s.mu.Unlock()
	if late {
		s.refuse(o)
		return
	}
	signal(s.ready)
}

func (s *serve) refuse(o *outcome) {
	if s.w.Refused != nil {
		s.w.Refused(&o.d.Delivery, o.Outcome)
	}
}
