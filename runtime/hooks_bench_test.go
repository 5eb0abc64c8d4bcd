package runtime_test

import (
	"context"
	"testing"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/memory"
)

// BenchmarkEnqueueHooked is BenchmarkEnqueue of an app that has hooks for the
// enqueueing, which do nothing.
func BenchmarkEnqueueHooked(b *testing.B) {
	for name, cfg := range map[string]runtime.Config{
		"middleware": {EnqueueMiddleware: []runtime.EnqueueMiddleware{
			func(next runtime.EnqueueHandler) runtime.EnqueueHandler { return next },
		}},
		"propagator": {Propagators: []hook.Propagator{trapInjector{new(trap)}}},
	} {
		b.Run(name, func(b *testing.B) {
			q := runtime.New(memory.New(memory.Config{}), cfg).Via(nowhere{})
			b.ReportAllocs()
			for i := range b.N {
				if _, err := chargeCall("c-42", int64(i)).Enqueue(context.Background(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
