package runtime_test

import (
	"context"
	"fmt"
	"time"

	"github.com/taskctx/taskctx/runtime"
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
