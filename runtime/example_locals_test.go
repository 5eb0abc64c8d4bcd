package runtime_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/taskctx/taskctx/runtime"
)

// requestID is set once, by the web handler, and is in every log line below.
var requestID = runtime.NewLocal[string]("request_id", runtime.Travels(), runtime.InLogs())

// step is what a task and its children set for themselves.
var step = runtime.NewLocal[string]("step")

func ExampleLocal() {
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
		for _, mode := range []runtime.ForkMode{runtime.Copy, runtime.Share} {
			err := runtime.Go(ctx, mode, func(ctx context.Context) error {
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
	ctx := runtime.WithLocals(context.Background())
	_ = step.Set(ctx, "parent's")
	child := runtime.Fork(ctx, runtime.Overlay)
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

func ExampleWithLocals() {
	logger := slog.New(runtime.NewLogHandler(slog.NewTextHandler(os.Stdout, withoutTime)))
	handle := func(ctx context.Context) { // a web handler, say
		ctx = runtime.WithLocals(ctx)
		if err := requestID.Set(ctx, "r-17"); err != nil {
			panic(err)
		}
		logger.InfoContext(ctx, "order received", "cents", 1999)
	}
	handle(context.Background())
	// Output: level=INFO msg="order received" request_id=r-17 cents=1999
}

func ExampleNewLogHandler() {
	logger := slog.New(runtime.NewLogHandler(slog.NewTextHandler(os.Stdout, withoutTime)))
	runAsTask(func(ctx *runtime.Context) error {
		logger.InfoContext(ctx, "charged", "cents", 1999)
		return nil
	})
	logger.Info("no task here")
	// Output:
	// level=INFO msg=charged task_id=00000000 task=billing.ChargeCard attempt=0 cents=1999
	// level=INFO msg="no task here"
}

func ExampleContext_Logger() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, withoutTime))
	runAsTaskOf(runtime.Config{Logger: logger}, func(ctx *runtime.Context) error {
		ctx.Logger().Info("charged", "cents", 1999)
		ctx.Logger("audit").Info("charged", "cents", 1999)
		return nil
	})
	// Output:
	// level=INFO msg="worker started" engine=memory queues=[default] tasks=1 workers=10
	// level=INFO msg=charged task_id=00000000 task=billing.ChargeCard attempt=0 logger=billing.ChargeCard cents=1999
	// level=INFO msg=charged task_id=00000000 task=billing.ChargeCard attempt=0 logger=audit cents=1999
}
