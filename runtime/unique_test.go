package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

// TestUnique_FreeOnceTheTaskHasFailed: a handle always leads to a task that runs.
//
// Proves: FEATURES 92
func TestUnique_FreeOnceTheTaskHasFailed(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[string, runtime.Void]("test.Charge", func(s *wire.Spec) { s.Unique = 24 * time.Hour })
	u.handle(app, func(*runtime.Context, string) (runtime.Void, error) { return runtime.Void{}, errors.New("declined") })
	start(t, app)
	ctx := t.Context()
	for range 3 {
		h, err := u.call("i-1").Enqueue(ctx, app)
		require.NoError(t, err)
		assert.False(t, h.Existing(), "the task before has failed")
		_, err = h.Wait(ctx)
		require.ErrorContains(t, err, "declined")
		require.NoError(t, app.Delete(ctx, h.ID()))
	}
}

// TestUnique_ActiveAndWaiting: what the directive keys unique=active and
// unique=waiting promise.
//
// Proves: FEATURES 92
func TestUnique_ActiveAndWaiting(t *testing.T) {
	for _, hold := range []engine.KeyHold{engine.HoldActive, engine.HoldWaiting} {
		app := newUnitApp(t, runtime.Config{Workers: 1})
		u := newUnit[string, runtime.Void]("test.Index", func(s *wire.Spec) { s.UniqueHold = hold })
		begun, goOn := make(chan struct{}, 2), make(chan struct{})
		u.handle(app, func(*runtime.Context, string) (runtime.Void, error) {
			begun <- struct{}{}
			<-goOn
			return runtime.Void{}, nil
		})
		ctx := t.Context()
		first, err := u.call("a").Enqueue(ctx, app)
		require.NoError(t, err)
		again, err := u.call("a").Enqueue(ctx, app)
		require.NoError(t, err)
		assert.Equal(t, first.ID(), again.ID(), "the first task waits")
		other, err := u.call("b", runtime.WithDelay(time.Hour)).Enqueue(ctx, app)
		require.NoError(t, err)
		assert.False(t, other.Existing(), "other arguments are another key")
		start(t, app)
		<-begun
		again, err = u.call("a").Enqueue(ctx, app)
		require.NoError(t, err)
		assert.Equal(t, hold == engine.HoldActive, again.Existing(), "the first task runs")
		close(goOn)
		_, err = again.Wait(ctx)
		require.NoError(t, err)
		again, err = u.call("a", runtime.WithDelay(time.Hour)).Enqueue(ctx, app)
		require.NoError(t, err)
		assert.False(t, again.Existing(), "the first task has ended")
	}
}

// TestKeep_OfTheTaskBeatsTheConfig: what the directive keys keep= and
// keepfailed= promise.
//
// Proves: FEATURES 94
func TestKeep_OfTheTaskBeatsTheConfig(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Keep: time.Minute, KeepFailed: 2 * time.Minute})
	for _, own := range []bool{false, true} {
		u := newUnit[string, runtime.Void]("test.Keep", func(s *wire.Spec) {
			if own {
				s.Keep, s.KeepFailed = time.Hour, 3*time.Hour
			}
		})
		m, err := app.Prepare(t.Context(), u.call("a"))
		require.NoError(t, err)
		want := [2]time.Duration{time.Minute, 2 * time.Minute}
		if own {
			want = [2]time.Duration{time.Hour, 3 * time.Hour}
		}
		assert.Equal(t, want, [2]time.Duration{m.Keep, m.KeepFailed})
		m, err = app.Prepare(t.Context(), u.call("a", runtime.WithKeep(time.Second), runtime.WithKeepFailed(2*time.Second)))
		require.NoError(t, err)
		assert.Equal(t, [2]time.Duration{time.Second, 2 * time.Second}, [2]time.Duration{m.Keep, m.KeepFailed})
	}
}

// TestWithKey_LeadsToItsTaskWhateverItsKeep: a parent whose attempt comes long
// after the last one finds the children that it enqueued then.
//
// Proves: FEATURES 92
func TestWithKey_LeadsToItsTaskWhateverItsKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := memory.New(memory.Config{})
		app := runtime.New(engine, runtime.Config{Workers: 2, Keep: time.Second, Logger: discard})
		child := newUnit[string, int]("test.Page")
		child.handle(app, func(_ *runtime.Context, s string) (int, error) { return len(s), nil })
		parent := newUnit[[]string, int]("test.Catalog", retries(3), func(s *wire.Spec) { s.Delay = 20 * time.Second })
		parent.handle(app, func(ctx *runtime.Context, texts []string) (total int, err error) {
			for i, text := range texts {
				key := runtime.WithKey(fmt.Sprintf("%s/%d", ctx.Metadata().TaskID, i), 24*time.Hour)
				h, err := child.call(text, key).Enqueue(ctx, app)
				if err != nil {
					return 0, err
				}
				n, err := h.Wait(context.Background()) // workers remain for it
				if err != nil {
					return 0, fmt.Errorf("existing=%v: %w", h.Existing(), err)
				}
				total += n
			}
			if ctx.Metadata().Attempt == 0 {
				return 0, errors.New("the printer is down")
			}
			return total, nil
		})
		start(t, app)
		n, err := await(t, app, parent.call([]string{"tea", "coffee"}, runtime.WithTimeout(time.Hour)))
		require.NoError(t, app.Stop(context.Background()))
		require.NoError(t, engine.Close())
		require.NoError(t, err)
		assert.Equal(t, 9, n)
	})
}
