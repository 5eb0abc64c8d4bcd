package runtime

import (
	"reflect"
	"strings"
	"sync/atomic"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/wire"
)

// Definition is a task as generated code declares it, with a result of type R,
// or [Void]. It is plain data: a package of tasks runs no code when its
// program starts. It refers to no function, so that a task may enqueue itself.
// It must not be copied.
type Definition[R any] definition

// definition is a Definition, whatever the type of its result.
type definition struct {
	Spec
	wire  atomic.Pointer[wireSpec] // made when something first needs it
	known atomic.Uint64            // the last start of an app that looked for the task
}

// wireSpec is the part of a Spec that goes into messages, derived once.
type wireSpec struct {
	queue     string
	signature string
	redact    []string
}

// derive returns the task's part in messages.
func (d *definition) derive() *wireSpec {
	if w := d.wire.Load(); w != nil {
		return w
	}
	w := &wireSpec{queue: d.Queue, signature: d.signature()}
	if w.queue == "" {
		w.queue = engine.DefaultQueue
	}
	for _, p := range d.Params {
		if p.Redact {
			w.redact = append(w.redact, p.Name)
		}
	}
	d.wire.Store(w)
	return w
}

// signature identifies a version of the task: the names and fingerprints of
// its parameters, in order.
func (d *definition) signature() string {
	var b strings.Builder
	for i, p := range d.Params {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(p.Name)
		b.WriteByte(':')
		b.WriteString(p.Sig)
	}
	return b.String()
}

// NewCall returns the call of the task with the arguments listed to args. An
// argument that cannot be encoded is an error when the call is enqueued.
func NewCall[R any](d *Definition[R], args *wire.Fields, opts []Option) Call[R] {
	return Call[R]{newCall((*definition)(d), args, opts)}
}

//go:noinline
func newCall(d *definition, args *wire.Fields, opts []Option) AnyCall {
	payload, err := args.Payload()
	if err != nil {
		err = d.hideSecrets(err)
	}
	return AnyCall{def: d, args: payload, err: err, opts: opts}
}

// Runnable are arguments that call their task's function with a context of type
// C: context.Context, [*Context], or a type given to [RegisterContext].
type Runnable[C, R any] interface {
	wire.Arguments
	Run(C) (R, error)
}

// RegisterTask adds a task to the app, by its arguments. Only their type
// counts, a pointer to a struct, so args may be nil. Generated code calls it,
// before the app starts.
//
// It is compiled once for each context type with each type of result, and not
// for each task.
//
//go:noinline
func RegisterTask[C, R any](app *App, d *Definition[R], args Runnable[C, R]) {
	app.register(&registration{
		def: (*definition)(d), args: reflect.TypeOf(args).Elem(), context: reflect.TypeFor[C](), call: callTask[C, R],
	})
}

// allocFor returns how to make a run together with arguments of a type.
func allocFor(args reflect.Type) func() (*run, wire.Arguments) {
	layout := reflect.StructOf([]reflect.StructField{
		{Name: "Run", Type: reflect.TypeFor[run]()},
		{Name: "Args", Type: args},
	})
	return func() (*run, wire.Arguments) {
		v := reflect.New(layout).Elem()
		return v.Field(0).Addr().Interface().(*run), v.Field(1).Addr().Interface().(wire.Arguments)
	}
}
