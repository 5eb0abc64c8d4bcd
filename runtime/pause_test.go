package runtime_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// TestPause: a paused queue and a paused task wait, and resuming wakes them.
//
// Proves: FEATURES 100
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{Workers: 4})
		var ran atomic.Int32
		u := newUnit[int, runtime.Void]("test.Paused")
		u.handle(app, func(*runtime.Context, int) (runtime.Void, error) { ran.Add(1); return runtime.Void{}, nil })
		start(t, app)
		enqueue := func(opts ...runtime.Option) {
			t.Helper()
			_, err := u.call(1, opts...).Enqueue(t.Context(), app)
			require.NoError(t, err)
			synctest.Wait()
		}
		require.NoError(t, app.Pause(t.Context(), "default"))
		require.NoError(t, app.PauseTask(t.Context(), "test.Paused"))
		enqueue()
		enqueue(runtime.WithDelay(time.Minute))
		enqueue(runtime.WithQueue("other")) // nobody serves it
		time.Sleep(time.Hour)
		assert.Zero(t, ran.Load(), "the queue and the task are paused")
		paused, err := app.Paused(t.Context())
		require.NoError(t, err)
		require.Len(t, paused, 2)
		assert.True(t, paused[0].Same(engine.Pause{Queue: "default"}), "queues go first: %v", paused)
		assert.True(t, paused[1].Same(engine.Pause{Name: "test.Paused"}))
		require.NoError(t, app.Resume(t.Context(), "default"))
		synctest.Wait()
		assert.Zero(t, ran.Load(), "the task is paused")
		require.NoError(t, app.ResumeTask(t.Context(), "test.Paused"))
		synctest.Wait()
		assert.EqualValues(t, 2, ran.Load(), "what waited is run without any time going by")
		enqueue()
		assert.EqualValues(t, 3, ran.Load())
		require.ErrorContains(t, app.Pause(t.Context(), ""), "not a name")
	})
}

// plainEngine has none of the optional interfaces.
type plainEngine struct{ engine.Engine }

func TestPause_Unsupported(t *testing.T) {
	app := runtime.New(plainEngine{}, runtime.Config{Logger: discard})
	err := app.Pause(t.Context(), "exports")
	require.ErrorIs(t, err, runtime.ErrUnsupported)
	assert.ErrorContains(t, err, `pause queue "exports"`)
	_, err = app.Paused(t.Context())
	assert.ErrorIs(t, err, runtime.ErrUnsupported)
}
