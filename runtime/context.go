package runtime

import (
	"context"
	"time"

	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/internal/life"
	"github.com/taskctx/taskctx/runtime/internal/locals"
)

// Context is the context of a running task: a context.Context, and the way to
// all else that a task can ask for. Context types embed it.
//
// It is a small handle, bound to the context.Context it was asked from. All
// methods may be called concurrently, and on nil, where they answer as outside
// of a task. After the task's run has ended, storage and locals answer
// [ErrTaskDone].
type Context struct {
	ctx context.Context // nil: the run's own
	run *run
}

// runKey is the key under which a context's Value finds its *Context.
type runKey struct{}

// FromContext returns the task's context from any context derived from it, at
// any depth and in any goroutine, with the deadline and cancellation of ctx.
// Outside a task it returns nil and false; the methods of a nil Context are safe.
func FromContext(ctx context.Context) (*Context, bool) {
	if ctx == nil {
		return nil, false
	}
	if c, ok := ctx.(*Context); ok {
		return c, c != nil && c.run != nil
	}
	c, ok := ctx.Value(runKey{}).(*Context)
	if !ok || c == nil || c.run == nil {
		return nil, false
	}
	return &Context{ctx: ctx, run: c.run}, true
}

// current returns the run of ctx, nil outside a task.
func current(ctx context.Context) *run {
	if ctx == nil {
		return nil
	}
	if c, ok := ctx.(*Context); ok {
		return c.runOrNil()
	}
	c, _ := ctx.Value(runKey{}).(*Context)
	return c.runOrNil()
}

func (c *Context) runOrNil() *run {
	if c == nil {
		return nil
	}
	return c.run
}

// With returns the handle bound to derived, a context made from this one:
// context.WithTimeout and its like return a plain context.
func (c *Context) With(derived context.Context) *Context {
	return &Context{ctx: derived, run: c.runOrNil()}
}

// base returns the context.Context that the handle is bound to.
func (c *Context) base() context.Context {
	switch {
	case c == nil || c.ctx == nil && c.run == nil:
		return context.Background()
	case c.ctx != nil:
		return c.ctx
	}
	return c.run.life.Context()
}

// Deadline implements context.Context.
func (c *Context) Deadline() (time.Time, bool) {
	if c == nil || c.ctx != nil || c.run == nil {
		return c.base().Deadline()
	}
	return c.run.life.Deadline()
}

// Done implements context.Context.
func (c *Context) Done() <-chan struct{} { return c.base().Done() }

// Err implements context.Context.
func (c *Context) Err() error {
	if c == nil || c.ctx != nil || c.run == nil {
		return c.base().Err()
	}
	return c.run.life.Err()
}

// Value implements context.Context.
func (c *Context) Value(key any) any {
	if c == nil {
		return nil
	}
	if c.run != nil {
		switch key.(type) {
		case runKey:
			return c
		case life.TaskKey:
			return c.run
		case locals.ScopeKey:
			return c.localsValue()
		case branchKey:
			if c.ctx == nil {
				return nil // the task function itself
			}
		}
	}
	if c.ctx != nil || c.run == nil {
		return c.base().Value(key)
	}
	return c.run.life.Value(key)
}

// localsValue returns the scope of local values: the one opened between the
// run's own context and this one, or around a step, or else the run's.
func (c *Context) localsValue() any {
	around := c.ctx
	if around == nil && c.run.outer() != nil {
		around = c.run.life.Parent
	}
	if around != nil {
		if v := around.Value(locals.ScopeKey{}); v != nil {
			return v
		}
	}
	return c.run
}

// Metadata returns a copy of the task's metadata, the zero value outside a task.
func (c *Context) Metadata() inspect.Metadata {
	if r := c.runOrNil(); r != nil {
		return r.metadata()
	}
	return inspect.Metadata{}
}

// App returns the app that runs the task; outside a task, the app set with
// [SetDefault], or nil.
func (c *Context) App() *App {
	if r := c.runOrNil(); r != nil {
		return r.app
	}
	return defaultApp.Load()
}

// Sleep waits for d. It returns early, with the cause, when the context ends.
func (c *Context) Sleep(d time.Duration) error {
	ctx := c.base()
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
