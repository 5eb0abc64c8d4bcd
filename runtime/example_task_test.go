package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
)

// Code at any depth finds the task from the context that it gets, and works
// without a task as well.
func ExampleFromContext() {
	charge := func(ctx context.Context) {
		task, ok := runtime.FromContext(ctx)
		fmt.Println(ok, task.Metadata().Name, task.Metadata().Tags.Len())
	}
	runAsTask(func(ctx *runtime.Context) error {
		derived, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		charge(derived)
		return nil
	})
	charge(context.Background())
	// Output:
	// true billing.ChargeCard 0
	// false  0
}

// connectionKey has one value for each worker, closed when the worker stops.
var connectionKey = runtime.NewKey("connection", runtime.PerWorker, func(c string) error {
	fmt.Println("close", c)
	return nil
})

func ExampleStored() {
	charge := newUnit[int, string]("billing.ChargeCard") // generated, in a program
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{Workers: 1})
	charge.handle(app, func(ctx *runtime.Context, _ int) (string, error) {
		return runtime.Stored(ctx, connectionKey, func(context.Context) (string, error) {
			fmt.Println("open")
			return "connection 1", nil
		})
	})
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	for range 2 {
		h, err := charge.call(0).Enqueue(ctx, app)
		if err != nil {
			panic(err)
		}
		fmt.Println(h.Wait(ctx))
	}
	stopApp(app)
	// Output:
	// open
	// connection 1 <nil>
	// connection 1 <nil>
	// close connection 1
}

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

// A sleep ends early, with the cause, when the task must end.
func ExampleContext_Sleep() {
	runAsTask(func(ctx *runtime.Context) error {
		short, cancel := context.WithTimeoutCause(ctx, time.Millisecond, errors.New("the shop closes"))
		defer cancel()
		fmt.Println(ctx.With(short).Sleep(time.Hour))
		return nil
	})
	// Output: the shop closes
}

// A task's progress is on its record, for everybody to see.
func ExampleContext_Progress() {
	runAsTask(func(ctx *runtime.Context) error {
		ctx.Progress(3, 10, "charging")
		rec, err := ctx.Reload()
		if err != nil {
			return err
		}
		fmt.Println(rec.State, rec.Progress.Done, rec.Progress.Total, rec.Progress.Note)
		return nil
	})
	// Output: running 3 10 charging
}
