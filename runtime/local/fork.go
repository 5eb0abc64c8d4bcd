package local

import (
	"context"
	"sync/atomic"

	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/internal/life"
	"github.com/taskctx/taskctx/runtime/internal/locals"
)

// ForkMode says how a child gets its parent's local values.
type ForkMode uint8

// The ways to fork.
const (
	// Copy gives the child a copy of the table. Neither sees later changes of
	// the other. Values are copied by assignment, or by calling Clone if the
	// value or a pointer to it has such a method that returns the local's
	// type.
	Copy ForkMode = iota
	// Share gives the child its parent's table.
	Share
	// Overlay lets the child see its parent's values, later ones too. Values
	// that the child sets or clears stay with the child.
	Overlay
)

// Fork returns a context for a child: ctx with the local values that mode
// gives the child. Outside of any scope it returns ctx.
func Fork(ctx context.Context, mode ForkMode) context.Context {
	if mode == Share {
		return ctx
	}
	t, err := locals.ScopeOf(ctx, mode == Overlay)
	if err != nil {
		return ctx
	}
	child := t.Copy
	if mode == Overlay {
		child = t.Overlay
	}
	return context.WithValue(ctx, locals.ScopeKey{}, child(locals.TaskOf(ctx)))
}

// brancher is implemented by tasks that give each child something of its own.
type brancher interface {
	Branched(ctx context.Context) context.Context
}

// Child is a goroutine started with [Go].
type Child struct {
	done   chan struct{}
	err    error // read after done
	waited atomic.Bool
}

// Wait waits until the child has ended and returns its error: the error of fn,
// a runtime.PanicError or runtime.ErrGoexit. The error is then the caller's to
// handle.
func (c *Child) Wait() error {
	c.waited.Store(true)
	<-c.done
	return c.err
}

// Done is closed when the child has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Go runs fn in a new goroutine, a child of the task, with a context made by
// [Fork]. The task ends after its children: it waits for them before its
// cleanups run.
//
// A child's error becomes the task's unless Wait is called, as if the task
// function had returned it. If the task function returned an error too, the
// child's is only added to its text. A panic or Goexit of a child does not end
// the process: it becomes such an error, and costs the worker slot its
// storage, like one of the task itself.
//
// When the task has ended already, fn does not run and Wait returns
// runtime.ErrTaskDone. Outside of a task only the caller waits for the child.
func Go(ctx context.Context, mode ForkMode, fn func(ctx context.Context) error) *Child {
	c := &Child{done: make(chan struct{})}
	forked := Fork(ctx, mode)
	t := locals.TaskOf(ctx)
	if b, ok := t.(brancher); ok {
		forked = b.Branched(forked)
	}
	if t != nil && !t.Adopt() {
		c.err = life.ErrDone
		close(c.done)
		return c
	}
	go c.run(forked, t, fn)
	return c
}

// Failed returns the child's error once it has ended, and whether Wait was
// called.
func (c *Child) Failed() (err error, waited bool) { return c.err, c.waited.Load() }

func (c *Child) run(ctx context.Context, t locals.Task, fn func(context.Context) error) {
	c.err = guard.ErrGoexit // unless it returns
	broken := true
	defer func() {
		if p := recover(); p != nil {
			c.err = guard.Panicked(p)
		}
		close(c.done)
		if t != nil {
			t.Leave(c, broken)
		}
	}()
	c.err = fn(ctx)
	broken = false
}
