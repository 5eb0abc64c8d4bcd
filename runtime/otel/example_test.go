package otel_test

import (
	"context"
	"fmt"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/otel"
)

func ExampleInstrument() {
	spans := tracetest.NewInMemoryExporter() // a program exports to a collector
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))

	cfg := runtime.Config{Workers: 8}
	if err := otel.Instrument(&cfg, otel.Config{TracerProvider: provider}); err != nil {
		panic(err)
	}
	app := runtime.New(memory.New(memory.Config{}), cfg)
	glue.Register(app, chargeTask, func(ctx *runtime.Context, a *chargeArgs) (runtime.Void, error) {
		return runtime.Void{}, nil // generated code: it calls the task
	})
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	h, err := chargeCall("4711").Enqueue(ctx, app)
	if err != nil {
		panic(err)
	}
	if _, err := h.Wait(ctx); err != nil {
		panic(err)
	}
	if err := app.Stop(ctx); err != nil {
		panic(err)
	}
	ended := make(map[string]tracetest.SpanStub)
	for _, s := range spans.GetSpans() {
		ended[s.Name] = s
	}
	send, run := ended["send billing.Charge"], ended["process billing.Charge"]
	fmt.Println(run.Parent.SpanID() == send.SpanContext.SpanID())
	// Output: true
}
