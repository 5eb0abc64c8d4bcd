package runtime_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
)

type limiter struct{ of string }

// TestPerProcess_SharedByAppsThatWereSuppliedTheSame: a process has one value,
// however many apps run in it, and each set of fakes has one of its own.
func TestPerProcess_SharedByAppsThatWereSuppliedTheSame(t *testing.T) {
	var opened, closed atomic.Int32
	key := runtime.NewKey[*limiter]("limiter", runtime.PerProcess, func(*limiter) error { closed.Add(1); return nil })
	u := newUnit[int, runtime.Void]("test.Limited")
	values := make(chan *limiter, 1)
	newApp := func(supply func(*runtime.App)) *runtime.App {
		app := runtime.New(newMemory(t, memory.Config{}), runtime.Config{Logger: silent})
		supply(app)
		u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
			l, err := runtime.Stored(ctx, key, func(context.Context) (*limiter, error) {
				opened.Add(1)
				return &limiter{}, nil
			})
			values <- l
			return runtime.Void{}, err
		})
		return app
	}
	run := func(app *runtime.App) *limiter {
		h, err := u.call(0).Enqueue(t.Context(), app)
		require.NoError(t, err)
		_, err = h.Wait(t.Context())
		require.NoError(t, err)
		return <-values
	}
	db := &limiter{"a database"}
	same := func(a *runtime.App) { runtime.Supply(a, db); runtime.Supply(a, map[string]int(nil)) }
	first, second := newApp(same), newApp(same)
	fake := newApp(func(a *runtime.App) { runtime.Supply(a, &limiter{"a fake"}); runtime.Supply(a, map[string]int(nil)) })
	ofFunc := newApp(func(a *runtime.App) { runtime.Supply(a, db); runtime.Supply(a, func() {}) })
	for _, app := range []*runtime.App{first, second, fake, ofFunc} {
		require.NoError(t, app.Start(t.Context()))
	}
	one := run(first)
	assert.Same(t, one, run(second))
	assert.NotSame(t, one, run(fake))
	assert.NotSame(t, one, run(ofFunc))
	assert.EqualValues(t, 3, opened.Load())

	require.NoError(t, first.Stop(t.Context()))
	assert.Zero(t, closed.Load(), "closed while the second app uses it")
	assert.Same(t, one, run(second))
	require.NoError(t, second.Stop(t.Context()))
	assert.EqualValues(t, 1, closed.Load())
	require.NoError(t, fake.Stop(t.Context()))
	require.NoError(t, ofFunc.Stop(t.Context()))
	assert.EqualValues(t, 3, closed.Load())

	require.NoError(t, second.Start(t.Context())) // anew, after all have stopped
	assert.NotSame(t, one, run(second))
	require.NoError(t, second.Stop(t.Context()))
	assert.EqualValues(t, 4, closed.Load())
}
