package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/wire"
)

// Proves: FEATURES 61
func TestMiddleware_GoesAroundEveryTask(t *testing.T) {
	errTask, errChanged := errors.New("task failed"), errors.New("changed")
	var steps []string
	around := func(name string) runtime.Middleware {
		return func(next runtime.Handler) runtime.Handler {
			return func(ctx *runtime.Context) error {
				steps = append(steps, fmt.Sprint(name, " before ", ctx.Metadata().Name))
				err := next(ctx)
				steps = append(steps, fmt.Sprint(name, " after ", err))
				if errors.Is(err, errTask) {
					return errChanged
				}
				return err
			}
		}
	}
	cfg := runtime.Config{Middleware: []runtime.Middleware{around("a"), around("b")}}
	app := newUnitApp(t, cfg)
	plain := newUnit[int, int]("test.Plain", retries(1))
	glue.Register(app, plain.task, func(ctx context.Context, _ *unit[int]) (int, error) {
		c, _ := runtime.FromContext(ctx)
		steps = append(steps, fmt.Sprint("plain ", c.Metadata().Attempt))
		if c.Metadata().Attempt == 0 {
			return 0, errFlaky
		}
		return 1, nil
	})
	u := newUnit[bool, int]("test.Unit")
	u.handle(app, func(_ *runtime.Context, fail bool) (int, error) {
		steps = append(steps, "task")
		if fail {
			return 0, errTask
		}
		return 1, nil
	})
	start(t, app)
	if got, err := await(t, app, u.call(false)); got != 1 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
	_, err := await(t, app, u.call(true))
	var failed *runtime.TaskError
	if !errors.As(err, &failed) || failed.Reason != "changed" {
		t.Errorf("the task ends with %v, want what the middleware returned", err)
	}
	if _, err := await(t, app, plain.call(0)); err != nil {
		t.Error(err)
	}
	want := []string{
		"a before test.Unit", "b before test.Unit", "task", "b after <nil>", "a after <nil>",
		"a before test.Unit", "b before test.Unit", "task", "b after task failed", "a after changed",
		"a before test.Plain", "b before test.Plain", "plain 0", "b after flaky", "a after flaky",
		"a before test.Plain", "b before test.Plain", "plain 1", "b after <nil>", "a after <nil>",
	}
	if !slices.Equal(steps, want) {
		t.Errorf("got %q, want %q", steps, want)
	}
}

// What middleware adds to the context reaches the task, its context type, its
// providers and its cleanups, and the task's context is still the task's.
func TestMiddleware_AddsToTheContext(t *testing.T) {
	type reqContext struct{ *runtime.Context }
	key := runtime.NewKey[string]("tx", runtime.PerTask, nil)
	cfg := runtime.Config{Middleware: []runtime.Middleware{func(next runtime.Handler) runtime.Handler {
		return func(ctx *runtime.Context) error {
			derived, cancel := context.WithTimeout(context.WithValue(ctx, ctxKey{}, "added"), time.Hour)
			defer cancel()
			return next(ctx.With(derived))
		}
	}}}
	app := newUnitApp(t, cfg)
	u := newUnit[int, []string]("test.Unit")
	glue.RegisterContext(app, func(ctx *runtime.Context) (*reqContext, error) { return &reqContext{ctx}, nil })
	glue.Register(app, u.task, func(ctx *reqContext, _ *unit[int]) ([]string, error) {
		tx, err := key.Provide(ctx, func(scope context.Context) (string, func(error) error, error) {
			return fmt.Sprint("provider ", scope.Value(ctxKey{})), nil, nil
		})
		_, limited := ctx.Deadline()
		found, ok := runtime.FromContext(context.WithoutCancel(ctx))
		return []string{fmt.Sprint(ctx.Value(ctxKey{})), tx, fmt.Sprint(limited, ok, found.Metadata().Name)}, err
	})
	start(t, app)
	got, err := await(t, app, u.call(0))
	if want := []string{"added", "provider added", "true truetest.Unit"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// Proves: FEATURES 80
func TestRedact(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[string, string]("test.Unit", func(s *wire.Spec) { s.Params[0].Redact = true })
	u.handle(app, func(ctx *runtime.Context, secret string) (string, error) { return ctx.Redact("is " + secret), nil })
	start(t, app)
	if got, err := await(t, app, u.call("canary")); got != "is [redacted]" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	var none *runtime.Context
	if got := none.Redact("is canary"); got != "is canary" {
		t.Errorf("outside a task: %q", got)
	}
}
