package otel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	goruntime "runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/otel"
	"github.com/taskctx/taskctx/runtime/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What taskgen generates for func Charge(ctx *runtime.Context, card string) error.
type chargeArgs struct{ card string }

func (a *chargeArgs) fields(f *wire.Fields) { f.String("card", &a.card) }

var chargeTask = glue.NewTask[chargeArgs, runtime.Void](wire.Spec{
	Name: "billing.Charge", Func: "Charge", Retries: 1, Delay: wire.NoDelay,
	Params: []wire.Param{{Name: "card", Sig: "string", Redact: true}},
}, (*chargeArgs).fields)

func chargeCall(card string) runtime.Call[runtime.Void] {
	a := chargeArgs{card}
	return chargeTask.Call(a.fields, nil)
}

// process is an app as one of several processes, with its spans and metrics.
type process struct {
	*runtime.App
	spans   *tracetest.InMemoryExporter
	metrics *metric.ManualReader
	tracer  trace.Tracer
}

func newProcess(t testing.TB, engine engine.Engine, c otel.Config, charge func(ctx *runtime.Context) error) process {
	t.Helper()
	p := process{spans: tracetest.NewInMemoryExporter(), metrics: metric.NewManualReader()}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(p.spans))
	p.tracer = provider.Tracer("test")
	c.TracerProvider, c.MeterProvider = provider, metric.NewMeterProvider(metric.WithReader(p.metrics))
	cfg := runtime.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if err := otel.Instrument(&cfg, c); err != nil {
		t.Fatal(err)
	}
	p.App = runtime.New(engine, cfg)
	if charge == nil {
		return p // it only enqueues
	}
	glue.Register(p.App, chargeTask, func(ctx *runtime.Context, _ *chargeArgs) (runtime.Void, error) {
		return runtime.Void{}, charge(ctx)
	})
	if err := p.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return p
}

// stop stops the app, so that all its events are observed.
func (p process) stop(t testing.TB) {
	t.Helper()
	if err := p.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func (p process) span(t testing.TB, name string) tracetest.SpanStub {
	t.Helper()
	for _, s := range p.spans.GetSpans() {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("there is no span %q in %v", name, p.spans.GetSpans())
	return tracetest.SpanStub{}
}

func attr(s tracetest.SpanStub, key string) attribute.Value {
	for _, a := range s.Attributes {
		if string(a.Key) == key {
			return a.Value
		}
	}
	return attribute.Value{}
}

// Proves: FEATURES 28
func TestTrace_GoesThroughProcesses(t *testing.T) {
	for _, newTraces := range []bool{false, true} {
		engine := memory.New(memory.Config{})
		web := newProcess(t, engine, otel.Config{}, nil)
		var inTask trace.SpanContext
		var member string
		var worker process
		worker = newProcess(t, engine, otel.Config{NewTraces: newTraces}, func(ctx *runtime.Context) error {
			inTask, member = trace.SpanContextFromContext(ctx), baggage.FromContext(ctx).Member("user").Value()
			_, span := worker.tracer.Start(ctx, "inner")
			span.End()
			return nil
		})
		bag, err := baggage.Parse("user=u-7")
		if err != nil {
			t.Fatal(err)
		}
		ctx, request := web.tracer.Start(baggage.ContextWithBaggage(context.Background(), bag), "request")
		h, err := chargeCall("4711").Enqueue(ctx, web)
		if err != nil {
			t.Fatal(err)
		}
		request.End()
		if _, err := h.Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
		worker.stop(t)
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
		send, run, inner := web.span(t, "send billing.Charge"), worker.span(t, "process billing.Charge"), worker.span(t, "inner")
		if send.Parent.SpanID() != request.SpanContext().SpanID() || send.SpanKind != trace.SpanKindProducer {
			t.Errorf("the span of the enqueueing is %+v", send)
		}
		if attr(send, "messaging.message.id").AsString() != h.ID().String() {
			t.Errorf("the span of the enqueueing has attributes %v", send.Attributes)
		}
		if run.SpanKind != trace.SpanKindConsumer || len(run.Links) != 1 || run.Links[0].SpanContext.SpanID() != send.SpanContext.SpanID() {
			t.Errorf("the run's span is %+v, want a link to %s", run, send.SpanContext.SpanID())
		}
		if same := run.SpanContext.TraceID() == send.SpanContext.TraceID(); same == newTraces {
			t.Errorf("NewTraces %t: the run is of the same trace: %t", newTraces, same)
		}
		if !newTraces && run.Parent.SpanID() != send.SpanContext.SpanID() {
			t.Errorf("the run's parent is %s, want %s", run.Parent.SpanID(), send.SpanContext.SpanID())
		}
		if inTask.SpanID() != run.SpanContext.SpanID() || inner.Parent.SpanID() != run.SpanContext.SpanID() {
			t.Errorf("the task does not see the run's span: %v", inTask)
		}
		if member != "u-7" {
			t.Errorf("the baggage in the task is %q", member)
		}
		if attr(run, "taskctx.attempt").AsInt64() != 0 || attr(run, "messaging.destination.name").AsString() != "default" {
			t.Errorf("the run's span has attributes %v", run.Attributes)
		}
	}
}

func TestSpans_Batch(t *testing.T) {
	engine := memory.New(memory.Config{})
	defer engine.Close()
	p := newProcess(t, engine, otel.Config{}, func(*runtime.Context) error { return nil })
	var b runtime.Batch
	runtime.AddTo(&b, chargeCall("1"))
	h := runtime.AddTo(&b, chargeCall("2"))
	if err := b.Enqueue(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	p.stop(t)
	send := p.span(t, "send batch")
	if n := attr(send, "messaging.batch.message_count").AsInt64(); n != 2 {
		t.Errorf("the batch has %d messages", n)
	}
	runs := 0
	for _, s := range p.spans.GetSpans() {
		if s.Name == "process billing.Charge" && s.Parent.SpanID() == send.SpanContext.SpanID() {
			runs++
		}
	}
	if runs != 2 {
		t.Errorf("%d runs go on with the span of the batch", runs)
	}
}

func TestSpans_FailedEnqueueing(t *testing.T) {
	engine := memory.New(memory.Config{})
	p := newProcess(t, engine, otel.Config{}, nil)
	if err := engine.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := chargeCall("1").Enqueue(context.Background(), p); err == nil {
		t.Fatal("a closed engine takes tasks")
	}
	if s := p.span(t, "send billing.Charge"); s.Status.Code != codes.Error || !strings.Contains(s.Status.Description, "closed") {
		t.Errorf("the span's status is %+v", s.Status)
	}
}

// Proves: FEATURES 80
func TestSpans_Failures(t *testing.T) {
	const canary = "canary-4711"
	tests := []struct {
		name   string
		charge func(ctx *runtime.Context) error
		status codes.Code
		text   string
	}{
		{"error", func(*runtime.Context) error { return errors.New("card " + canary + " refused") }, codes.Error, "card [redacted] refused"},
		{"panic", func(*runtime.Context) error { panic("card " + canary) }, codes.Error, "panic: card [redacted]"},
		{"goexit", func(*runtime.Context) error { goruntime.Goexit(); return nil }, codes.Error, "Goexit"},
		{"cancel", func(*runtime.Context) error { return runtime.Cancelled("no longer") }, codes.Unset, ""},
	}
	for _, tt := range tests {
		engine := memory.New(memory.Config{})
		p := newProcess(t, engine, otel.Config{}, tt.charge)
		h, err := chargeCall(canary).Enqueue(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Wait(context.Background()); err == nil {
			t.Errorf("%s: the task succeeds", tt.name)
		}
		p.stop(t)
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
		s := p.span(t, "process billing.Charge")
		if s.Status.Code != tt.status || !strings.Contains(s.Status.Description, tt.text) {
			t.Errorf("%s: the status is %+v", tt.name, s.Status)
		}
		if tt.name == "panic" && !strings.Contains(fmt.Sprint(s.Events), "exception.stacktrace") {
			t.Errorf("there is no stack in %v", s.Events)
		}
		if all := fmt.Sprint(p.spans.GetSpans()); strings.Contains(all, canary) {
			t.Errorf("%s: the spans show the parameter: %s", tt.name, all)
		}
	}
}

// Proves: FEATURES 52
func TestSpans_CancelledFromOutside(t *testing.T) {
	begun := make(chan struct{})
	eng := memory.New(memory.Config{})
	p := newProcess(t, eng, otel.Config{}, func(ctx *runtime.Context) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	})
	h, err := chargeCall("1").Enqueue(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	if err := p.Cancel(context.Background(), h.ID(), "no longer"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Wait(context.Background()); !errors.Is(err, engine.ErrCancelled) {
		t.Errorf("the task ends with %v", err)
	}
	p.stop(t)
	if err := eng.Close(); err != nil {
		t.Error(err)
	}
	if s := p.span(t, "process billing.Charge"); s.Status.Code != codes.Unset || len(s.Events) > 0 {
		t.Errorf("the span says that the task failed: %+v, %v", s.Status, s.Events)
	}
}

// A run that was told to end did not fail: every deployment would be an alarm.
func TestSpans_StoppedRuns(t *testing.T) {
	broken := errors.New("card was refused")
	tests := []struct {
		name   string
		stop   func(p process, id uuid.UUID) error
		result error // nil is for the cause of the end
		status codes.Code
		reason string
	}{
		{"cancel", process.cancel, nil, codes.Unset, "no longer wanted"},
		{"cancel, an error of its own", process.cancel, broken, codes.Unset, "no longer wanted"},
		{"shutdown", process.shutdown, nil, codes.Unset, "shutting down"},
		{"shutdown, and failed for good", process.shutdown, runtime.Permanent(broken), codes.Error, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			engine := memory.New(memory.Config{})
			defer engine.Close()
			running := make(chan struct{})
			p := newProcess(t, engine, otel.Config{}, func(ctx *runtime.Context) error {
				close(running)
				<-ctx.Done()
				if tt.result != nil {
					return tt.result
				}
				return context.Cause(ctx)
			})
			h, err := chargeCall("4711").Enqueue(context.Background(), p)
			if err != nil {
				t.Fatal(err)
			}
			<-running
			if err := tt.stop(p, h.ID()); err != nil {
				t.Fatal(err)
			}
			p.stop(t)
			s := p.span(t, "process billing.Charge")
			if s.Status.Code != tt.status || !strings.Contains(attr(s, "taskctx.reason").AsString(), tt.reason) {
				t.Errorf("the status is %+v, the attributes are %v", s.Status, s.Attributes)
			}
		})
	}
}

func (p process) cancel(id uuid.UUID) error {
	return p.Cancel(context.Background(), id, "no longer wanted")
}

// shutdown stops the app without waiting for running tasks.
func (p process) shutdown(uuid.UUID) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return p.Stop(ctx)
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := memory.New(memory.Config{})
		p := newProcess(t, engine, otel.Config{}, func(ctx *runtime.Context) error {
			time.Sleep(2 * time.Second)
			if ctx.Metadata().Attempt == 0 && ctx.Metadata().Tags.Get("fail") != "" {
				return errors.New("once")
			}
			return nil
		})
		for _, opts := range [][]runtime.Option{{runtime.WithDelay(time.Hour)}, {runtime.WithTag("fail", "yes")}} {
			if _, err := runtime.With(chargeCall("1"), opts...).Enqueue(context.Background(), p); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if got := p.collect(t)["taskctx.running"]; got != "billing.Charge default: 1" {
			t.Errorf("while one runs: %q", got)
		}
		time.Sleep(2 * time.Hour)
		p.stop(t)
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
		got := p.collect(t)
		for name, want := range map[string]string{
			"taskctx.enqueued":     "billing.Charge default: 2",
			"taskctx.runs":         "billing.Charge default retrying: 1, billing.Charge default succeeded: 2",
			"taskctx.failures":     "billing.Charge default retrying: 1",
			"taskctx.run.duration": "billing.Charge default retrying: 1 of 2s, billing.Charge default succeeded: 2 of 4s",
			"taskctx.run.waiting":  "billing.Charge default: 2 of 0s",
			"taskctx.running":      "billing.Charge default: 0",
		} {
			if got[name] != want {
				t.Errorf("%s is %q, want %q", name, got[name], want)
			}
		}
	})
}

// collect returns the metrics as text.
func (p process) collect(t testing.TB) map[string]string {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := p.metrics.Collect(context.Background(), &rm); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, sm := range rm.ScopeMetrics {
		for _, m := range sm.Metrics {
			all[m.Name] = points(m.Data)
		}
	}
	return all
}

// Neither the panic of a hook nor the error of enqueueing another task puts on
// a span what the task must not show.
//
// Proves: FEATURES 80, RELIABILITY 29
func TestSpans_HideSecretsOfPanicsAndOfEnqueueing(t *testing.T) {
	const secret = "canary-4111"
	paniced := false
	recorder := tracetest.NewInMemoryExporter()
	var cfg runtime.Config
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.Middleware = []runtime.Middleware{func(next runtime.Handler) runtime.Handler {
		return func(ctx *runtime.Context) error {
			if err := next(ctx); err == nil {
				panic("charged " + secret)
			}
			return next(ctx)
		}
	}}
	cfg.EnqueueMiddleware = []runtime.EnqueueMiddleware{func(next runtime.EnqueueHandler) runtime.EnqueueHandler {
		return func(ctx context.Context, calls []runtime.AnyCall) ([]engine.Inserted, error) {
			if _, ok := runtime.FromContext(ctx); ok && !paniced {
				paniced = true
				panic("enqueue for " + secret)
			}
			return next(ctx, calls)
		}
	}}
	require.NoError(t, otel.Instrument(&cfg, otel.Config{TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(recorder))}))
	engine := memory.New(memory.Config{})
	app := runtime.New(engine, cfg)
	glue.Register(app, chargeTask, func(ctx *runtime.Context, a *chargeArgs) (runtime.Void, error) {
		for _, opt := range []runtime.Option{runtime.WithTag("a", "b"), runtime.WithQueue(a.card + "\x00")} {
			_, err := runtime.With(chargeCall("another"), opt).Enqueue(ctx, app)
			assert.ErrorContains(t, err, secret)
		}
		return runtime.Void{}, nil
	})
	ctx := context.Background()
	require.NoError(t, app.Start(ctx))
	h, err := runtime.With(chargeCall(secret), runtime.WithRetries(0)).Enqueue(ctx, app)
	require.NoError(t, err)
	_, err = h.Wait(ctx)
	require.Error(t, err)
	require.NoError(t, app.Stop(ctx))
	require.NoError(t, engine.Close())
	spans := recorder.GetSpans()
	require.Len(t, spans, 4)
	for _, s := range spans {
		assert.NotContains(t, fmt.Sprintf("%+v %+v %+v", s.Status, s.Attributes, s.Events), secret, s.Name)
	}
}
