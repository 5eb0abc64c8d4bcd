package runtime

import (
	"context"
	"errors"

	"github.com/taskctx/taskctx/runtime/internal/link"
	"github.com/taskctx/taskctx/runtime/wire"
)

// This file has what only generated code and the package glue call.

// NewCall returns the call of the task with the arguments listed to args. An
// argument that cannot be encoded is an error when the call is enqueued.
func NewCall(d *wire.Definition, args *wire.Fields, opts []Option) AnyCall {
	payload, err := args.Payload()
	if err != nil {
		err = hideSecrets(d, err)
	}
	return newCall(d, payload, err, opts)
}

// Link adds a task to the app: the package glue calls it.
func (a *App) Link(t *link.Task) {
	r := &registration{def: t.Def, args: t.Args, context: t.Context, needs: t.Needs}
	if t.Call == nil {
		a.registerClient(r)
		return
	}
	r.call = t.Call.(func(build, args any, ctx *Context, result *Result) (built bool, err error))
	if h := t.Hand; h != nil {
		alloc := allocator(h.Args)
		r.alloc = func() (*run, any) {
			made, args := alloc()
			h.Init(args)
			return made, args
		}
		r.list = h.List
	}
	a.register(r)
}

// LinkContext gives the app a function that builds a context type C for a run, a
// func(*Context) (C, error): the package glue calls it.
func (a *App) LinkContext(t link.Type, build any, needs []link.Need) {
	a.registerContext(t, build, needs)
}

// registerClient adds a task that other processes run.
func (a *App) registerClient(r *registration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, old := range a.clients {
		if old.def == r.def {
			return
		}
	}
	a.clients = append(a.clients, r)
}

// BuildContext builds the registered context type C within a run: for
// constructors of context types that embed C, and for tests. context.Context
// and [*Context] are returned as they are.
func BuildContext[C any](ctx context.Context) (C, error) {
	return buildContext[C](ctx)
}

// Scope returns how long the value lives.
func (k *Key[T]) Scope() Scope { return k.scope }

// Provide is [Stored] for an open that returns the value's cleanup, for keys of
// every scope. In task scope open gets the task's context, the cleanup gets
// the task's error, and its own error fails the task. Generated code calls it.
func (k *Key[T]) Provide(
	ctx context.Context, open func(context.Context) (T, func(error) error, error),
) (T, error) {
	return provide(ctx, k, open)
}

// Lazy gives what provide makes for a lazy field of a context type or a lazy
// parameter of a provider: a func() (T, error) whose provider is of task scope and
// runs at the first call. Generated code calls it.
//
// A durable task's own run has no such values, since each suspension would end
// them: its steps do, by the context that they get.
func (k *Key[T]) Lazy(ctx *Context, provide func(*Context) (T, error)) (T, error) {
	if betweenSteps(ctx) {
		var none T
		return none, errLazyInDurable
	}
	return provide(ctx)
}

// betweenSteps reports whether ctx is of a durable task, and of none of its steps.
func betweenSteps(ctx *Context) bool {
	r := current(ctx)
	return r != nil && r.reg.def.Durable && r.outer() == nil
}

var errLazyInDurable = Permanent(errors.New("a durable task has no values of task scope outside of its steps: " +
	"call the function in a step, by the context that the step gets"))
