package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// registration is a registered task, whatever its types.
type registration interface {
	info() *spec
	contextType() reflect.Type
	resolve(app *App) error  // finds the constructor of the context type
	newExecution() execution // one for each run
	detached() registration  // a copy for one start of the app
}

// execution is one run with its decoded arguments.
type execution interface {
	base() *run
	decode(args json.RawMessage) error
	call(ctx *Context) error
}

// handler is a registered task with its types.
type handler[C, A, R any] struct {
	task  *Task[A, R]
	fn    func(C, *A) (R, error)
	build func(*Context) (C, error)
}

func (h *handler[C, A, R]) info() *spec               { return h.task.spec }
func (h *handler[C, A, R]) contextType() reflect.Type { return reflect.TypeFor[C]() }

func (h *handler[C, A, R]) resolve(app *App) (err error) {
	h.build, err = constructor[C](app)
	return err
}

func (h *handler[C, A, R]) detached() registration { c := *h; return &c }

func (h *handler[C, A, R]) newExecution() execution { return &typedRun[C, A, R]{h: h} }

// typedRun is a run and its arguments in one allocation.
type typedRun[C, A, R any] struct {
	run  run
	h    *handler[C, A, R]
	args A
}

func (t *typedRun[C, A, R]) base() *run { return &t.run }

func (t *typedRun[C, A, R]) decode(args json.RawMessage) error {
	return decodeFields(args, &t.args, t.h.task.fields, t.h.task.spec.Params)
}

// call builds the context, calls the function and encodes its result, before
// any cleanup commits anything: what cannot be encoded is not committed.
func (t *typedRun[C, A, R]) call(handle *Context) error {
	ctx, err := t.h.build(handle)
	if err != nil {
		return fmt.Errorf("build %s: %w", reflect.TypeFor[C](), err)
	}
	result, err := t.h.fn(ctx, &t.args)
	if err != nil {
		return t.run.trigger(err, func(raw json.RawMessage) error {
			_, err := decodeResult[R](raw)
			return err
		})
	}
	raw, err := encodeResult(result)
	if err != nil {
		return Permanent(fmt.Errorf("encode %w", err)) // it says that it is the result's
	}
	return t.run.setResult(raw)
}

// setResult makes raw the result of the task, unless it is too large.
func (r *run) setResult(raw json.RawMessage) error {
	if err := r.app.checkSize(raw); err != nil {
		return Permanent(fmt.Errorf("encode result: %w", err))
	}
	r.result = raw
	return nil
}

var errCalledTwice = errors.New("middleware called the task twice")

// constructor returns how to build C for a run.
func constructor[C any](app *App) (func(*Context) (C, error), error) {
	var direct any
	switch reflect.TypeFor[C]() {
	case contextType:
		direct = buildPlain
	case handleType:
		direct = buildHandle
	default:
		app.mu.Lock()
		reg, ok := app.contexts[reflect.TypeFor[C]()]
		app.mu.Unlock()
		if !ok {
			return nil, fmt.Errorf("context type %s is not registered: call the RegisterTasks of its package",
				reflect.TypeFor[C]())
		}
		direct = reg.build
	}
	return direct.(func(*Context) (C, error)), nil
}
