package runtime_test

import (
	"context"
	"fmt"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/memory"
)

// A propagator carries a value of the enqueuer's context to the task's.
func ExamplePropagator() {
	charge := newUnit[int, string]("billing.ChargeCard") // generated, in a program
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{Propagators: []hook.Propagator{carry{}}})
	charge.handle(app, func(ctx *runtime.Context, _ int) (string, error) {
		return fmt.Sprint("for ", ctx.Value(ctxKey{})), nil
	})
	ctx := context.WithValue(context.Background(), ctxKey{}, "u-7")
	if err := app.Start(context.Background()); err != nil {
		panic(err)
	}
	defer stopApp(app)
	h, err := charge.call(0).Enqueue(ctx, app)
	if err != nil {
		panic(err)
	}
	fmt.Println(h.Wait(ctx))
	// Output: for u-7 <nil>
}
