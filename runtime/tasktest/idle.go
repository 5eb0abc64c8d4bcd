package tasktest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// Start starts the app, and stops it when the test ends. It fails the test
// when the app cannot start, or does not stop cleanly.
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
// have enqueued meanwhile. Delays, retries, snoozes and rests it waits out, which in
// a bubble of testing/synctest takes no time:
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
// A durable task that waits for ever, for a signal, is idle. The app must have been
// started, and know all tasks that wait.
func Idle(t testing.TB, app *runtime.App) {
	t.Helper()
	const first = time.Millisecond
	for patience := first; ; {
		open := busy(t, app)
		if len(open) == 0 {
			return
		}
		for _, rec := range open {
			if rec.State == engine.StateWaiting { // until then, or something else wakes it
				patience = max(time.Until(rec.Due), first)
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			_, err := runtime.HandleOf[runtime.Void](app, rec.ID).Wait(ctx)
			cancel()
			var ended *runtime.TaskError // a task's failure is not this function's business
			switch {
			case errors.Is(err, context.DeadlineExceeded):
				patience = min(2*patience, time.Hour)
			case err == nil, errors.As(err, &ended), errors.Is(err, engine.ErrNotFound):
				patience = first
			default:
				t.Fatalf("tasktest: %v", err)
			}
		}
	}
}

// busy returns the tasks that will run without anybody's doing.
func busy(t testing.TB, app *runtime.App) (open []*runtime.Record) {
	t.Helper()
	records, _, err := app.List(context.Background(), engine.Query{States: []engine.State{
		engine.StateScheduled, engine.StatePending, engine.StateRunning, engine.StateRetrying, engine.StateWaiting,
	}})
	if err != nil {
		t.Fatalf("tasktest: %v", err)
	}
	for _, rec := range records {
		if rec.State != engine.StateWaiting || !rec.Due.IsZero() {
			open = append(open, rec)
		}
	}
	return open
}
