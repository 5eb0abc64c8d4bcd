package runtime

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
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

// Require is Supplied with an error that shows the missing call of [Supply].
func Require[T any](ctx context.Context) (T, error) {
	v, ok := Supplied[T](ctx)
	if !ok {
		return v, notSupplied(typeOf((*T)(nil)))
	}
	return v, nil
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

// Need is a requirement of a context type, for App.Start to check.
type Need struct {
	supply  goType
	context goType
}

// NeedSupply is the need of a value given with [Supply].
func NeedSupply[T any]() Need { return Need{supply: typeOf((*T)(nil))} }

// NeedContext is the need of a registered context type.
func NeedContext[C any]() Need { return Need{context: typeOf((*C)(nil))} }

var (
	contextType = typeOf((*context.Context)(nil))
	handleType  = typeOf((**Context)(nil))
)

func buildPlain(ctx *Context) (context.Context, error) { return ctx, nil }
func buildHandle(ctx *Context) (*Context, error)       { return ctx, nil }

// buildContext builds the registered context type C within a run.
func buildContext[C any](ctx context.Context) (C, error) {
	c, build, err := builderOf(ctx, typeOf((*C)(nil)))
	if err != nil {
		return *new(C), err
	}
	return build.(func(*Context) (C, error))(c)
}

// missing returns an error for each unmet need of the registered tasks and of
// the context types they use.
func builderOf(ctx context.Context, t goType) (c *Context, build any, err error) {
	c, ok := FromContext(ctx)
	if !ok {
		return nil, nil, fmt.Errorf("build %s: %w", t, ErrNoTask)
	}
	build, err = c.run.app.constructor(t)
	return c, build, err
}

// missing returns an error for each need, of the registered tasks and of the
// context types they use, that the app cannot fill.
func (a *App) missing(tasks map[string]*registration) []error {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := needCheck{app: a, seen: make(map[Need]bool)}
	for _, name := range slices.Sorted(maps.Keys(tasks)) {
		c.context(tasks[name].context, "task "+name)
		c.needs(tasks[name].needs, "task "+name)
	}
	return c.errs
}

type needCheck struct {
	app  *App
	seen map[Need]bool
	errs []error
}

func (c *needCheck) context(t goType, by string) {
	if t == contextType || t == handleType || c.seen[Need{context: t}] {
		return
	}
	c.seen[Need{context: t}] = true
	reg, ok := c.app.contexts[t]
	if !ok {
		c.errs = append(c.errs, fmt.Errorf("context type %s of %s is not registered: call %s.RegisterTasks(app)",
			t, by, packageOf(t)))
		return
	}
	c.needs(reg.needs, t.String())
}

func (c *needCheck) needs(needs []Need, by string) {
	for _, n := range needs {
		if n.context != nil {
			c.context(n.context, by)
		} else {
			c.supply(n, by)
		}
	}
}

func (c *needCheck) supply(n Need, by string) {
	if c.seen[n] {
		return
	}
	c.seen[n] = true
	if _, ok := c.app.supplies[n.supply]; ok {
		return
	}
	err := fmt.Errorf("%s needs a %s: call %s", by, n.supply, supplyCall(n.supply))
	if want := n.supply.(reflect.Type); want.Kind() == reflect.Interface {
		for _, t := range sortedTypes(c.app.supplies) {
			if t.(reflect.Type).Implements(want) {
				err = fmt.Errorf("%w (a %s was supplied as %[2]s, which would do: pass it to that call)", err, t)
				break
			}
		}
	}
	c.errs = append(c.errs, err)
}

func sortedTypes(m map[goType]any) []goType {
	return slices.SortedFunc(maps.Keys(m), func(a, b goType) int {
		return strings.Compare(a.String(), b.String())
	})
}

// packageOf returns the package name in the type's written form.
func packageOf(t goType) string {
	pkg, _, _ := strings.Cut(strings.TrimLeft(t.String(), "*"), ".")
	return pkg
}
