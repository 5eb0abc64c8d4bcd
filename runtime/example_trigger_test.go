package runtime_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
)

// A hook answers a task's trigger with the result.
func ExampleTrigger() {
	approve := func(_ *runtime.Context, t *runtime.TriggerError) (any, bool, error) {
		fmt.Println("asked about", t.Attrs)
		return "approved", true, nil
	}
	charge := newUnit[int, string]("billing.ChargeCard")
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{OnTrigger: []runtime.TriggerHook{approve}})
	charge.handle(app, func(_ *runtime.Context, cents int) (string, error) {
		if cents > 1000 {
			return "", runtime.Trigger(slog.Int("cents", cents))
		}
		return "charged", nil
	})
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	defer stopApp(app)
	for _, cents := range []int{100, 5000} {
		h, err := charge.call(cents).Enqueue(ctx, app)
		if err != nil {
			panic(err)
		}
		fmt.Println(h.Wait(ctx))
	}
	// Output:
	// charged <nil>
	// asked about [cents=5000]
	// approved <nil>
}
