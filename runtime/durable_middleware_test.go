package runtime_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
)

type stepKey struct{}

func TestStepMiddleware_GoesAroundStepsThatRun(t *testing.T) {
	var log []string
	layer := func(name string) runtime.StepMiddleware {
		return func(next runtime.StepHandler) runtime.StepHandler {
			return func(ctx *runtime.Context, step string) error {
				log = append(log, name+" "+step)
				err := next(ctx.With(context.WithValue(ctx, stepKey{}, name)), step)
				log = append(log, name+" done")
				return err
			}
		}
	}
	app := newUnitApp(t, runtime.Config{Workers: 1, StepMiddleware: []runtime.StepMiddleware{layer("outer"), layer("inner")}})
	u := newUnit[int, string]("press.Publish", durably, retries(1))
	runs := 0
	u.handle(app, func(ctx *runtime.Context, _ int) (string, error) {
		runs++
		v, err := runtime.Step(ctx, "draft", func(ctx *runtime.Context) (string, error) {
			name, _ := ctx.Value(stepKey{}).(string)
			return name, nil
		})
		if err == nil && runs == 1 {
			err = errors.New("again")
		}
		return v, err
	})
	start(t, app)
	got, err := await(t, app, u.call(0))
	require.NoError(t, err)
	assert.Equal(t, "inner", got)
	assert.Equal(t, []string{"outer draft", "inner draft", "inner done", "outer done"}, log)
}

func TestStepMiddleware_CannotForgive(t *testing.T) {
	for name, c := range map[string]struct {
		layer runtime.StepMiddleware
		want  string
	}{
		"error forgiven": {func(next runtime.StepHandler) runtime.StepHandler {
			return func(ctx *runtime.Context, name string) error { _ = next(ctx, name); return nil }
		}, "step draft: no ink"},
		"error made": {func(next runtime.StepHandler) runtime.StepHandler {
			return func(ctx *runtime.Context, name string) error { _ = next(ctx, name); return errors.New("other") }
		}, "step draft: other"},
		"not called": {func(runtime.StepHandler) runtime.StepHandler {
			return func(*runtime.Context, string) error { return nil }
		}, "did not run the step"},
		"twice": {func(next runtime.StepHandler) runtime.StepHandler {
			return func(ctx *runtime.Context, name string) error { _ = next(ctx, name); return next(ctx, name) }
		}, "ran the step twice"},
		"panic": {func(runtime.StepHandler) runtime.StepHandler {
			return func(*runtime.Context, string) error { panic("bug") }
		}, "panic: bug"},
	} {
		t.Run(name, func(t *testing.T) {
			app := newUnitApp(t, runtime.Config{Workers: 1, StepMiddleware: []runtime.StepMiddleware{c.layer}})
			log := withTx(app)
			u := newUnit[int, int]("press.Publish", durably)
			u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
				return runtime.Step(ctx, "draft", func(ctx *txContext) (int, error) {
					ctx.Tx.insert("draft")
					return 0, errors.New("no ink")
				})
			})
			start(t, app)
			_, err := await(t, app, u.call(0))
			require.ErrorContains(t, err, c.want)
			assert.Empty(t, log.committed())
		})
	}
	err := runtime.New(nil, runtime.Config{StepMiddleware: []runtime.StepMiddleware{nil}}).Start(t.Context())
	require.ErrorContains(t, err, "Config.StepMiddleware[0] is nil")
}

func TestSuspended_TellsASuspensionFromAFailure(t *testing.T) {
	flaky := errors.New("flaky")
	assert.True(t, runtime.Suspended(runtime.ErrSuspended))
	assert.True(t, runtime.Suspended(errors.Join(runtime.ErrSuspended, runtime.ErrSuspended)))
	assert.False(t, runtime.Suspended(nil))
	assert.False(t, runtime.Suspended(flaky))
	assert.False(t, runtime.Suspended(errors.Join(runtime.ErrSuspended, flaky)))
	assert.False(t, runtime.Suspended(errors.Join(runtime.ErrSuspended, &runtime.PanicError{Value: "x"})))
}
