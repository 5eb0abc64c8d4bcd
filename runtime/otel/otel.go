// Package otel gives an app OpenTelemetry: metrics, and traces that lead from
// the enqueueing of a task to its run, in any process.
//
//	cfg := runtime.Config{Workers: 8}
//	if err := otel.Instrument(&cfg, otel.Config{}); err != nil { ... }
//	app := runtime.New(engine, cfg)
//
// Enqueueing a call, or a batch, is a span of the kind producer, named "send"
// and the task. Each run is a span of the kind consumer, named "process" and
// the task, which continues the trace and links to the span of the enqueueing.
// The task has it in its context. A run that failed has the status Error. A
// run that was cancelled, snoozed, or stopped and given back has the reason in
// taskctx.reason.
//
// A durable task has a span for each step that runs, named "step" and the step. The
// span of a suspended run names what it waits for in taskctx.reason, and the next
// run links to it. Spans of children link to the span "send batch" of their parent.
//
// The metrics are, with the attributes taskctx.task, taskctx.queue, and
// taskctx.state for the outcome of a run:
//
//	taskctx.enqueued        calls enqueued
//	taskctx.runs            runs that ended
//	taskctx.failures        runs that ended in an error, retried or not
//	taskctx.run.duration    how long a run took, in seconds
//	taskctx.run.waiting     how long a task was due before its first run, in seconds
//	taskctx.running         tasks that run
//
// Neither shows the values of redacted parameters. An observer records the
// metrics beside the tasks. If they keep coming faster than it can record
// them, some are lost; see [hook.ObserverBuffer].
package otel

import (
	"context"
	"slices"

	global "go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/hook"
)

// scope names the source of the spans and metrics.
const scope = "github.com/taskctx/taskctx/runtime/otel"

// Config sets up the instruments. Its zero value works.
type Config struct {
	// TracerProvider makes the spans. Defaults to the global one.
	TracerProvider trace.TracerProvider
	// MeterProvider makes the metrics. Defaults to the global one.
	MeterProvider metric.MeterProvider
	// Propagator sends a trace along with a task. Defaults to W3C Trace
	// Context and Baggage.
	Propagator propagation.TextMapPropagator
	// NewTraces makes each run a trace of its own, which links to the span of
	// the enqueueing, instead of continuing its trace.
	NewTraces bool
}

// Instrument adds traces and metrics to the configuration of an app, around
// its middleware. Its error is one of the providers'.
func Instrument(cfg *runtime.Config, c Config) error {
	if c.TracerProvider == nil {
		c.TracerProvider = global.GetTracerProvider()
	}
	if c.MeterProvider == nil {
		c.MeterProvider = global.GetMeterProvider()
	}
	m, err := newMetrics(c.MeterProvider.Meter(scope))
	if err != nil {
		return err
	}
	p := NewPropagator(c.Propagator)
	t := &tracing{tracer: c.TracerProvider.Tracer(scope), propagator: p, newTraces: c.NewTraces}
	cfg.Middleware = slices.Insert(slices.Clone(cfg.Middleware), 0, t.run, m.run)
	cfg.StepMiddleware = slices.Insert(slices.Clone(cfg.StepMiddleware), 0, t.step)
	cfg.EnqueueMiddleware = slices.Insert(slices.Clone(cfg.EnqueueMiddleware), 0, t.enqueue)
	cfg.Observers = append(slices.Clip(cfg.Observers), m)
	cfg.Propagators = append(slices.Clip(cfg.Propagators), p)
	return nil
}

// NewPropagator returns a propagator of traces and baggage alone, for a
// process without spans for tasks. A nil p means W3C Trace Context and
// Baggage.
func NewPropagator(p propagation.TextMapPropagator) hook.Propagator {
	if p == nil {
		p = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	}
	return propagator{p}
}

type propagator struct{ p propagation.TextMapPropagator }

func (p propagator) Inject(ctx context.Context, headers map[string]string) {
	p.p.Inject(ctx, propagation.MapCarrier(headers))
}

func (p propagator) Extract(ctx context.Context, headers map[string]string) context.Context {
	return p.p.Extract(ctx, propagation.MapCarrier(headers))
}
