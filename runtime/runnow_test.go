package runtime_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/wire"
)

// TestRunNow: a task that waits for its time, or for its next attempt, runs at once
// and as it would have.
func TestRunNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{Workers: 1})
		var attempts []int
		u := newUnit[int, runtime.Void]("test.Later", func(s *wire.Spec) {
			s.Retries, s.Delay = 2, time.Hour
		})
		u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
			if attempts = append(attempts, ctx.Metadata().Attempt); len(attempts) == 1 {
				return runtime.Void{}, errors.New("not yet")
			}
			return runtime.Void{}, nil
		})
		start(t, app)
		began := time.Now()
		h, err := u.call(1, runtime.WithDelay(24*time.Hour)).Enqueue(t.Context(), app)
		require.NoError(t, err)
		for range 2 {
			synctest.Wait()
			require.NoError(t, app.RunNow(t.Context(), h.ID()))
		}
		_, err = h.Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []int{0, 1}, attempts)
		assert.Less(t, time.Since(began), time.Minute)
		err = app.RunNow(t.Context(), h.ID())
		require.ErrorIs(t, err, runtime.ErrState)
		assert.ErrorContains(t, err, "run task "+h.ID().String())
	})
}

func TestRunNow_Unsupported(t *testing.T) {
	app := runtime.New(plainEngine{}, runtime.Config{Logger: discard})
	assert.ErrorIs(t, app.RunNow(t.Context(), [16]byte{1}), runtime.ErrUnsupported)
}
