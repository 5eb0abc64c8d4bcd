package runtime_test

import (
	"context"
	"log/slog"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
)

// runAsTask runs fn as the task billing.ChargeCard, to its end.
func runAsTask(fn func(ctx *runtime.Context) error) { runAsTaskOf(runtime.Config{}, fn) }

// runAsTaskOf does so with a configuration.
func runAsTaskOf(cfg runtime.Config, fn func(ctx *runtime.Context) error) {
	u := newUnit[int, runtime.Void]("billing.ChargeCard", retries(1))
	ctx := context.Background()
	app := runtime.New(memory.New(memory.Config{}), cfg)
	u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) { return runtime.Void{}, fn(ctx) })
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	defer stopApp(app)
	h, err := u.call(0).Enqueue(ctx, app)
	if err != nil {
		panic(err)
	}
	if _, err := h.Wait(ctx); err != nil {
		panic(err)
	}
}

// stopApp stops the app of an example.
func stopApp(app *runtime.App) {
	if err := app.Stop(context.Background()); err != nil {
		panic(err)
	}
}

// withoutTime leaves out what differs from run to run.
var withoutTime = &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
	switch a.Key {
	case slog.TimeKey:
		return slog.Attr{}
	case "task_id":
		return slog.String(a.Key, "00000000")
	}
	return a
}}
