package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
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

// stuckEngine returns from Serve long after it was told to: its store does not
// answer.
type stuckEngine struct {
	*memory.Engine
	stuck time.Duration
}

func (e stuckEngine) Serve(ctx context.Context, w *engine.Worker) error {
	err := e.Engine.Serve(ctx, w)
	time.Sleep(e.stuck)
	return err
}

// Stop returns by its own bound, whatever the engine does.
//
// Proves: RELIABILITY 25
func TestStop_ReturnsWhenTheEngineDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := runtime.New(stuckEngine{newMemory(t), time.Hour}, runtime.Config{
			Logger: silent, ShutdownTimeout: 2 * time.Second, ShutdownGrace: time.Second,
		})
		start(t, app)
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		require.ErrorIs(t, app.Stop(ctx), runtime.ErrStillStopping)
		assert.LessOrEqual(t, time.Since(began), 3*time.Second)
		require.ErrorIs(t, app.Stop(context.Background()), runtime.ErrStillStopping)
		assert.LessOrEqual(t, time.Since(began), 3*time.Second+6*time.Second)
		require.ErrorIs(t, app.Start(context.Background()), runtime.ErrStarted)
		time.Sleep(time.Hour)
		require.NoError(t, app.Stop(context.Background()))

		ctx, cancel = context.WithCancel(context.Background())
		time.AfterFunc(time.Second, cancel)
		began = time.Now()
		require.ErrorIs(t, app.Run(ctx), runtime.ErrStillStopping)
		assert.LessOrEqual(t, time.Since(began), 7*time.Second)
		time.Sleep(time.Hour)
	})
}

// Tasks that a stop gave up on count among the workers of the next start.
//
// Proves: FEATURES 79
func TestStart_AfterTasksWereLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers = 2
		eng := newMemory(t)
		app := runtime.New(eng, runtime.Config{
			Logger: silent, Workers: workers, ShutdownTimeout: time.Second, ShutdownGrace: time.Second,
		})
		var running, most, ended atomic.Int32
		deaf := make(chan struct{})
		u := newUnit[int, runtime.Void]("test.Deaf")
		u.handle(app, func(_ *runtime.Context, i int) (runtime.Void, error) {
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer running.Add(-1)
			if i < 3 {
				<-deaf
			} else {
				time.Sleep(time.Second)
			}
			ended.Add(1)
			return runtime.Void{}, nil
		})
		ctx := context.Background()
		for i := range 8 {
			_, err := u.call(i).Enqueue(ctx, app)
			require.NoError(t, err)
		}
		for range 3 {
			start(t, app)
			time.Sleep(10 * time.Second)
			var unfinished *engine.UnfinishedError
			if err := app.Stop(ctx); err != nil && !errors.As(err, &unfinished) {
				t.Fatal(err)
			}
		}
		start(t, app)
		time.Sleep(10 * time.Second)
		assert.EqualValues(t, workers, most.Load())
		close(deaf)
		time.Sleep(time.Minute)
		assert.EqualValues(t, workers, most.Load(), "and when they have returned")
		assert.GreaterOrEqual(t, ended.Load(), int32(8))
		require.NoError(t, app.Stop(ctx))
	})
}

// choosy is an engine that honours no priority.
type choosy struct{ *memory.Engine }

func (e choosy) Check(m *engine.Message) error {
	if m.Priority > 0 {
		return fmt.Errorf("priority %d: %w", m.Priority, engine.ErrUnsupported)
	}
	return e.Engine.Check(m)
}

// Proves: FEATURES 40
func TestConfig_SkipUnsupported(t *testing.T) {
	var log safeBuffer
	eng := choosy{newMemory(t)}
	register := func(app *runtime.App) unitTask[int, int] {
		good, bad := newUnit[int, int]("test.Good"), newUnit[int, int]("test.Bad", func(s *wire.Spec) { s.Priority = 1 })
		for _, u := range []unitTask[int, int]{good, bad} {
			u.handle(app, func(_ *runtime.Context, i int) (int, error) { return i, nil })
		}
		return good
	}
	strict := runtime.New(eng, runtime.Config{Logger: discard})
	register(strict)
	require.ErrorIs(t, strict.Start(context.Background()), engine.ErrUnsupported)

	app := runtime.New(eng, runtime.Config{SkipUnsupported: true, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	good := register(app)
	start(t, app)
	got, err := await(t, app, good.call(7))
	require.NoError(t, err)
	assert.Equal(t, 7, got)
	require.NoError(t, app.Stop(context.Background()))
	assert.Contains(t, log.String(), "task=test.Bad")
	assert.Contains(t, log.String(), `msg="worker started" engine=runtime_test queues=[default] tasks=1 workers=10`)
}

// The line of a start names a few of very many queues, and says how many more there are.
func TestStart_LogsAFewOfManyQueues(t *testing.T) {
	var log safeBuffer
	queues := make([]string, 5000)
	for i := range queues {
		queues[i] = fmt.Sprintf("customer-%04d", i)
	}
	app := runtime.New(newMemory(t), runtime.Config{Queues: queues, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	u := newUnit[int, int]("test.Many")
	u.handle(app, func(_ *runtime.Context, i int) (int, error) { return i, nil })
	start(t, app)
	require.NoError(t, app.Stop(context.Background()))
	assert.Contains(t, log.String(), `queues="[customer-0000 `)
	assert.Contains(t, log.String(), ` customer-0019]" more_queues=4980 tasks=1 workers=10`)
	assert.Less(t, len(log.String()), 2000)
}

// decorated hides what its engine can do beside the contract, but for Unwrap.
type decorated struct {
	engine.Engine
	inner *memory.Engine
}

func (d decorated) Unwrap() engine.Engine { return d.inner }

func TestEngineAs_FindsWhatADecoratorHides(t *testing.T) {
	inner := newMemory(t)
	var e engine.Engine = decorated{inner, inner}
	_, ok := e.(engine.Waiter)
	require.False(t, ok)
	w, ok := engine.As[engine.Waiter](e)
	require.True(t, ok)
	assert.Same(t, inner, w)
	_, ok = engine.As[interface{ Nobody() }](e)
	assert.False(t, ok)
}

// A logger that discards everything keeps neither records nor observers from
// what tasks log.
func TestLogger_DiscardedIsKept(t *testing.T) {
	app := newUnitApp(t, runtime.Config{KeepLogs: 5, Logger: slog.New(slog.DiscardHandler)})
	u := newUnit[int, runtime.Void]("test.Quiet")
	u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
		ctx.Logger("").Info("kept")
		ctx.Logger().Debug("not kept")
		return runtime.Void{}, nil
	})
	start(t, app)
	h, err := u.call(0).Enqueue(context.Background(), app)
	require.NoError(t, err)
	_, err = h.Wait(context.Background())
	require.NoError(t, err)
	rec, err := h.Record(context.Background())
	require.NoError(t, err)
	require.Len(t, rec.Logs, 1)
	assert.Equal(t, "kept", rec.Logs[0].Message)
	assert.Equal(t, "test.Quiet", rec.Logs[0].Logger)
}

// Middleware has the last word on the task; the cleanups of task scope go by
// what the task function returned.
//
// Proves: FEATURES 18, 61
func TestMiddleware_DoesNotDecideOverTransactions(t *testing.T) {
	for name, test := range map[string]struct {
		task       error
		middleware func(error) error
		committed  bool
		state      engine.State
	}{
		"forgives":        {errFlaky, func(error) error { return nil }, false, engine.StateSucceeded},
		"fails afterward": {nil, func(error) error { return errFlaky }, true, engine.StateFailed},
	} {
		tx := runtime.NewKey[int]("tx", runtime.PerTask, nil)
		var committed atomic.Bool
		app := newUnitApp(t, runtime.Config{Middleware: []runtime.Middleware{func(next runtime.Handler) runtime.Handler {
			return func(ctx *runtime.Context) error { return test.middleware(next(ctx)) }
		}}})
		u := newUnit[int, runtime.Void]("test.Tx")
		u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
			_, err := tx.Provide(ctx, func(context.Context) (int, func(error) error, error) {
				return 1, func(err error) error { committed.Store(err == nil); return nil }, nil
			})
			return runtime.Void{}, errors.Join(test.task, err)
		})
		start(t, app)
		h, err := u.call(0).Enqueue(context.Background(), app)
		require.NoError(t, err)
		_, _ = h.Wait(context.Background())
		rec, err := h.Record(context.Background())
		require.NoError(t, err)
		assert.Equal(t, test.state, rec.State, name)
		assert.Equal(t, test.committed, committed.Load(), name)
	}
}
