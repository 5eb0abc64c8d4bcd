package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// The tasks that failed for good are listed, and run once more.
func ExampleApp_List() {
	charge := newUnit[string, int]("billing.ChargeCard") // generated, in a program
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{Logger: discard})
	var renewed atomic.Bool
	charge.handle(app, func(*runtime.Context, string) (int, error) {
		if !renewed.Load() {
			return 0, errors.New("card expired")
		}
		return 1, nil
	})
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	defer stopApp(app)
	h, err := charge.call("c-42", runtime.WithTag("plan", "pro")).Enqueue(ctx, app)
	if err != nil {
		panic(err)
	}
	_, err = h.Wait(ctx)
	fmt.Println(errors.As(err, new(*runtime.TaskError)))

	failed, next, err := app.List(ctx, engine.Query{States: []engine.State{engine.StateFailed}, Tag: "plan"})
	if err != nil {
		panic(err)
	}
	renewed.Store(true)
	for _, rec := range failed {
		fmt.Println(rec.Name, string(rec.Args), rec.Reason, next == "")
		if err := app.Retry(ctx, rec.ID); err != nil {
			panic(err)
		}
	}
	fmt.Println(h.Wait(ctx))
	// Output:
	// true
	// billing.ChargeCard {"v":"c-42"} card expired true
	// 1 <nil>
}
