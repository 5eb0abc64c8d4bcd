package runtime_test

import (
	"context"
	"fmt"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
)

// Several calls are enqueued as one, all or none, and each has its handle.
func ExampleBatch() {
	charge := newUnit[int, int]("billing.ChargeCard") // generated, in a program
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{})
	charge.handle(app, func(_ *runtime.Context, cents int) (int, error) { return -cents, nil })
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	defer stopApp(app)
	var b runtime.Batch
	first := runtime.AddTo(&b, charge.call(100))
	second := runtime.AddTo(&b, charge.call(200, runtime.WithPriority(3)))
	if err := b.Enqueue(ctx, app); err != nil {
		panic(err)
	}
	fmt.Println(first.Wait(ctx))
	fmt.Println(second.Wait(ctx))
	// Output:
	// -100 <nil>
	// -200 <nil>
}
