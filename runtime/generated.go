package runtime

import (
	"context"
	"errors"

	"github.com/taskctx/taskctx/runtime/wire"
)

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

// Entry is a task for [RegisterTasks], with its arguments as for [RegisterTask].
type Entry[C any] struct {
	Task *Definition
	Args Runnable[C]
}

// RegisterTasks is RegisterTask for each of the tasks, which take contexts of one
// type: a table of them is data, and is compiled in less time than a call for each.
func RegisterTasks[C any](app *App, tasks []Entry[C]) {
	for _, t := range tasks {
		RegisterTask(app, t.Task, t.Args)
	}
}

// RegisterClient tells the app of a task that other processes run, by its arguments,
// a pointer to a struct that may be nil: [App.CallOf] makes calls of it,
// [App.Tasks] lists it, and what it redacts is left out of its records. Generated
// code of a client calls it.
func RegisterClient(app *App, d *Definition, args any) {
	app.mu.Lock()
	defer app.mu.Unlock()
	for _, old := range app.clients {
		if old.def == d {
			return
		}
	}
	app.clients = append(app.clients, &registration{def: d, args: typeOf(args)})
}

// Provide is Stored for an open that returns the value's cleanup, for keys of
// every scope. In task scope open gets the task's context, the cleanup gets
// the task's error, and its own error fails the task. Generated code calls it.
func Provide[T any](
	ctx context.Context, k *Key[T], open func(context.Context) (T, func(error) error, error),
) (T, error) {
	return provide(ctx, k, open)
}

// Lazy gives what provide makes for a lazy field of a context type or a lazy
// parameter of a provider: a func() (T, error) whose provider is of task scope and
// runs at the first call. Generated code calls it.
//
// A durable task's own run has no such values, since each suspension would end
// them: its steps do, by the context that they get.
func Lazy[T any](ctx *Context, provide func(*Context) (T, error)) (T, error) {
	if r := current(ctx); r != nil && r.reg.def.Durable && r.outer() == nil {
		var none T
		return none, errLazyInDurable
	}
	return provide(ctx)
}

var errLazyInDurable = Permanent(errors.New("a durable task has no values of task scope outside of its steps: " +
	"call the function in a step, by the context that the step gets"))

// CloseFunc turns the cleanup of a provider into the form that Provide takes.
// A nil cleanup stays nil.
func CloseFunc(f func()) func(error) error {
	if f == nil {
		return nil
	}
	return func(error) error { f(); return nil }
}

// CloseErrFunc is CloseFunc for a cleanup that may fail.
func CloseErrFunc(f func() error) func(error) error {
	if f == nil {
		return nil
	}
	return func(error) error { return f() }
}

// Require is Supplied with an error that shows the missing call of [Supply].
func Require[T any](ctx context.Context) (T, error) {
	v, ok := Supplied[T](ctx)
	if !ok {
		return v, notSupplied(typeOf((*T)(nil)))
	}
	return v, nil
}

// Need is a requirement of a context type, for App.Start to check.
type Need struct {
	supply   goType
	context  goType
	provider *provider
}

// provider is a provider of a context's values, and what it is called with.
type provider struct {
	name  string
	typ   goType
	scope Scope
	needs []Need
}

// NeedSupply is the need of a value given with [Supply].
func NeedSupply[T any]() Need { return Need{supply: typeOf((*T)(nil))} }

// NeedContext is the need of a registered context type.
func NeedContext[C any]() Need { return Need{context: typeOf((*C)(nil))} }

// NeedProvider is the need of a provider's value, which is kept under the key; needs
// are what the provider is called with. The app can fill it: it is for those who look
// at [App.Contexts].
func NeedProvider[T any](k *Key[T], needs ...Need) Need {
	return Need{provider: &provider{name: k.name, typ: typeOf((*T)(nil)), scope: k.scope, needs: needs}}
}

// RegisterContext gives the app a function that builds the context type C for
// a run. The last registration of a type before the start wins, so that a test
// can replace it. needs are the requirements of build; App.Start checks them.
func RegisterContext[C any](app *App, build func(*Context) (C, error), needs ...Need) {
	app.registerContext(typeOf((*C)(nil)), build, needs)
}

// BuildContext builds the registered context type C within a run: for
// constructors of context types that embed C, and for tests. context.Context
// and [*Context] are returned as they are.
func BuildContext[C any](ctx context.Context) (C, error) {
	return buildContext[C](ctx)
}
