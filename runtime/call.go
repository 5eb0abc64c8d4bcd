package runtime

import (
	"context"
	"encoding/json"
	"slices"
	"unsafe"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/wire"
)

// AnyCall is a call of a task, whatever its result type: the common part of
// every [Call]. It is four words, which generated code passes in registers.
type AnyCall struct {
	_    [0]func() // not to be compared: the comparison would be compiled for each type of result
	def  *wire.Definition
	args string   // the payload, which nobody changes
	rest *andMore // nil if there is neither an error nor an option
}

// andMore is the part that few calls have.
type andMore struct {
	err  error // of encoding the arguments
	opts []Option
}

// newCall returns the call with a payload, which nobody may change any more.
func newCall(d *wire.Definition, payload json.RawMessage, err error, opts []Option) AnyCall {
	c := AnyCall{def: d, args: unsafe.String(unsafe.SliceData(payload), len(payload))}
	if err != nil || len(opts) > 0 {
		c.rest = &andMore{err, opts}
	}
	return c
}

func (c AnyCall) more() andMore {
	if c.rest == nil {
		return andMore{}
	}
	return *c.rest
}

// Name returns the task's name, empty for the zero value.
func (c AnyCall) Name() string {
	if c.def == nil {
		return ""
	}
	return c.def.Name
}

// Args returns the encoded arguments: one JSON object keyed by parameter name.
// The caller must not change it.
func (c AnyCall) Args() json.RawMessage {
	if c.args == "" {
		return nil
	}
	return unsafe.Slice(unsafe.StringData(c.args), len(c.args))
}

// With returns the call with further options.
func (c AnyCall) With(opts ...Option) AnyCall {
	m := c.more()
	m.opts = slices.Concat(m.opts, opts)
	c.rest = &m
	return c
}

// String returns the task's name and its arguments, without the redacted ones.
func (c AnyCall) String() string {
	if c.def == nil {
		return "no call"
	}
	args := redactedArgs(&engine.Message{Args: c.Args()}, c.def.Derive().Redact)
	if err := c.more().err; err != nil {
		return c.def.Name + " " + err.Error()
	}
	return c.def.Name + " " + string(args)
}

// GoString is String: a call is safe to print in every way.
func (c AnyCall) GoString() string { return c.String() }

// Plain returns a call without its options.
func Plain(c Caller) AnyCall {
	plain := c.anyCall()
	if err := plain.more().err; err != nil {
		plain.rest = &andMore{err: err}
	} else {
		plain.rest = nil
	}
	return plain
}

// Call is a call of a task as a value: its arguments, encoded when it was
// made, and its options. It can be enqueued more than once; each time makes a
// new task.
//
// It has few methods, since all are compiled again for each type of result. The
// others, which do not depend on it, are its AnyCall's.
type Call[R any] struct{ AnyCall AnyCall }

// With returns the call with further options.
func With[R any](c Call[R], opts ...Option) Call[R] { return Call[R]{c.AnyCall.With(opts...)} }

func (c Call[R]) anyCall() AnyCall { return c.AnyCall }

// Enqueue enqueues the call and returns the handle of the task. With an error
// nothing was enqueued, unless it is an [*engine.UncertainError]: then the
// store's answer was lost, perhaps because ctx ended. Ask [App.Lookup] for its
// id.
//
// It is compiled once for each type of result, and not into each caller.
//
//go:noinline
func (c Call[R]) Enqueue(ctx context.Context, q Enqueuer) (*Handle[R], error) {
	h, err := enqueue(ctx, q, c.AnyCall)
	return (*Handle[R])(h), err
}
