package runtime

import (
	"errors"
	"fmt"

	"github.com/taskctx/taskctx/runtime/wire"
)

// registration is a registered task.
type registration struct {
	def     *Definition
	args    goType // a struct, whose pointer is Runnable; nil of a task described by hand
	context goType // of the task's first parameter
	call    func(r *run, ctx *Context) error
	needs   []Need // of the task itself, as its receiver

	// build, made when the app starts, makes a context: it is a func(*Context)
	// (C, error). alloc makes a run with its arguments.
	build any
	alloc func() (*run, any)
	list  func(args any, f *wire.Fields)
}

// start returns a copy for one start of the app, with build and alloc.
func (reg *registration) start(app *App) (*registration, error) {
	c := *reg
	var err error
	if c.build, err = app.constructor(reg.context); err != nil {
		return nil, err
	}
	if c.alloc == nil {
		if err := c.lay(); err != nil {
			return nil, err
		}
	}
	return &c, nil
}

// newRun makes the run of one delivery, with its arguments.
func (reg *registration) newRun() *run {
	r, args := reg.alloc()
	r.reg, r.args = reg, args
	return r
}

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

// constructor returns the function that builds a context type C for a run, a
// func(*Context) (C, error).
func (a *App) constructor(context goType) (any, error) {
	switch context {
	case contextType:
		return buildPlain, nil
	case handleType:
		return buildHandle, nil
	}
	a.mu.Lock()
	reg, ok := a.contexts[context]
	a.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("context type %s is not registered: call the RegisterTasks of its package", context)
	}
	return reg.build, nil
}
