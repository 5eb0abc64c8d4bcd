package runtime_test

import (
	"context"
	"fmt"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
)

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
