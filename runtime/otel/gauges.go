package otel

import (
	"context"
	"errors"
	"time"

	global "go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// readTimeout bounds what one collection asks of the engine.
const readTimeout = 5 * time.Second

// gauges are what is read of an engine at each collection.
type gauges struct {
	app                                  *runtime.App
	depth, workers, lost, slots, running metric.Int64ObservableGauge
	oldest                               metric.Float64ObservableGauge
	paused                               metric.Int64ObservableGauge
}

// Gauges measures the queues of the app's engine whenever metrics are collected,
// until stop is called. The app need not be started. What is measured is of the
// engine, not of this process: one process is to do it, or whoever reads the
// metrics takes the greatest.
//
//	taskctx.queue.depth     tasks in each queue and state
//	taskctx.queue.oldest    how long the task that is due longest has waited, in seconds
//	taskctx.queue.paused    1 for each queue that is paused
//	taskctx.workers         workers that have not stopped
//	taskctx.workers.lost    those of them that have not shown that they live
//	taskctx.workers.slots   how many tasks they may run at a time
//	taskctx.workers.running how many they run
//
// What the engine does not know is left out. A collection while the engine does not
// answer reports the error to OpenTelemetry's error handler, and measures nothing.
func Gauges(app *runtime.App, c Config) (stop func() error, err error) {
	if c.MeterProvider == nil {
		c.MeterProvider = global.GetMeterProvider()
	}
	m := c.MeterProvider.Meter(scope)
	g := &gauges{app: app}
	var errs []error
	gauge := func(name, unit, text string) metric.Int64ObservableGauge {
		i, err := m.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
		return i
	}
	g.depth = gauge("taskctx.queue.depth", "{task}", "Tasks in each queue and state.")
	g.paused = gauge("taskctx.queue.paused", "{queue}", "Queues that are paused.")
	g.workers = gauge("taskctx.workers", "{worker}", "Workers that have not stopped.")
	g.lost = gauge("taskctx.workers.lost", "{worker}", "Workers that have not shown that they live.")
	g.slots = gauge("taskctx.workers.slots", "{task}", "How many tasks the workers may run at a time.")
	g.running = gauge("taskctx.workers.running", "{task}", "How many tasks the workers run.")
	g.oldest, err = m.Float64ObservableGauge("taskctx.queue.oldest", metric.WithUnit("s"),
		metric.WithDescription("How long the task that is due longest has waited."))
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	r, err := m.RegisterCallback(g.observe, g.depth, g.oldest, g.paused, g.workers, g.lost, g.slots, g.running)
	if err != nil {
		return nil, err
	}
	return r.Unregister, nil
}

// observe measures.
func (g *gauges) observe(ctx context.Context, o metric.Observer) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	counts, err := g.app.Counts(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, c := range counts {
		queue := attribute.String("taskctx.queue", c.Queue)
		o.ObserveInt64(g.depth, c.Tasks, metric.WithAttributes(queue, attribute.String("taskctx.state", string(c.State))))
		if !c.Oldest.IsZero() {
			o.ObserveFloat64(g.oldest, max(now.Sub(c.Oldest).Seconds(), 0), metric.WithAttributes(queue))
		}
	}
	return errors.Join(g.observeWorkers(ctx, o), g.observePauses(ctx, o))
}

func (g *gauges) observeWorkers(ctx context.Context, o metric.Observer) error {
	workers, err := g.app.Workers(ctx)
	if err != nil {
		return unlessUnsupported(err)
	}
	var lost, slots, running int64
	for _, w := range workers {
		slots, running = slots+int64(w.Slots), running+int64(w.Running)
		if w.Lost {
			lost++
		}
	}
	o.ObserveInt64(g.workers, int64(len(workers)))
	o.ObserveInt64(g.lost, lost)
	o.ObserveInt64(g.slots, slots)
	o.ObserveInt64(g.running, running)
	return nil
}

func (g *gauges) observePauses(ctx context.Context, o metric.Observer) error {
	paused, err := g.app.Paused(ctx)
	if err != nil {
		return unlessUnsupported(err)
	}
	for _, p := range paused {
		if p.Name == "" {
			o.ObserveInt64(g.paused, 1, metric.WithAttributes(attribute.String("taskctx.queue", p.Queue)))
		}
	}
	return nil
}

// unlessUnsupported is the error, nil if it says that the engine cannot.
func unlessUnsupported(err error) error {
	if errors.Is(err, engine.ErrUnsupported) {
		return nil
	}
	return err
}
