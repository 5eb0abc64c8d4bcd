package runtime

import (
	"context"
	"fmt"
	"maps"

	"github.com/taskctx/taskctx/runtime/internal/link"
)

// Supply gives the app a value of type T, for context fields and providers of
// that type. The last one given before the start wins, so that a test can put
// a fake in place.
func Supply[T any](app *App, v T) { app.supply(link.TypeOf((*T)(nil)), v) }

func (a *App) supply(t link.Type, v any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.supplies[t] = v
	a.frozen.Store(maps.Clone(a.supplies))
}

// Supplied returns the T that was supplied to the app of the running task;
// outside a task, to the default app.
func Supplied[T any](ctx context.Context) (T, bool) {
	return suppliedTo[T](AppFrom(ctx))
}

// Require is Supplied with an error that shows the missing call of [Supply].
func Require[T any](ctx context.Context) (T, error) {
	v, ok := Supplied[T](ctx)
	if !ok {
		return v, notSupplied(link.TypeOf((*T)(nil)))
	}
	return v, nil
}

func suppliedTo[T any](app *App) (v T, ok bool) {
	a, ok := app.supplied(link.TypeOf((*T)(nil)))
	v, _ = a.(T) // a nil interface value stays the zero T
	return v, ok
}

func (a *App) supplied(t link.Type) (v any, ok bool) {
	if a == nil {
		return nil, false
	}
	supplies, _ := a.frozen.Load().(map[link.Type]any)
	v, ok = supplies[t]
	return v, ok
}

func notSupplied(t link.Type) error {
	return fmt.Errorf("nothing supplies %s: call %s before the app starts", t, link.SupplyCall(t))
}

// AppFrom returns the app that runs the task of ctx; outside a task, the app
// set with [SetDefault], or nil.
func AppFrom(ctx context.Context) *App {
	if r := current(ctx); r != nil {
		return r.app
	}
	return defaultApp.Load()
}

var (
	contextType = link.TypeOf((*context.Context)(nil))
	handleType  = link.TypeOf((**Context)(nil))
)
