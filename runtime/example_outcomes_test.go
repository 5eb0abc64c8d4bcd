package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
)

// What a task returns says what becomes of it.
func ExampleCancelled() {
	errBusy := errors.New("server is busy")
	outcomes := map[string]error{
		"cancel":    runtime.Cancelled("order was withdrawn"), // no retry, and not a failure
		"permanent": runtime.Permanent(errBusy),               // a failure, without a retry
		"later":     runtime.RetryAfter(time.Millisecond, errBusy),
		"snooze":    runtime.Snooze(time.Millisecond), // again, without using a retry
		"error":     errBusy,
	}
	charge := newUnit[string, int]("billing.ChargeCard", retries(1))
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{Logger: discard})
	runs := runtime.NewShared("runs", func() map[string]int { return map[string]int{} })
	charge.handle(app, func(ctx *runtime.Context, how string) (n int, err error) {
		if err := runs.Update(ctx, func(m *map[string]int) error { (*m)[how]++; n = (*m)[how]; return nil }); err != nil {
			return 0, err
		}
		if n == 1 || how == "error" {
			return 0, outcomes[how]
		}
		return n, nil
	})
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	defer stopApp(app)
	for _, how := range []string{"cancel", "permanent", "later", "snooze", "error"} {
		h, err := charge.call(how).Enqueue(ctx, app)
		if err != nil {
			panic(err)
		}
		_, _ = h.Wait(ctx)
		rec, err := h.Record(ctx)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s: %s after %d retries: %q\n", how, rec.State, rec.Attempt, rec.Reason)
	}
	// Output:
	// cancel: cancelled after 0 retries: "order was withdrawn"
	// permanent: failed after 0 retries: "server is busy"
	// later: succeeded after 1 retries: ""
	// snooze: succeeded after 0 retries: ""
	// error: failed after 1 retries: "server is busy"
}
