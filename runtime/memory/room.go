package memory

import (
	"context"
	"fmt"

	"github.com/taskctx/taskctx/runtime/engine"
)

// reserve counts n more tasks as live, if there is room for them and not too
// many are suspended. It needs no lock.
func (e *Engine) reserve(n int) bool {
	return e.suspended.Load() < int64(e.capacity) && e.reserveUpTo(n, e.capacity)
}

// reserveChildren is reserve for the children of a running task. They have as
// much room again, since parents that fill all of it would otherwise never
// end.
func (e *Engine) reserveChildren(n int) bool { return e.reserveUpTo(n, 2*e.capacity) }

func (e *Engine) reserveUpTo(n, most int) bool {
	for {
		live := e.live.Load()
		if live+int64(n) > int64(most) {
			return false
		}
		if e.live.CompareAndSwap(live, live+int64(n)) {
			return true
		}
	}
}

// leave counts n tasks as live no more, and admits inserts that wait for their
// room.
func (e *Engine) leave(n int) {
	e.live.Add(-int64(n))
	e.admitWaiting()
}

// admit reserves room for n more tasks, and waits for it, if it may. It is
// called with the lock held and returns with it.
func (e *Engine) admit(ctx context.Context, n int) error {
	switch {
	case e.closed:
		return engine.ErrClosed
	case len(e.room) == 0 && e.reserve(n):
		return nil
	case !e.wait || n > e.capacity:
		return fmt.Errorf("%d tasks wait or run, at most %d may: %w", e.live.Load(), e.capacity, engine.ErrQueueFull)
	}
	if engine.InTask(ctx) {
		return fmt.Errorf("waiting for room inside a task: %w", engine.ErrQueueFull)
	}
	c := &claim{n: n, ready: make(chan struct{})}
	e.room = append(e.room, c)
	e.crowded.Store(true)
	e.unlock()
	select {
	case <-c.ready:
	case <-ctx.Done():
	}
	e.lockSoon()
	switch {
	case e.closed:
		return engine.ErrClosed
	case c.granted:
		return nil
	}
	e.room.drop(c)
	e.admitWaiting() // it may have blocked a smaller one
	return fmt.Errorf("wait for room: %w", context.Cause(ctx))
}

// claim is an insert that waits for room.
type claim struct {
	n       int
	granted bool
	ready   chan struct{}
}

// roomQueue are the claims in order of arrival.
type roomQueue []*claim

func (q *roomQueue) drop(c *claim) {
	for i, o := range *q {
		if o == c {
			*q = append((*q)[:i], (*q)[i+1:]...)
			return
		}
	}
}

func (q *roomQueue) wakeAll() {
	for _, c := range *q {
		close(c.ready)
	}
	*q = nil
}

// admitWaiting grants the free room to waiting inserts.
func (e *Engine) admitWaiting() {
	if !e.crowded.Load() {
		return
	}
	for len(e.room) > 0 && e.reserve(e.room[0].n) {
		c := e.room[0]
		e.room[0] = nil
		e.room = e.room[1:]
		c.granted = true
		close(c.ready)
	}
	e.crowded.Store(len(e.room) > 0)
}
