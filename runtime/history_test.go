package runtime_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

// counted is what a history says, by kind.
func counted(t *testing.T, app *runtime.App, q engine.HistoryQuery) map[string]int64 {
	t.Helper()
	ts, err := app.History(t.Context(), q)
	require.NoError(t, err)
	got := make(map[string]int64)
	for _, tally := range ts {
		got[tally.Kind] += tally.Tasks
	}
	return got
}

func TestHistory_CountsWhatBecomesOfTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := runtime.New(memory.New(memory.Config{}), runtime.Config{History: true, Logger: slog.New(slog.DiscardHandler)})
		attempts := 0
		task := glue.NewTask[struct{}, runtime.Void](wire.Spec{Name: "work", Func: "work", Queue: "mail", Retries: 1, Delay: wire.NoDelay}, nil)
		glue.Register(app, task, func(ctx *runtime.Context, _ *struct{}) (runtime.Void, error) {
			time.Sleep(100 * time.Millisecond)
			if attempts++; attempts < 3 {
				return runtime.Void{}, errors.New("no")
			}
			return runtime.Void{}, nil
		})
		require.NoError(t, app.Start(t.Context()))
		for range 3 { // fails, after one retry; succeeds; succeeds
			h, err := task.Call(nil, nil).Enqueue(t.Context(), app)
			require.NoError(t, err)
			_, _ = h.Wait(t.Context())
		}
		want := map[string]int64{
			engine.HistorySucceeded: 2, engine.HistoryFailed: 1, engine.HistoryRetried: 1, "ran.7": 4, "waited.0": 3,
		}
		assert.Empty(t, counted(t, app, engine.HistoryQuery{Step: time.Minute}), "it is handed over once a minute")
		time.Sleep(time.Minute)
		for _, step := range engine.HistorySteps() {
			assert.Equal(t, want, counted(t, app, engine.HistoryQuery{Step: step}), step)
		}
		assert.Equal(t, map[string]int64{engine.HistorySucceeded: 2, engine.HistoryFailed: 1, engine.HistoryRetried: 1},
			counted(t, app, engine.HistoryQuery{Step: time.Hour, Queue: "mail"}))

		_, err := task.Call(nil, nil).Enqueue(t.Context(), app)
		require.NoError(t, err)
		time.Sleep(time.Second)
		require.NoError(t, app.Stop(context.Background()))
		want[engine.HistorySucceeded], want["ran.7"], want["waited.0"] = 3, 5, 4
		assert.Equal(t, want, counted(t, app, engine.HistoryQuery{Step: time.Hour}), "the stop hands over the rest")
	})
}

func TestHistory_IsKeptForAStoreThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &deafHistorian{Engine: memory.New(memory.Config{})}
		e.deaf.Store(true)
		app := runtime.New(e, runtime.Config{History: true, Logger: slog.New(slog.DiscardHandler)})
		task := glue.NewTask[struct{}, runtime.Void](wire.Spec{Name: "work", Func: "work"}, nil)
		glue.Register(app, task, func(*runtime.Context, *struct{}) (runtime.Void, error) { return runtime.Void{}, nil })
		require.NoError(t, app.Start(t.Context()))
		for range 20 {
			_, err := task.Call(nil, nil).Enqueue(t.Context(), app)
			require.NoError(t, err)
			time.Sleep(time.Minute)
		}
		e.deaf.Store(false)
		require.NoError(t, app.Stop(context.Background()))
		ts, err := e.Engine.History(t.Context(), engine.HistoryQuery{Step: time.Minute})
		require.NoError(t, err)
		minutes := 0
		for _, tally := range ts {
			if tally.Kind == engine.HistorySucceeded {
				minutes++
			}
		}
		assert.Equal(t, 15, minutes, "the last minutes are kept, not more")
	})
}

// deafHistorian is an engine whose history cannot be written for a while.
type deafHistorian struct {
	*memory.Engine
	deaf atomic.Bool
}

func (d *deafHistorian) AddHistory(ctx context.Context, ts []engine.Tally) error {
	if d.deaf.Load() {
		return errors.New("no answer")
	}
	return d.Engine.AddHistory(ctx, ts)
}

func TestHistory_NeedsAnEngineThatKeepsOne(t *testing.T) {
	e := struct{ engine.Engine }{memory.New(memory.Config{})}
	app := runtime.New(e, runtime.Config{History: true, Logger: slog.New(slog.DiscardHandler)})
	require.ErrorIs(t, app.Start(t.Context()), runtime.ErrUnsupported)
	_, err := app.History(t.Context(), engine.HistoryQuery{Step: time.Minute})
	require.ErrorIs(t, err, runtime.ErrUnsupported)

	app = runtime.New(e, runtime.Config{History: true, SkipUnsupported: true, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, app.Start(t.Context()))
	require.NoError(t, app.Stop(t.Context()))
}

func TestHistoryTimes(t *testing.T) {
	what, most, ok := engine.HistoryTimes("ran.3")
	assert.Equal(t, "ran", what)
	assert.Equal(t, 8*time.Millisecond, most)
	assert.True(t, ok)
	for _, wrong := range []string{"", "ran", "ran.", "ran.x", "ran.-1", "ran.99", "walked.1", "succeeded"} {
		_, _, ok := engine.HistoryTimes(wrong)
		assert.False(t, ok, wrong)
	}
}
