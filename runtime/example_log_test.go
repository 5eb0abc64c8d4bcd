package runtime_test

import (
	"log/slog"
	"os"

	"github.com/taskctx/taskctx/runtime"
)

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
