package otel_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/otel"
)

// TestAlerts_AndDashboard: what docs/grafana.json and docs/alerts.yml ask for are
// metrics that there are, by the names that Prometheus gives them.
//
// Proves: FEATURES 110
func TestAlerts_AndDashboard(t *testing.T) {
	e := memory.New(memory.Config{})
	p := newProcess(t, e, otel.Config{}, func(ctx *runtime.Context) error { return runtime.Permanent(errors.New("broken")) })
	stop, err := otel.Gauges(p.App, otel.Config{MeterProvider: metric.NewMeterProvider(metric.WithReader(metric.NewManualReader()))})
	require.NoError(t, err)
	require.NoError(t, stop())
	h, err := chargeCall("1").Enqueue(t.Context(), p)
	require.NoError(t, err)
	_, err = h.Wait(t.Context())
	require.Error(t, err)
	p.stop(t)
	// Those that need something to happen, and those of Gauges, whose test names them.
	known := map[string]bool{"taskctx_failures_total": true}
	for _, name := range []string{"depth", "oldest_seconds", "paused"} {
		known["taskctx_queue_"+name] = true
	}
	for _, name := range []string{"", "_lost", "_slots", "_running"} {
		known["taskctx_workers"+name] = true
	}
	var all metricdata.ResourceMetrics
	require.NoError(t, p.metrics.Collect(context.Background(), &all))
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			name := strings.ReplaceAll(m.Name, ".", "_")
			switch m.Data.(type) {
			case metricdata.Sum[int64]:
				known[name], known[name+"_total"] = true, true
			case metricdata.Histogram[float64]:
				known[name+"_seconds_bucket"] = true
			}
		}
	}
	labels := map[string]bool{"taskctx_queue": true, "taskctx_state": true, "taskctx_task": true}
	for _, file := range []string{"grafana.json", "alerts.yml"} {
		text, err := os.ReadFile("../../docs/" + file)
		require.NoError(t, err)
		if file == "grafana.json" {
			assert.True(t, json.Valid(text))
		}
		asked := regexp.MustCompile(`taskctx_\w+`).FindAllString(string(text), -1)
		assert.Greater(t, len(asked), 10, file)
		for _, name := range asked {
			assert.True(t, known[name] || labels[name], "%s asks for %s, which there is not", file, name)
		}
	}
	require.NoError(t, e.Close())
}
