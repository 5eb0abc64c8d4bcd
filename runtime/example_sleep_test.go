package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskctx/taskctx/runtime"
)

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
