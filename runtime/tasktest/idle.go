package tasktest

import (
	"context"
	"errors"
	"testing"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// Start starts the app, and stops it when the test ends. It fails the test when
// the app cannot start, or does not stop cleanly.
func Start(t testing.TB, app *runtime.App) {
	t.Helper()
	if err := app.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Stop(context.Background()); err != nil {
			t.Errorf("tasktest: stop: %v", err)
		}
	})
}

// Idle waits until no task of the app waits or runs, those included that tasks
// have enqueued meanwhile. Delays, retries and snoozes it waits out, which in a
// bubble of testing/synctest takes no time:
//
//	synctest.Test(t, func(t *testing.T) {
//		app := runtime.New(memory.New(memory.Config{}), runtime.Config{})
//		billing.RegisterTasks(app)
//		tasktest.Start(t, app)
//		billing.EnqueueChargeCard(t.Context(), app, "c-1", 100, runtime.WithDelay(24*time.Hour))
//		tasktest.Idle(t, app)
//		...
//	})
//
// The app must have been started, and know all tasks that wait.
func Idle(t testing.TB, app *runtime.App) {
	t.Helper()
	ctx := context.Background()
	open := []engine.State{
		engine.StateScheduled, engine.StatePending, engine.StateRunning, engine.StateRetrying,
	}
	for {
		records, _, err := app.List(ctx, engine.Query{States: open})
		if err != nil {
			t.Fatalf("tasktest: %v", err)
		}
		if len(records) == 0 {
			return
		}
		for _, rec := range records {
			_, err := runtime.HandleOf[runtime.Void](app, rec.ID).Wait(ctx)
			var ended *runtime.TaskError // that it failed is not this function's business
			if err != nil && !errors.As(err, &ended) && !errors.Is(err, engine.ErrNotFound) {
				t.Fatalf("tasktest: %v", err)
			}
		}
	}
}
