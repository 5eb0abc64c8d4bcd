package runtime

import (
	"context"
	"fmt"

	"github.com/taskctx/taskctx/runtime/internal/link"
)

// contextReg is how to build one context type.
type contextReg struct {
	build any // func(*Context) (C, error)
	needs []link.Need
}

func (a *App) registerContext(t link.Type, build any, needs []link.Need) {
	defer a.warnLate("RegisterContext", t.String())
	a.mu.Lock()
	defer a.mu.Unlock()
	a.contexts[t] = contextReg{build, needs}
}

// constructor returns the function that builds a context type C for a run, a
// func(*Context) (C, error).
func (a *App) constructor(context link.Type) (any, error) {
	switch context {
	case contextType:
		return buildPlain, nil
	case handleType:
		return buildHandle, nil
	}
	a.mu.Lock()
	reg, ok := a.contexts[context]
	a.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("context type %s is not registered: call the RegisterTasks of its package", context)
	}
	return reg.build, nil
}

func buildPlain(ctx *Context) (context.Context, error) { return ctx, nil }

func buildHandle(ctx *Context) (*Context, error) { return ctx, nil }

// buildContext builds the registered context type C within a run.
func buildContext[C any](ctx context.Context) (C, error) {
	c, build, err := builderOf(ctx, link.TypeOf((*C)(nil)))
	if err != nil {
		return *new(C), err
	}
	return build.(func(*Context) (C, error))(c)
}

// builderOf returns how to build a registered context type, with the task's
// context.
func builderOf(ctx context.Context, t link.Type) (c *Context, build any, err error) {
	c, ok := FromContext(ctx)
	if !ok {
		return nil, nil, fmt.Errorf("build %s: %w", t, ErrNoTask)
	}
	build, err = c.run.app.constructor(t)
	return c, build, err
}
