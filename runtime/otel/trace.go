package otel

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
)

// tracing makes the spans.
type tracing struct {
	tracer     trace.Tracer
	propagator hook.Propagator
	newTraces  bool
}

// Attributes, by the semantic conventions for messaging where they have one.
const (
	attrSystem    = attribute.Key("messaging.system")
	attrOperation = attribute.Key("messaging.operation.type")
	attrMessage   = attribute.Key("messaging.message.id")
	attrCount     = attribute.Key("messaging.batch.message_count")
	attrQueue     = attribute.Key("messaging.destination.name")
	attrErrorType = attribute.Key("error.type")
	attrTask      = attribute.Key("taskctx.task")
	attrAttempt   = attribute.Key("taskctx.attempt")
	attrExisting  = attribute.Key("taskctx.existing")
	attrStep      = attribute.Key("taskctx.step")
	attrReason    = attribute.Key("taskctx.reason")
)

// enqueue is the middleware around enqueueing. The span is in the context that
// the propagator sends along.
func (t *tracing) enqueue(next runtime.EnqueueHandler) runtime.EnqueueHandler {
	return func(ctx context.Context, calls []runtime.AnyCall) (ins []engine.Inserted, err error) {
		name, attrs := "send batch", []attribute.KeyValue{
			attrSystem.String("taskctx"), attrOperation.String("send"),
		}
		if len(calls) == 1 {
			name = "send " + calls[0].Name()
			attrs = append(attrs, attrTask.String(calls[0].Name()))
		} else {
			attrs = append(attrs, attrCount.Int(len(calls)))
		}
		ctx, span := t.tracer.Start(ctx, name,
			trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(attrs...))
		defer end(span)
		ins, err = next(ctx, calls)
		if err != nil {
			fail(span, err, withoutSecrets(ctx, calls, err))
			return ins, err
		}
		if len(ins) == 1 {
			span.SetAttributes(attrMessage.String(ins[0].ID.String()), attrExisting.Bool(ins[0].Existing))
		}
		for _, in := range ins {
			if in.Err != nil {
				fail(span, in.Err, withoutSecrets(ctx, calls, in.Err))
			}
		}
		return ins, nil
	}
}

// withoutSecrets returns the text of an enqueueing error without the secrets
// of the calls, and of the task that makes them.
func withoutSecrets(ctx context.Context, calls []runtime.AnyCall, err error) string {
	text := err.Error()
	for _, c := range calls {
		text = c.Redact(text)
	}
	if task, ok := runtime.FromContext(ctx); ok {
		text = task.Redact(text)
	}
	return text
}

// end ends the span. If End itself were deferred, it would record a hook's
// panic, secrets included.
func end(span trace.Span) { span.End() }

// run is the middleware around tasks.
func (t *tracing) run(next runtime.Handler) runtime.Handler {
	return func(ctx *runtime.Context) (err error) {
		m := ctx.Metadata()
		opts := []trace.SpanStartOption{
			trace.WithSpanKind(trace.SpanKindConsumer),
			trace.WithAttributes(
				attrSystem.String("taskctx"), attrOperation.String("process"), attrMessage.String(m.TaskID.String()),
				attrQueue.String(m.Queue), attrTask.String(m.Name), attrAttempt.Int(m.Attempt),
			),
		}
		if link := trace.LinkFromContext(ctx); link.SpanContext.IsValid() {
			opts = append(opts, trace.WithLinks(link))
		}
		if headers, ok := ctx.Resumes(); ok { // the run that was suspended
			if link := trace.LinkFromContext(t.propagator.Extract(context.Background(), headers)); link.SpanContext.IsValid() {
				opts = append(opts, trace.WithLinks(link))
			}
		}
		if t.newTraces {
			opts = append(opts, trace.WithNewRoot())
		}
		spanCtx, span := t.tracer.Start(ctx, "process "+m.Name, opts...)
		defer end(span)
		err = errNoReturn // unless it returns
		defer func() { conclude(ctx, span, err) }()
		err = next(ctx.With(spanCtx))
		return err
	}
}

// step is the middleware around steps.
func (t *tracing) step(next runtime.StepHandler) runtime.StepHandler {
	return func(ctx *runtime.Context, name string) (err error) {
		spanCtx, span := t.tracer.Start(ctx, "step "+ctx.Redact(name), trace.WithAttributes(
			attrSystem.String("taskctx"), attrTask.String(ctx.Metadata().Name), attrStep.String(ctx.Redact(name)),
		))
		defer end(span)
		err = errNoReturn // unless it returns
		defer func() { conclude(ctx, span, err) }()
		err = next(ctx.With(spanCtx), name)
		return err
	}
}

var errNoReturn = errors.New("the task called runtime.Goexit, or middleware panicked")

// conclude records on the span how the run ended. A task that cancels itself,
// or snoozes, did not fail, nor did a stopped one.
func conclude(ctx *runtime.Context, span trace.Span, err error) {
	var (
		cancel  *runtime.CancelledError
		snooze  *runtime.SnoozeError
		paniced *runtime.PanicError
	)
	switch {
	case err == nil:
	case runtime.Suspended(err):
		span.SetAttributes(attrReason.String(ctx.Redact("waits for " + strings.Join(ctx.Waits(), "; or for "))))
	case errors.As(err, &cancel), errors.As(err, &snooze):
		span.SetAttributes(attrReason.String(ctx.Redact(err.Error())))
	case errors.As(err, &paniced):
		stack := attribute.String("exception.stacktrace", ctx.Redact(string(paniced.Stack)))
		fail(span, err, ctx.Redact(err.Error()), stack)
	case err != errNoReturn && stopped(ctx, err):
		span.SetAttributes(attrReason.String(ctx.Redact(context.Cause(ctx).Error())))
	default:
		fail(span, err, ctx.Redact(err.Error()))
	}
}

// stopped reports whether the run ended with err because it was stopped: the
// task was cancelled, or is given back to run again.
func stopped(ctx *runtime.Context, err error) bool {
	cause := context.Cause(ctx)
	if errors.Is(cause, engine.ErrCancelled) {
		return true
	}
	permanent := new(runtime.PermanentError)
	return !errors.As(err, &permanent) && (errors.Is(cause, engine.ErrShutdown) || errors.Is(cause, engine.ErrLeaseLost))
}

// fail records an error by a text without secrets.
func fail(span trace.Span, err error, text string, attrs ...attribute.KeyValue) {
	span.SetStatus(codes.Error, text)
	span.SetAttributes(attrErrorType.String(fmt.Sprintf("%T", err)))
	span.RecordError(errors.New(text), trace.WithAttributes(attrs...))
}
