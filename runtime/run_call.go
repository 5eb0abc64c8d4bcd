package runtime

import (
	"errors"
	"fmt"

	"github.com/taskctx/taskctx/runtime/internal/guard"
)

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
	result := (*Result)(r)
	built, err := r.reg.call(r.reg.build, r.args, ctx, result)
	if !built {
		return fmt.Errorf("build %s: %w", r.reg.context, err)
	}
	return result.of(err)
}
