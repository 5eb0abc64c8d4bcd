package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/taskctx/taskctx/runtime/wire"
)

// registration is a registered task.
type registration struct {
	def     *definition
	args    reflect.Type // a struct, whose pointer is Arguments
	context reflect.Type // of the task's first parameter
	call    func(r *run, ctx *Context) error

	// build, made when the app starts, makes a context: it is a func(*Context)
	// (C, error). alloc makes a run with its arguments.
	build any
	alloc func() (*run, wire.Arguments)
}

// start returns a copy for one start of the app, with build and alloc.
func (reg *registration) start(app *App) (*registration, error) {
	c := *reg
	var err error
	if c.build, err = app.constructor(reg.context); err != nil {
		return nil, err
	}
	if c.alloc == nil {
		c.alloc = allocFor(reg.args)
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
func callTask[C, R any](r *run, ctx *Context) error {
	c, err := r.reg.build.(func(*Context) (C, error))(ctx)
	if err != nil {
		return r.unbuilt(err)
	}
	result, err := r.args.(Runnable[C, R]).Run(c)
	if err != nil {
		return r.trigger(err, readable[R])
	}
	return r.setResult(wire.EncodeResult(result))
}

func (r *run) unbuilt(err error) error { return fmt.Errorf("build %s: %w", r.reg.context, err) }

// setResult makes raw the result of the task, unless it could not be encoded
// or is too large.
func (r *run) setResult(raw json.RawMessage, err error) error {
	if err != nil {
		return Permanent(fmt.Errorf("encode %w", err)) // the text names the result
	}
	raw, err = r.app.sealResult(r.msg, raw)
	if err == nil {
		err = r.app.checkSize(raw)
	}
	if err != nil {
		return Permanent(fmt.Errorf("encode result: %w", err))
	}
	r.result = raw
	return nil
}

var errCalledTwice = errors.New("middleware called the task twice")

// constructor returns the function that builds a context type C for a run, a
// func(*Context) (C, error).
func (a *App) constructor(context reflect.Type) (any, error) {
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

// readable reports whether raw can be read as a result.
func readable[R any](raw json.RawMessage) error {
	_, err := wire.DecodeResult[R](raw)
	return err
}
