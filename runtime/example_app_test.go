package runtime_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// Currency is a part of the app's configuration.
type Currency string

// What the app was given is found by its type: by generated code, which fills
// the fields of context types with it, and by tasks.
func ExampleSupply() {
	charge := newUnit[int, string]("billing.ChargeCard") // generated, in a program
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{})
	charge.handle(app, func(ctx *runtime.Context, cents int) (string, error) {
		currency, ok := runtime.Supplied[Currency](ctx)
		return fmt.Sprintf("%d %s %t", cents, currency, ok), nil
	})
	runtime.Supply(app, Currency("EUR"))
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	defer stopApp(app)
	h, err := charge.call(1999).Enqueue(ctx, app)
	if err != nil {
		panic(err)
	}
	fmt.Println(h.Wait(ctx))
	// Output: 1999 EUR true <nil>
}

// Several calls are enqueued as one, all or none, and each has its handle.
func ExampleBatch() {
	charge := newUnit[int, int]("billing.ChargeCard") // generated, in a program
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{})
	charge.handle(app, func(_ *runtime.Context, cents int) (int, error) { return -cents, nil })
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	defer stopApp(app)
	var b runtime.Batch
	first := runtime.AddTo(&b, charge.call(100))
	second := runtime.AddTo(&b, charge.call(200, runtime.WithPriority(3)))
	if err := b.Enqueue(ctx, app); err != nil {
		panic(err)
	}
	fmt.Println(first.Wait(ctx))
	fmt.Println(second.Wait(ctx))
	// Output:
	// -100 <nil>
	// -200 <nil>
}

// The tasks that failed for good are listed, and run once more.
func ExampleApp_List() {
	charge := newUnit[string, int]("billing.ChargeCard") // generated, in a program
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{Logger: discard})
	var renewed atomic.Bool
	charge.handle(app, func(*runtime.Context, string) (int, error) {
		if !renewed.Load() {
			return 0, errors.New("card expired")
		}
		return 1, nil
	})
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	defer stopApp(app)
	h, err := charge.call("c-42", runtime.WithTag("plan", "pro")).Enqueue(ctx, app)
	if err != nil {
		panic(err)
	}
	_, err = h.Wait(ctx)
	fmt.Println(errors.As(err, new(*runtime.TaskError)))

	failed, next, err := app.List(ctx, engine.Query{States: []engine.State{engine.StateFailed}, Tag: "plan"})
	if err != nil {
		panic(err)
	}
	renewed.Store(true)
	for _, rec := range failed {
		fmt.Println(rec.Name, string(rec.Args), rec.Reason, next == "")
		if err := app.Retry(ctx, rec.ID); err != nil {
			panic(err)
		}
	}
	fmt.Println(h.Wait(ctx))
	// Output:
	// true
	// billing.ChargeCard {"v":"c-42"} card expired true
	// 1 <nil>
}

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

// A propagator carries a value of the enqueuer's context to the task's.
func ExamplePropagator() {
	charge := newUnit[int, string]("billing.ChargeCard") // generated, in a program
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{Propagators: []runtime.Propagator{carry{}}})
	charge.handle(app, func(ctx *runtime.Context, _ int) (string, error) {
		return fmt.Sprint("for ", ctx.Value(ctxKey{})), nil
	})
	ctx := context.WithValue(context.Background(), ctxKey{}, "u-7")
	if err := app.Start(context.Background()); err != nil {
		panic(err)
	}
	defer stopApp(app)
	h, err := charge.call(0).Enqueue(ctx, app)
	if err != nil {
		panic(err)
	}
	fmt.Println(h.Wait(ctx))
	// Output: for u-7 <nil>
}

// upside is a codec that reverses text, where another would encrypt it.
type upside struct{}

func (upside) Encode(_ runtime.Binding, args json.RawMessage) (json.RawMessage, error) {
	return json.Marshal(map[string][]byte{"sealed": reverse(args)})
}

func (upside) Decode(_ runtime.Binding, args json.RawMessage) (json.RawMessage, error) {
	var sealed map[string][]byte
	err := json.Unmarshal(args, &sealed)
	return reverse(sealed["sealed"]), err
}

func reverse(b []byte) []byte {
	r := bytes.Clone(b)
	for i := range r {
		r[i] = b[len(b)-1-i]
	}
	return r
}

// A codec transforms what engines store of the arguments.
func ExampleCodec() {
	charge := newUnit[string, string]("billing.ChargeCard") // generated, in a program
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{Codec: upside{}})
	charge.handle(app, func(_ *runtime.Context, card string) (string, error) { return card, nil })
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	defer stopApp(app)
	h, err := charge.call("4711").Enqueue(ctx, app)
	if err != nil {
		panic(err)
	}
	fmt.Println(h.Wait(ctx))
	rec, err := h.Record(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println(bytes.Contains(rec.Args, []byte("4711")))
	// Output:
	// 4711 <nil>
	// false
}

// What a redacted parameter holds, redact=v in the annotation, is in no log, no
// error and no record.
func ExampleParam() {
	charge := newUnit[string, runtime.Void]("billing.ChargeCard", func(s *runtime.Spec) {
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

// A call that is unique for a time is the same task, however often it is
// enqueued meanwhile.
func ExampleWithUnique() {
	remind := newUnit[string, runtime.Void]("billing.Remind") // generated, in a program
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{})
	ctx := context.Background()
	first, err := remind.call("c-42", runtime.WithUnique(time.Hour)).Enqueue(ctx, app)
	if err != nil {
		panic(err)
	}
	second, err := remind.call("c-42", runtime.WithUnique(time.Hour)).Enqueue(ctx, app)
	if err != nil {
		panic(err)
	}
	other, err := remind.call("c-43", runtime.WithUnique(time.Hour)).Enqueue(ctx, app)
	if err != nil {
		panic(err)
	}
	fmt.Println(second.Existing(), second.ID() == first.ID())
	fmt.Println(other.Existing())
	// Output:
	// true true
	// false
}
