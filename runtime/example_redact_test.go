package runtime_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

// What a redacted parameter holds, redact=v in the annotation, is in no log, no
// error and no record.
func ExampleParam() {
	charge := newUnit[string, runtime.Void]("billing.ChargeCard", func(s *wire.Spec) {
		s.Params[0].Redact = true
	})
	logger := slog.New(slog.NewTextHandler(os.Stdout, withoutTime))
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{Logger: logger})
	charge.handle(app, func(ctx *runtime.Context, card string) (runtime.Void, error) {
		ctx.Logger().Info("charge", "card", card)
		return runtime.Void{}, runtime.Permanent(fmt.Errorf("card %q was refused", card))
	})
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	defer stopApp(app)
	h, err := charge.call("4111-1111").Enqueue(ctx, app)
	if err != nil {
		panic(err)
	}
	_, _ = h.Wait(ctx)
	rec, err := h.Record(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(rec.Args), rec.Reason)
	// Output:
	// level=INFO msg="worker started" engine=memory queues=[default] tasks=1 workers=10
	// level=INFO msg=charge task_id=00000000 task=billing.ChargeCard attempt=0 logger=billing.ChargeCard card=[redacted]
	// level=ERROR msg="task failed" task_id=00000000 task=billing.ChargeCard attempt=0 error="card \"[redacted]\" was refused"
	// {"v":"[redacted]"} card "[redacted]" was refused
}
