package runtime_test

import (
	"context"
	"fmt"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
)

// Package runtime/cron has schedules from cron expressions.
func ExampleEvery() {
	cleanup := newUnit[int, runtime.Void]("billing.Cleanup") // generated, in a program
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{})
	cleaned := make(chan string, 1)
	cleanup.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
		cleaned <- ctx.Metadata().Tags.Get(runtime.TagEvery)
		return runtime.Void{}, nil
	})
	// Every full hour, one task however many processes do this; and one at once,
	// if none has run for the last full hour.
	runtime.Every(app, runtime.Interval(time.Hour), cleanup.call(0), runtime.CatchUp())
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	defer stopApp(app)
	fmt.Println(<-cleaned)
	// Output: billing.Cleanup
}
