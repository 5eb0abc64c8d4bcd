package otel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/inspect"
)

// metrics records the events of tasks. It is an observer, and also middleware
// to count running tasks, since a lost event would falsify that count for
// ever.
type metrics struct {
	enqueued, runs, failures metric.Int64Counter
	duration, waiting        metric.Float64Histogram
	running                  metric.Int64UpDownCounter
}

func newMetrics(m metric.Meter) (*metrics, error) {
	var r metrics
	var errs [6]error
	r.enqueued, errs[0] = m.Int64Counter("taskctx.enqueued",
		metric.WithDescription("Tasks enqueued."), metric.WithUnit("{task}"))
	r.runs, errs[1] = m.Int64Counter("taskctx.runs",
		metric.WithDescription("Runs of tasks that ended."), metric.WithUnit("{run}"))
	r.failures, errs[2] = m.Int64Counter("taskctx.failures",
		metric.WithDescription("Runs of tasks that ended in an error, retried or not."), metric.WithUnit("{run}"))
	r.duration, errs[3] = m.Float64Histogram("taskctx.run.duration",
		metric.WithDescription("How long runs of tasks took."), metric.WithUnit("s"))
	r.waiting, errs[4] = m.Float64Histogram("taskctx.run.waiting",
		metric.WithDescription("How long tasks were due before their first run."), metric.WithUnit("s"))
	r.running, errs[5] = m.Int64UpDownCounter("taskctx.running",
		metric.WithDescription("Tasks that run."), metric.WithUnit("{task}"))
	return &r, errors.Join(errs[:]...)
}

// Observe implements hook.Observer.
func (m *metrics) Observe(e hook.Event) {
	ctx := context.Background()
	task := metric.WithAttributeSet(attribute.NewSet(taskAttrs(e.Task)...))
	switch e.Kind {
	case hook.EventEnqueue:
		if !e.Existing {
			m.enqueued.Add(ctx, 1, task)
		}
	case hook.EventStart:
		if e.Task.Attempt == 0 && !e.Task.EnqueuedAt.IsZero() {
			m.waiting.Record(ctx, e.Waited.Seconds(), task)
		}
	case hook.EventEnd:
		state := attribute.String("taskctx.state", string(e.State))
		ended := metric.WithAttributeSet(attribute.NewSet(append(taskAttrs(e.Task), state)...))
		m.runs.Add(ctx, 1, ended)
		if e.Duration > 0 { // a parked task did not begin
			m.duration.Record(ctx, e.Duration.Seconds(), ended)
		}
		if e.State == engine.StateFailed || e.State == engine.StateRetrying {
			m.failures.Add(ctx, 1, ended)
		}
	}
}

// run is the middleware that counts running tasks.
func (m *metrics) run(next runtime.Handler) runtime.Handler {
	return func(ctx *runtime.Context) error {
		task := metric.WithAttributeSet(attribute.NewSet(taskAttrs(ctx.Metadata())...))
		m.running.Add(ctx, 1, task)
		defer m.running.Add(context.WithoutCancel(ctx), -1, task)
		return next(ctx)
	}
}

func taskAttrs(m inspect.Metadata) []attribute.KeyValue {
	return []attribute.KeyValue{attrTask.String(m.Name), attribute.String("taskctx.queue", m.Queue)}
}
