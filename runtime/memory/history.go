package memory

import (
	"context"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.Historian = (*Engine)(nil)

// tallied is what tells tallies apart.
type tallied struct {
	step        time.Duration
	at          int64 // in seconds
	queue, kind string
}

// AddHistory implements [engine.Historian]. The history is this process's, and
// forgotten with it.
func (e *Engine) AddHistory(_ context.Context, ts []engine.Tally) error {
	fresh, before := engine.FreshTallies(ts, time.Now())
	e.lock()
	defer e.unlock()
	if e.closed {
		return engine.ErrClosed
	}
	if e.history == nil {
		e.history = make(map[tallied]int64)
	}
	for at := range e.history {
		if at.at < before[at.step].Unix() {
			delete(e.history, at)
		}
	}
	for _, t := range fresh {
		e.history[tallied{t.Step, t.At.Unix(), t.Queue, t.Kind}] += t.Tasks
	}
	return nil
}

// History implements [engine.Historian].
func (e *Engine) History(_ context.Context, q engine.HistoryQuery) ([]engine.Tally, error) {
	e.lock()
	defer e.unlock()
	if e.closed {
		return nil, engine.ErrClosed
	}
	var ts []engine.Tally
	for at, n := range e.history {
		t := engine.Tally{Step: at.step, At: time.Unix(at.at, 0).UTC(), Queue: at.queue, Kind: at.kind, Tasks: n}
		if q.Selects(&t) {
			ts = append(ts, t)
		}
	}
	return ts, nil
}
