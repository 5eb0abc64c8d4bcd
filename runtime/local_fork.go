package runtime

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// ForkMode says what a child sees of its parent's local values.
type ForkMode uint8

// The ways to fork.
const (
	// Copy gives the child a copy of the table. Neither sees what the other
	// sets from then on. Values are copied as by assignment, but those with a
	// method Clone, of their own or of a pointer to them, that returns the local's
	// type, by calling it.
	Copy ForkMode = iota
	// Share gives the child its parent's table.
	Share
	// Overlay lets the child see its parent's values, also those set later,
	// and keeps what the child sets or clears to itself.
	Overlay
)

// Fork returns a context for a child: a context with the local values that mode
// says, and otherwise as ctx. Outside of any scope it returns ctx.
func Fork(ctx context.Context, mode ForkMode) context.Context {
	if mode == Share {
		return ctx
	}
	t, err := scopeOf(ctx, mode == Overlay)
	if err != nil {
		return ctx
	}
	child := &locals{run: current(ctx)}
	if mode == Overlay {
		child.parent = t
		return context.WithValue(ctx, localsKey{}, child)
	}
	child.values, child.arrived = t.all()
	for i, e := range child.values {
		if e.v != nil {
			child.values[i].v = e.v.clone()
		}
	}
	return context.WithValue(ctx, localsKey{}, child)
}

// Child is a goroutine started with [Go].
type Child struct {
	done   chan struct{}
	err    error // read after done
	waited atomic.Bool
}

// Wait waits until the child has ended and returns its error: what fn returned,
// a [*PanicError] or [ErrGoexit]. The error is then the caller's to handle.
func (c *Child) Wait() error {
	c.waited.Store(true)
	<-c.done
	return c.err
}

// Done is closed when the child has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Go runs fn in a new goroutine, a child of the task, with a context made by
// [Fork]. The task ends after its children: they are waited for before its
// cleanups run.
//
// A child's error, if nobody calls its Wait, becomes the task's, as if the task
// function had returned it; when that returned an error of its own, the child's
// is only added to its text. A panic or Goexit of a child does not end the
// process: it is such an error, and costs the worker slot its storage like one
// of the task itself.
//
// When the task has ended already, fn does not run and Wait returns
// [ErrTaskDone]. Outside of a task nobody but the caller waits for the child.
func Go(ctx context.Context, mode ForkMode, fn func(ctx context.Context) error) *Child {
	c := &Child{done: make(chan struct{})}
	forked := Fork(ctx, mode)
	r := current(ctx)
	if r != nil && !r.adopt() {
		c.err = ErrTaskDone
		close(c.done)
		return c
	}
	go c.run(forked, r, fn)
	return c
}

func (c *Child) run(ctx context.Context, r *run, fn func(context.Context) error) {
	c.err = ErrGoexit // unless it returns
	broken := true
	defer func() {
		if p := recover(); p != nil {
			c.err = newPanicError(p)
		}
		close(c.done)
		if r != nil {
			r.more().children.leave(c, broken)
		}
	}()
	c.err = fn(ctx)
	broken = false
}

// children are the goroutines that a task started with Go.
type children struct {
	mu     sync.Mutex // guards all below
	n      int
	closed bool          // no more may start
	idle   chan struct{} // closed when n is zero; nil while nobody waits
	failed []*Child      // in the order of their ends
	broken bool          // one panicked or called Goexit
}

// adopt counts a new child, unless the task is over.
func (r *run) adopt() bool {
	c := &r.more().children
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.n == 0 && r.returned.Load() {
		return false
	}
	c.n++
	return true
}

func (c *children) leave(child *Child, broken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n--
	c.broken = c.broken || broken
	if child.err != nil {
		c.failed = append(c.failed, child)
	}
	if c.n == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// wait waits for all children, and lets no more start.
func (c *children) wait() {
	c.mu.Lock()
	for c.n > 0 {
		if c.idle == nil {
			c.idle = make(chan struct{})
		}
		idle := c.idle
		c.mu.Unlock()
		<-idle
		c.mu.Lock()
	}
	c.closed = true
	c.mu.Unlock()
}

// waitChildren waits for the goroutines that the task started, and returns the
// task's error with theirs. No more can start from then on.
func (r *run) waitChildren(err error) error {
	r.returned.Store(true)
	x := r.extra.Load()
	if x == nil { // adopt, if it is called now, sees that the task has returned
		return err
	}
	c := &x.children
	c.wait()
	r.flags.broken = r.flags.broken || c.broken
	failed := c.failed
	c.failed = nil // said once
	for _, child := range failed {
		if child.waited.Load() {
			continue
		}
		if err == nil {
			return child.err
		}
		return fmt.Errorf("%w; then a child: %s", err, message(child.err))
	}
	return err
}
