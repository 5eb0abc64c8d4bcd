package otel_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// points renders what a metric holds, sorted.
func points(data metricdata.Aggregation) string {
	var all []string
	switch d := data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range d.DataPoints {
			all = append(all, fmt.Sprintf("%s: %d", labels(p.Attributes), p.Value))
		}
	case metricdata.Histogram[float64]:
		for _, p := range d.DataPoints {
			sum := time.Duration(p.Sum * float64(time.Second))
			all = append(all, fmt.Sprintf("%s: %d of %s", labels(p.Attributes), p.Count, sum))
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func labels(set attribute.Set) string {
	var text []string
	for _, key := range []attribute.Key{"taskctx.task", "taskctx.queue", "taskctx.state"} {
		if v, ok := set.Value(key); ok {
			text = append(text, v.AsString())
		}
	}
	return strings.Join(text, " ")
}
