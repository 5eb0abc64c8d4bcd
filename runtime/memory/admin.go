package memory

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.NowRunner = (*Engine)(nil)

// found is a task in either place: t, or in the archive.
type found struct {
	t *task
	r *packed
	c *chunk
}

// find returns the task, with the lock held. It does not find a task whose
// time to be kept is over.
func (e *Engine) find(id uuid.UUID, now time.Time) (found, error) {
	if e.closed {
		return found{}, engine.ErrClosed
	}
	at := stamp(now.UnixNano())
	if t := e.tasks.get(id); t != nil && !t.overKept(at) {
		return found{t: t}, nil
	}
	if r, c := e.past.get(id); r != nil && !e.overKeptPast(r, at) {
		return found{r: r, c: c}, nil
	}
	return found{}, engine.ErrNotFound
}

func (e *Engine) entry(f found, now time.Time) *engine.Entry {
	if f.t != nil {
		return f.t.entry(now)
	}
	return e.past.entry(f.r, f.c, false)
}

// Get implements [engine.Engine].
func (e *Engine) Get(_ context.Context, id uuid.UUID) (*engine.Entry, error) {
	e.lock()
	defer e.unlock()
	now := e.now()
	f, err := e.find(id, now)
	if err != nil {
		return nil, err
	}
	return e.entry(f, now), nil
}

// Wait implements [engine.Waiter].
func (e *Engine) Wait(ctx context.Context, id uuid.UUID) (*engine.Entry, error) {
	e.lock()
	f, err := e.find(id, e.now())
	for err == nil && f.t != nil && !f.t.state.final() {
		done := f.t.ended()
		e.unlock()
		select {
		case <-done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		e.lock()
		if !f.t.state.final() { // run again already, deleted, or closed
			f, err = e.find(id, e.now())
		}
	}
	defer e.unlock()
	if err != nil {
		return nil, err
	}
	return e.entry(f, e.now()), nil
}

// ended returns a channel that is closed when the task ends or is forgotten.
func (t *task) ended() <-chan struct{} {
	m := t.extra()
	if m.done == nil {
		m.done = make(chan struct{})
	}
	return m.done
}

// Cancel implements [engine.Engine].
func (e *Engine) Cancel(_ context.Context, id uuid.UUID, reason string) error {
	e.lock()
	now := e.now()
	f, err := e.find(id, now)
	var stop *run
	if f.t != nil {
		stop = e.cancelTask(f.t, reason, now)
	}
	e.unlock()
	if stop != nil {
		stop.Stop(engine.CancelCause(reason))
	}
	return err
}

// Retry implements [engine.Engine]. It is [engine.ErrQueueFull] when there is
// no room for one more task.
func (e *Engine) Retry(_ context.Context, id uuid.UUID) error {
	e.lock()
	defer e.unlock()
	now := e.now()
	f, err := e.find(id, now)
	if err != nil {
		return err
	}
	t := f.t
	switch {
	case t == nil || t.state != failed && t.state != cancelled:
		return fmt.Errorf("%w: it is %s", engine.ErrState, e.entry(f, now).State)
	case !e.reserve(1):
		return engine.ErrQueueFull
	}
	if h := e.takeAgain(t, now); h != nil {
		e.leave(1)
		return fmt.Errorf("%w: its key is held by task %s", engine.ErrState, h.id)
	}
	e.unlist(t)
	if t.remembers() {
		e.kept.remove(t.more.journal)
		e.forgetFailed(t.more.journal, now)
	}
	t.state, t.due = waiting, now
	t.more.ended, t.more.result, t.more.cancelled = noTime, nil, false
	e.seq++
	t.more.turn = e.seq
	e.queue(t, true, now)
	return nil
}

// RunNow implements [engine.NowRunner].
func (e *Engine) RunNow(_ context.Context, id uuid.UUID) error {
	e.lock()
	defer e.unlock()
	now := e.now()
	f, err := e.find(id, now)
	if err != nil {
		return err
	}
	t := f.t
	switch {
	case t == nil || t.state != waiting && t.state != retrying:
		return fmt.Errorf("%w: it is %s", engine.ErrState, e.entry(f, now).State)
	case t.place == inLater:
		e.dequeue(t)
		t.due = now
		e.queue(t, true, now)
	case t.place == inGate && t.more.gate.Ordered && t.due.After(now):
		t.due = now // such a gate goes by turns
	}
	return nil
}

// Delete implements [engine.Engine].
func (e *Engine) Delete(_ context.Context, id uuid.UUID) error {
	e.lock()
	defer e.unlock()
	f, err := e.find(id, e.now())
	if err != nil {
		return err
	}
	t := f.t
	switch {
	case t == nil:
		e.past.forget(f.r)
	case t.state == running:
		return engine.ErrRunning
	case t.state.final():
		e.forgetEnded(t)
	default:
		e.unqueue(t)
		e.leaveGates(t, true)
		if t.holds {
			e.letGo(t, t.state, true)
		}
		e.gone(t)
		e.forget(t)
		t.wake()
		e.leave(1)
		if t.msg.Meta.Entry != "" {
			e.tellDeleted(t, e.now())
		}
	}
	return nil
}

// unqueue takes a waiting or suspended task out of its place of waiting. The
// task then counts as live.
func (e *Engine) unqueue(t *task) {
	if t.state == suspended {
		e.unsuspend(t)
		return
	}
	e.dequeue(t)
}

// cancelTask ends a waiting task as cancelled. For a running task that was not
// cancelled before it returns the run, which the caller stops once the lock is
// free.
func (e *Engine) cancelTask(t *task, reason string, now time.Time) *run {
	switch {
	case t.state.final():
	case t.state == running:
		if m := t.extra(); !m.cancelled {
			m.cancelled, m.why = true, reason
			return t.owner
		}
	default:
		e.unqueue(t)
		t.setReason(reason)
		e.end(t, cancelled, now, nil)
	}
	return nil
}
