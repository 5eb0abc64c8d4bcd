package otel_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/otel"
)

// Proves: FEATURES 110
func TestGauges(t *testing.T) {
	e := memory.New(memory.Config{})
	worker := newProcess(t, e, otel.Config{}, func(*runtime.Context) error { return nil })
	watcher := runtime.New(e, runtime.Config{})
	reader := metric.NewManualReader()
	stop, err := otel.Gauges(watcher, otel.Config{MeterProvider: metric.NewMeterProvider(metric.WithReader(reader))})
	require.NoError(t, err)
	h, err := chargeCall("1").Enqueue(t.Context(), worker)
	require.NoError(t, err)
	_, err = h.Wait(t.Context())
	require.NoError(t, err)
	for range 2 {
		_, err := runtime.With(chargeCall("2"), runtime.WithQueue("nobody")).Enqueue(t.Context(), worker)
		require.NoError(t, err)
	}
	require.NoError(t, watcher.Pause(t.Context(), "nobody"))
	time.Sleep(2 * time.Millisecond) // the age is over zero

	got := collect(t, reader)
	assert.Equal(t, 1.0, got["taskctx.queue.depth default succeeded"])
	assert.Equal(t, 2.0, got["taskctx.queue.depth nobody pending"])
	assert.Equal(t, 1.0, got["taskctx.queue.paused nobody"])
	assert.InDelta(t, 30, got["taskctx.queue.oldest nobody"], 30)
	assert.Positive(t, got["taskctx.queue.oldest nobody"])
	assert.Equal(t, 1.0, got["taskctx.workers"])
	assert.Equal(t, 0.0, got["taskctx.workers.lost"])
	assert.Equal(t, 10.0, got["taskctx.workers.slots"])
	assert.Equal(t, 0.0, got["taskctx.workers.running"])
	require.NoError(t, stop())
	assert.Empty(t, collect(t, reader))
	worker.stop(t)
	require.NoError(t, e.Close())
}

// collect are the values of gauges, by name, queue and state.
func collect(t *testing.T, reader *metric.ManualReader) map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(context.Background(), &all))
	got := make(map[string]float64)
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			add := func(p metricdata.DataPoint[float64]) {
				name := m.Name
				for _, key := range []string{"taskctx.queue", "taskctx.state"} {
					if v, ok := p.Attributes.Value(attribute.Key(key)); ok {
						name += " " + v.AsString()
					}
				}
				got[name] = p.Value
			}
			switch d := m.Data.(type) {
			case metricdata.Gauge[int64]:
				for _, p := range d.DataPoints {
					add(metricdata.DataPoint[float64]{Attributes: p.Attributes, Value: float64(p.Value)})
				}
			case metricdata.Gauge[float64]:
				for _, p := range d.DataPoints {
					add(p)
				}
			}
		}
	}
	return got
}
