package runtime

import (
	"encoding/json"
	"fmt"

	"github.com/taskctx/taskctx/runtime/wire"
)

// Result takes the results of a task's function, a value and an error, and
// gives the error of the task. Generated code calls one of its methods, once,
// if the task has a result; otherwise it returns the function's error.
type Result run

// Void is the result of a task without one.
type Void = wire.Void

// Plain takes a result of a basic type or a time, by a pointer to it: what was
// generated before there were methods for each type calls it.
func (o *Result) Plain(p any, err error) error {
	if err != nil {
		return o.failed(err, p)
	}
	return o.succeeded(wire.EncodePlain(p))
}

// JSON takes a result of any type, by a pointer to it.
func (o *Result) JSON(p any, err error) error {
	if err != nil {
		return o.failed(err, p)
	}
	return o.succeeded(wire.EncodeResult(p))
}

// of returns the error of the task, whose function returned err if the result
// was not taken.
func (o *Result) of(err error) error {
	switch {
	case o.flags.taken:
		return err
	case err != nil:
		return o.failed(err, (*Void)(nil))
	}
	return o.succeeded(nil, nil)
}

// failed asks the hooks about the error of a task, whose result is of the type
// that p points to.
func (o *Result) failed(err error, p any) error {
	o.flags.taken = true
	return (*run)(o).trigger(err, p)
}

// succeeded makes raw the result of the task, unless it could not be encoded or
// is too large.
func (o *Result) succeeded(raw json.RawMessage, err error) error {
	o.flags.taken = true
	if err != nil {
		return Permanent(fmt.Errorf("encode %w", err)) // it says that it is the result's
	}
	raw, err = o.app.sealResult(o.msg, raw)
	if err == nil {
		err = o.app.checkSize(raw)
	}
	if err != nil {
		return Permanent(fmt.Errorf("encode result: %w", err))
	}
	o.result = raw
	return nil
}
