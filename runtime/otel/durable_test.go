package otel_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/otel"
	"github.com/taskctx/taskctx/runtime/wire"
)

var (
	publishTask = glue.NewTask[struct{}, string](wire.Spec{
		Name: "press.Publish", Func: "Publish", Durable: true, Retries: 1, Delay: wire.NoDelay,
	}, nil)
	renderTask = glue.NewTask[struct{}, string](wire.Spec{Name: "press.Render", Func: "Render"}, nil)
	approved   = runtime.NewSignal[string]("approved")
)

// TestTrace_OfADurableTask: steps have spans of their own, a resumed run links to the
// one that was suspended, and children to their parent's.
func TestTrace_OfADurableTask(t *testing.T) {
	store := memory.New(memory.Config{})
	spans, reader := tracetest.NewInMemoryExporter(), metric.NewManualReader()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	cfg := runtime.Config{Workers: 1, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	require.NoError(t, otel.Instrument(&cfg, otel.Config{
		TracerProvider: provider, MeterProvider: metric.NewMeterProvider(metric.WithReader(reader)), NewTraces: true,
	}))
	app := runtime.New(store, cfg)
	var inStep trace.SpanContext
	tries := 0
	glue.Register(app, publishTask, func(ctx *runtime.Context, _ *struct{}) (string, error) {
		_, err := runtime.Step(ctx, "draft", func(ctx context.Context) (string, error) {
			inStep = trace.SpanContextFromContext(ctx)
			if tries++; tries == 1 {
				return "", errors.New("flaky")
			}
			return "x", nil
		})
		if err != nil {
			return "", err
		}
		if _, err := runtime.All(ctx, "page", renderTask.Call(nil, nil), renderTask.Call(nil, nil)); err != nil {
			return "", err
		}
		return approved.Await(ctx, 0)
	})
	glue.Register(app, renderTask, func(*runtime.Context, *struct{}) (string, error) { return "", nil })
	h, err := publishTask.Call(nil, nil).Enqueue(t.Context(), app)
	require.NoError(t, err)
	require.NoError(t, approved.Send(t.Context(), app, h.ID(), "yes"), "before it waits for it: it is not suspended for that")
	require.NoError(t, app.Start(t.Context()))
	_, err = h.Wait(t.Context())
	require.NoError(t, err)
	require.NoError(t, app.Stop(context.Background()))
	require.NoError(t, store.Close())

	var runs, steps, sends, children []tracetest.SpanStub
	for _, s := range spans.GetSpans() {
		switch s.Name {
		case "process press.Publish":
			runs = append(runs, s)
		case "step draft":
			steps = append(steps, s)
		case "send batch":
			sends = append(sends, s)
		case "process press.Render":
			children = append(children, s)
		}
	}
	require.Len(t, runs, 3, "failed, suspended, and resumed")
	require.Len(t, steps, 2)
	require.Len(t, sends, 1)
	require.Len(t, children, 2)
	assert.Equal(t, codes.Error, steps[0].Status.Code)
	assert.Equal(t, codes.Unset, steps[1].Status.Code)
	assert.Equal(t, "draft", attr(steps[1], "taskctx.step").AsString())
	assert.Equal(t, runs[1].SpanContext.SpanID(), steps[1].Parent.SpanID(), "a step is below its run")
	assert.Equal(t, steps[1].SpanContext.SpanID(), inStep.SpanID(), "the step sees its span")
	assert.Equal(t, codes.Error, runs[0].Status.Code)
	assert.Equal(t, codes.Unset, runs[1].Status.Code, "a suspension is no failure")
	assert.Equal(t, "waits for 2 of 2 children: page/0, page/1", attr(runs[1], "taskctx.reason").AsString())
	assert.Equal(t, runs[1].SpanContext.SpanID(), sends[0].Parent.SpanID())
	for _, c := range children {
		require.Len(t, c.Links, 1)
		assert.Equal(t, sends[0].SpanContext.SpanID(), c.Links[0].SpanContext.SpanID())
	}
	require.Len(t, runs[2].Links, 2, "the enqueueing, and the run that was suspended")
	assert.Equal(t, runs[1].SpanContext.SpanID(), runs[2].Links[1].SpanContext.SpanID())
	require.Len(t, runs[0].Links, 1)

	var data metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(context.Background(), &data))
	states := make(map[string]int64)
	waits := uint64(0)
	for _, m := range data.ScopeMetrics[0].Metrics {
		switch d := m.Data.(type) {
		case metricdata.Sum[int64]:
			if m.Name != "taskctx.runs" {
				continue
			}
			for _, p := range d.DataPoints {
				task, _ := p.Attributes.Value("taskctx.task")
				state, _ := p.Attributes.Value("taskctx.state")
				if task.AsString() == "press.Publish" {
					states[state.AsString()] += p.Value
				}
			}
		case metricdata.Histogram[float64]:
			if m.Name != "taskctx.run.waiting" {
				continue
			}
			for _, p := range d.DataPoints {
				if task, _ := p.Attributes.Value("taskctx.task"); task.AsString() == "press.Publish" {
					waits += p.Count
				}
			}
		}
	}
	assert.Equal(t, map[string]int64{
		string(engine.StateRetrying): 1, string(engine.StateWaiting): 1, string(engine.StateSucceeded): 1,
	}, states)
	assert.EqualValues(t, 1, waits, "only the first run has waited for a worker since the enqueueing")
}
