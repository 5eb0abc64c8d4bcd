package runtime_test

import (
	"fmt"

	"github.com/taskctx/taskctx/runtime"
)

// Middleware goes around every task: it acts before and after, and sees how the
// task ended.
func ExampleMiddleware() {
	announce := func(next runtime.Handler) runtime.Handler {
		return func(ctx *runtime.Context) error {
			fmt.Println("begin", ctx.Metadata().Name)
			err := next(ctx)
			fmt.Println("end", err)
			return err
		}
	}
	cfg := runtime.Config{Middleware: []runtime.Middleware{announce}}
	runAsTaskOf(cfg, func(*runtime.Context) error {
		fmt.Println("charge")
		return nil
	})
	// Output:
	// begin billing.ChargeCard
	// charge
	// end <nil>
}
