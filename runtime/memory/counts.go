package memory

import (
	"context"

	"github.com/taskctx/taskctx/runtime"
)

var _ runtime.Counter = (*Engine)(nil)

// Counts implements [runtime.Counter].
func (e *Engine) Counts(context.Context) ([]runtime.Count, error) {
	type place struct {
		queue string
		state runtime.State
	}
	tally := make(map[place]int64)
	e.lock()
	if e.closed {
		e.unlock()
		return nil, runtime.ErrClosed
	}
	now := e.now()
	at := stamp(now.UnixNano())
	for t := range e.tasks.all() {
		if !e.overKept(t, at) {
			tally[place{t.msg.Queue, t.publicState(now)}]++
		}
	}
	for pos := e.past.head; pos < e.past.tail; pos++ {
		if r, _ := e.past.record(pos); !r.dead && !e.overKeptPast(r, at) {
			tally[place{e.past.kinds.all[r.kind].Queue, runtime.StateSucceeded}]++
		}
	}
	e.unlock()
	counts := make([]runtime.Count, 0, len(tally))
	for p, n := range tally {
		counts = append(counts, runtime.Count{Queue: p.queue, State: p.state, Tasks: n})
	}
	return counts, nil
}
