package local_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/local"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

// requestID is set once, by the web handler, and is in every log line below.
var requestID = local.New[string]("request_id", local.Travels(), local.InLogs())

// step is what a task and its children set for themselves.
var step = local.New[string]("step")

func ExampleVar() {
	runAsTask(func(ctx *runtime.Context) error {
		if _, err := step.Get(ctx); err != nil {
			fmt.Println(err)
		}
		if err := step.Set(ctx, "charge"); err != nil {
			return err
		}
		deep(ctx)
		if err := step.Clear(ctx); err != nil {
			return err
		}
		deep(ctx)
		return nil
	})
	// Output:
	// local step: local value is not set
	// step: charge
	// step: none
}

// deep knows the task only by its context.
func deep(ctx context.Context) { fmt.Println("step:", step.GetOr(ctx, "none")) }

func ExampleGo() {
	runAsTask(func(ctx *runtime.Context) error {
		if err := step.Set(ctx, "of the task"); err != nil {
			return err
		}
		for _, mode := range []local.ForkMode{local.Copy, local.Share} {
			err := local.Go(ctx, mode, func(ctx context.Context) error {
				return step.Set(ctx, "of the child")
			}).Wait()
			if err != nil {
				return err
			}
			deep(ctx)
		}
		return nil
	})
	// Output:
	// step: of the task
	// step: of the child
}

func ExampleFork() {
	ctx := local.With(context.Background())
	_ = step.Set(ctx, "parent's")
	child := local.Fork(ctx, local.Overlay)
	_ = step.Set(ctx, "parent's new one")
	deep(child)
	_ = step.Set(child, "child's")
	deep(child)
	deep(ctx)
	// Output:
	// step: parent's new one
	// step: child's
	// step: parent's new one
}

func ExampleWith() {
	logger := slog.New(runtime.NewLogHandler(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})))
	handle := func(ctx context.Context) { // a web handler, say
		ctx = local.With(ctx)
		if err := requestID.Set(ctx, "r-17"); err != nil {
			panic(err)
		}
		logger.InfoContext(ctx, "order received", "cents", 1999)
	}
	handle(context.Background())
	// Output: level=INFO msg="order received" request_id=r-17 cents=1999
}

// runAsTask runs fn as a task on the memory engine.
func runAsTask(fn func(ctx *runtime.Context) error) {
	ctx := context.Background()
	task := glue.NewTask[struct{}, runtime.Void](wire.Spec{Name: "example.Task"}, nil)
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{Logger: slog.New(slog.DiscardHandler)})
	glue.Register(app, task, func(ctx *runtime.Context, _ *struct{}) (runtime.Void, error) {
		return runtime.Void{}, fn(ctx)
	})
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	h, err := task.Call(nil, nil).Enqueue(ctx, app)
	if err != nil {
		panic(err)
	}
	if _, err := h.Wait(ctx); err != nil {
		panic(err)
	}
	if err := app.Stop(ctx); err != nil {
		panic(err)
	}
}
