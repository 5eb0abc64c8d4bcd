package runtime_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// A middleware around enqueueing gives every task the tenant of whoever
// enqueues it.
func ExampleEnqueueMiddleware() {
	type tenantKey struct{}
	tenant := func(next runtime.EnqueueHandler) runtime.EnqueueHandler {
		return func(ctx context.Context, calls []runtime.AnyCall) ([]engine.Inserted, error) {
			name, ok := ctx.Value(tenantKey{}).(string)
			if !ok {
				return nil, errors.New("no tenant")
			}
			for i := range calls {
				calls[i] = calls[i].With(runtime.WithTag("tenant", name))
			}
			return next(ctx, calls)
		}
	}
	charge := newUnit[int, int]("billing.ChargeCard") // generated, in a program
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{EnqueueMiddleware: []runtime.EnqueueMiddleware{tenant}})
	ctx := context.Background()
	_, err := charge.call(1).Enqueue(ctx, app)
	fmt.Println(err)
	h, err := charge.call(1).Enqueue(context.WithValue(ctx, tenantKey{}, "acme"), app)
	if err != nil {
		panic(err)
	}
	rec, err := h.Record(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println(rec.Tags.Get("tenant"))
	// Output:
	// no tenant
	// acme
}
