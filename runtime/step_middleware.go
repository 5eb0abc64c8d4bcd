package runtime

import (
	"encoding/json"
	"errors"
)

// StepHandler runs the function of a step, with the step's context and name.
type StepHandler func(ctx *Context, name string) error

// StepMiddleware goes around the functions of steps that run, not around what is
// remembered. It may act before and after, and change the error, but must call
// next, once, and cannot forgive its error. To put more into the step's context,
// it passes on ctx.With(derived).
type StepMiddleware func(next StepHandler) StepHandler

// Errors of middleware around steps.
var (
	errStepLeft  = Permanent(errors.New("Config.StepMiddleware did not run the step"))
	errStepTwice = Permanent(errors.New("Config.StepMiddleware ran the step twice"))
)

// aroundStep runs the function of a step within the app's middleware.
func (a *App) aroundStep(c *Context, name string, fn func(*Context) (json.RawMessage, error)) (value json.RawMessage, err error) {
	if len(a.cfg.StepMiddleware) == 0 {
		return fn(c)
	}
	ran, own := false, errStepLeft // unless the function runs
	h := StepHandler(func(ctx *Context, _ string) error {
		if ran {
			return errStepTwice
		}
		ran = true
		if ctx == nil || ctx.run != c.run {
			ctx = c
		}
		if ctx.ctx != nil {
			c.run.more().bound = ctx
		}
		value, own = fn(ctx)
		return own
	})
	for i := len(a.cfg.StepMiddleware) - 1; i >= 0; i-- {
		h = a.cfg.StepMiddleware[i](h)
	}
	if err := h(c, name); err != nil {
		return nil, err
	}
	return value, own
}
