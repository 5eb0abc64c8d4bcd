// Package glue is what generated code calls to give its tasks and context types to
// an App. Who writes tasks needs none of it, but for a task that is described by hand.
package glue

import (
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/internal/link"
	"github.com/taskctx/taskctx/runtime/wire"
)

// RunGoGenerateIfUndefinedV5 ties generated code to its version of the
// runtime: every generated file names the constant of its version, and a
// runtime that generated code must not use any more no longer declares it.
//
// V5 is of code that calls this package.
const RunGoGenerateIfUndefinedV5 = true

// Runnable are the arguments of one task, which call its function with a context
// of type C: context.Context, [*runtime.Context], or a type given to
// [RegisterContext].
type Runnable[C any] interface {
	Run(C, *runtime.Result) error
}

// RegisterTask adds a task to the app, by its arguments. Only their type
// counts, a pointer to a struct, so args may be nil. Generated code calls it,
// before the app starts. needs is what the task asks of the app beside its
// context; App.Start checks it.
//
// It is compiled once for each context type, and not for each task.
//
//go:noinline
func RegisterTask[C any](app *runtime.App, d *wire.Definition, args Runnable[C], needs ...Need) {
	app.Link(&link.Task{
		Def: d, Args: link.TypeOf(args), Context: link.TypeOf((*C)(nil)), Call: callTask[C], Needs: links(needs),
	})
}

// callTask is a link.Task's Call.
func callTask[C any](build, args any, ctx *runtime.Context, result *runtime.Result) (built bool, err error) {
	c, err := build.(func(*runtime.Context) (C, error))(ctx)
	if err != nil {
		return false, err
	}
	return true, args.(Runnable[C]).Run(c, result)
}

// Entry is a task for [RegisterTasks], with its arguments as for [RegisterTask].
type Entry[C any] struct {
	Task *wire.Definition
	Args Runnable[C]
}

// RegisterTasks is RegisterTask for each of the tasks, which take contexts of one
// type: a table of them is data, and is compiled in less time than a call for each.
func RegisterTasks[C any](app *runtime.App, tasks []Entry[C]) {
	for _, t := range tasks {
		RegisterTask(app, t.Task, t.Args)
	}
}

// RegisterClient tells the app of a task that other processes run, by its arguments,
// a pointer to a struct that may be nil: [runtime.App.CallOf] makes calls of it,
// [runtime.App.Tasks] lists it, and what it redacts is left out of its records.
// Generated code of a client calls it.
func RegisterClient(app *runtime.App, d *wire.Definition, args any) {
	app.Link(&link.Task{Def: d, Args: link.TypeOf(args)})
}

// RegisterContext gives the app a function that builds the context type C for
// a run. The last registration of a type before the start wins, so that a test
// can replace it. needs are the requirements of build; App.Start checks them.
func RegisterContext[C any](app *runtime.App, build func(*runtime.Context) (C, error), needs ...Need) {
	app.LinkContext(link.TypeOf((*C)(nil)), build, links(needs))
}

// Need is a requirement of a context type, for App.Start to check.
type Need struct{ need link.Need }

func links(needs []Need) []link.Need {
	var ls []link.Need
	for _, n := range needs {
		ls = append(ls, n.need)
	}
	return ls
}

// NeedSupply is the need of a value given with [runtime.Supply].
func NeedSupply[T any]() Need { return Need{link.Need{Supply: link.TypeOf((*T)(nil))}} }

// NeedContext is the need of a registered context type.
func NeedContext[C any]() Need { return Need{link.Need{Context: link.TypeOf((*C)(nil))}} }

// NeedProvider is the need of a provider's value, which is kept under the key; needs
// are what the provider is called with. The app can fill it: it is for those who look
// at [runtime.App.Contexts].
func NeedProvider[T any](k *runtime.Key[T], needs ...Need) Need {
	return Need{link.Need{Provider: &link.Provider{
		Name: k.String(), Type: link.TypeOf((*T)(nil)), Scope: k.Scope().String(), Needs: links(needs),
	}}}
}

// CloseFunc turns the cleanup of a provider into the form that
// [runtime.Key.Provide] takes. A nil cleanup stays nil.
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
