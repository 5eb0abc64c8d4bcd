package runtime

import (
	"fmt"
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
type Definition struct {
	Spec
	wire  atomic.Value  // a *wireSpec, made when something first needs it
	known atomic.Uint64 // the start of an app that was last asked for the task
}

// wireSpec is the part of a Spec that goes into messages, derived once.
type wireSpec struct {
	queue     string
	signature string
	redact    []string
}

// derive returns the task's part in messages.
func (d *Definition) derive() *wireSpec {
	if w, _ := d.wire.Load().(*wireSpec); w != nil {
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
func (d *Definition) signature() string {
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
func NewCall(d *Definition, args *wire.Fields, opts []Option) AnyCall {
	payload, err := args.Payload()
	if err != nil {
		err = d.hideSecrets(err)
	}
	return newCall(d, payload, err, opts)
}

// Runnable are the arguments of one task, which call its function with a context
// of type C: context.Context, [*Context], or a type given to [RegisterContext].
type Runnable[C any] interface{ Run(C, *Result) error }

// RegisterTask adds a task to the app, by its arguments. Only their type
// counts, a pointer to a struct, so args may be nil. Generated code calls it,
// before the app starts. needs is what the task asks of the app beside its
// context; App.Start checks it.
//
// It is compiled once for each context type, and not for each task.
//
//go:noinline
func RegisterTask[C any](app *App, d *Definition, args Runnable[C], needs ...Need) {
	app.register(&registration{
		def: d, args: typeOf(args), context: typeOf((*C)(nil)), call: callTask[C], needs: needs,
	})
}

// lay finds out how to make a run together with arguments of the task, and how
// to list these.
func (reg *registration) lay() error {
	args := reg.args.(reflect.Type)
	layout, err := wire.LayoutOf(args, reg.def.Params)
	if err != nil {
		return fmt.Errorf("task %s: %w", reg.def.Name, err)
	}
	both := reflect.StructOf([]reflect.StructField{
		{Name: "Run", Type: reflect.TypeFor[run]()},
		{Name: "Args", Type: args},
	})
	reg.alloc = func() (*run, any) {
		v := reflect.New(both).Elem()
		return v.Field(0).Addr().Interface().(*run), v.Field(1).Addr().Interface()
	}
	reg.list = func(args any, f *wire.Fields) { layout.List(f, reflect.ValueOf(args).UnsafePointer()) }
	return nil
}
