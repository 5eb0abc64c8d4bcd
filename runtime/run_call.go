package runtime

import (
	"errors"
	"fmt"

	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// callTask builds the context, calls the function and encodes its result, all
// before any cleanup: a result that cannot be encoded is not committed.
func callTask[C any](r *run, ctx *Context) error {
	c, err := r.reg.build.(func(*Context) (C, error))(ctx)
	if err != nil {
		return r.unbuilt(err)
	}
	o := (*Result)(r)
	return o.of(r.args.(Runnable[C]).Run(c, o))
}

func (r *run) unbuilt(err error) error { return fmt.Errorf("build %s: %w", r.reg.context, err) }

var errCalledTwice = errors.New("middleware called the task twice")

// call is the innermost Handler: the task itself, with the context from the
// middleware.
func call(ctx *Context) error {
	r := ctx.runOrNil()
	if r == nil {
		return ErrNoTask
	}
	return r.execute(ctx)
}

// execute builds the task's context, calls the function, encodes its result,
// and runs the cleanups of task scope, with the task's error. Middleware may
// call it on a goroutine of its own, and return before it does.
func (r *run) execute(ctx *Context) (err error) {
	if !r.task.CompareAndSwap(taskIdle, taskRunning) {
		return errCalledTwice
	}
	err = guard.ErrGoexit
	defer r.leave()
	defer func() {
		if p := recover(); p != nil {
			err = newPanicError(p)
			r.flags.broken = true
		} else if err == guard.ErrGoexit {
			r.flags.broken = true
		}
		err = r.settle(err)
	}()
	if ctx.ctx != nil {
		r.more().bound = ctx
	}
	return r.reg.call(r, ctx)
}
