package memory

import (
	"context"
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.Pauser = (*Engine)(nil)

// These mark the lanes in the groups' key that nobody is to serve, since their queue is
// paused, or their name.
const (
	pausedQueue = "queue"
	pausedName  = "name"
)

// Pause implements [engine.Pauser].
func (e *Engine) Pause(_ context.Context, p engine.Pause) error {
	e.lock()
	defer e.unlock()
	if e.closed {
		return engine.ErrClosed
	}
	if !slices.ContainsFunc(e.lanes.paused, p.Same) {
		p.Since = time.Now().UTC()
		e.lanes.paused = append(slices.Clip(e.lanes.paused), p)
		e.workersChanged()
	}
	return nil
}

// Resume implements [engine.Pauser].
func (e *Engine) Resume(_ context.Context, p engine.Pause) error {
	e.lock()
	defer e.unlock()
	if e.closed {
		return engine.ErrClosed
	}
	rest := slices.DeleteFunc(slices.Clone(e.lanes.paused), p.Same)
	if len(rest) < len(e.lanes.paused) {
		e.lanes.paused = rest
		e.workersChanged()
	}
	return nil
}

// Paused implements [engine.Pauser].
func (e *Engine) Paused(context.Context) ([]engine.Pause, error) {
	e.lock()
	defer e.unlock()
	if e.closed {
		return nil, engine.ErrClosed
	}
	return slices.Clone(e.lanes.paused), nil
}
