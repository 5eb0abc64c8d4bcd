package memory_test

import (
	"context"
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/internal/cputime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

var records = flag.Int("bench.records", 0, "ended tasks that the benchmarked engines keep; 0 is the default")

// BenchmarkChannel is what the engine is compared with: a closure sent over a
// channel to n goroutines.
func BenchmarkChannel(b *testing.B) {
	for _, n := range []int{2, 10} {
		b.Run(fmt.Sprintf("workers=%d", n), func(b *testing.B) {
			work := make(chan func(), 1024)
			var done, count sync.WaitGroup
			for range n {
				done.Go(func() {
					for f := range work {
						f()
					}
				})
			}
			b.ReportAllocs()
			b.ResetTimer()
			report := cpu(b)
			count.Add(b.N)
			for range b.N {
				work <- func() { count.Done() }
			}
			count.Wait()
			b.StopTimer()
			report()
			close(work)
			done.Wait()
		})
	}
}

// BenchmarkEngine is the engine alone: from InsertOne to the recorded outcome
// of a run that does nothing.
func BenchmarkEngine(b *testing.B) {
	for _, n := range []int{2, 10} {
		b.Run(fmt.Sprintf("workers=%d", n), func(b *testing.B) {
			e := memory.New(memory.Config{Wait: true, Capacity: 1024, Records: *records})
			var count sync.WaitGroup
			ctx, cancel := context.WithCancel(context.Background())
			w := &engine.Worker{
				ID: "w", Slots: n, Queues: []string{"default"}, Names: []string{"bench"}, ParkFor: time.Hour, Now: time.Now,
				RunInline: func(_ context.Context, _ *engine.Delivery, o *engine.Outcome) {
					*o = engine.Outcome{Kind: engine.OutcomeSucceed}
					count.Done()
				},
			}
			served := make(chan error, 1)
			go func() { served <- e.Serve(ctx, w) }()
			now := time.Now()
			b.ReportAllocs()
			b.ResetTimer()
			report := cpu(b)
			count.Add(b.N)
			for i := range b.N {
				m := &engine.Message{ // what an enqueue costs anyway
					Name: "bench", Queue: "default", Meta: engine.Meta{ID: id(i), EnqueuedAt: now},
				}
				if _, err := e.InsertOne(ctx, m); err != nil {
					b.Fatal(err)
				}
			}
			count.Wait()
			b.StopTimer()
			report()
			cancel()
			if err := <-served; err != nil {
				b.Fatal(err)
			}
		})
	}
}

// cpu reports the processor time of the process for each operation: it tells
// more than the time on the clock when others use the machine too.
func cpu(b *testing.B) (report func()) {
	before := cputime.Used()
	return func() { b.ReportMetric(float64(cputime.Used()-before)/float64(b.N), "cpu-ns/op") }
}

func id(i int) uuid.UUID {
	return uuid.UUID{0: byte(i), 1: byte(i >> 8), 2: byte(i >> 16), 3: byte(i >> 24), 6: 0x70, 8: 0x80}
}
