package runtime

import (
	"context"
	"fmt"
	"maps"
)

// Supply gives the app a value of type T, for context fields and providers of
// that type. The last one given before the start wins, so that a test can put
// a fake in place.
func Supply[T any](app *App, v T) { app.supply(typeOf((*T)(nil)), v) }

func (a *App) supply(t goType, v any) {
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

func suppliedTo[T any](app *App) (v T, ok bool) {
	a, ok := app.supplied(typeOf((*T)(nil)))
	v, _ = a.(T) // a nil interface value stays the zero T
	return v, ok
}

func (a *App) supplied(t goType) (v any, ok bool) {
	if a == nil {
		return nil, false
	}
	supplies, _ := a.frozen.Load().(map[goType]any)
	v, ok = supplies[t]
	return v, ok
}

func notSupplied(t goType) error {
	return fmt.Errorf("nothing supplies %s: call %s before the app starts", t, supplyCall(t))
}

func supplyCall(t goType) string { return fmt.Sprintf("runtime.Supply[%s](app, ...)", t) }

// AppFrom returns the app that runs the task of ctx; outside a task, the app
// set with [SetDefault], or nil.
func AppFrom(ctx context.Context) *App {
	if r := current(ctx); r != nil {
		return r.app
	}
	return defaultApp.Load()
}

var (
	contextType = typeOf((*context.Context)(nil))
	handleType  = typeOf((**Context)(nil))
)
