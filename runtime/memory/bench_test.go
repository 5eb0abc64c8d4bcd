package memory_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
)

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
			count.Add(b.N)
			for range b.N {
				work <- func() { count.Done() }
			}
			count.Wait()
			b.StopTimer()
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
			e := memory.New(memory.WithWait(), memory.WithRecords(100000))
			var count sync.WaitGroup
			ctx, cancel := context.WithCancel(context.Background())
			w := &runtime.Worker{
				ID: "w", Slots: n, Queues: []string{"default"}, Names: []string{"bench"}, ParkFor: time.Hour, Now: time.Now,
				RunInline: func(_ context.Context, _ *runtime.Delivery, o *runtime.Outcome) {
					o.Kind = runtime.OutcomeSucceed
					count.Done()
				},
			}
			served := make(chan error, 1)
			go func() { served <- e.Serve(ctx, w) }()
			ms := make([]runtime.Message, b.N)
			now := time.Now()
			for i := range ms {
				ms[i] = runtime.Message{Name: "bench", Queue: "default", Meta: runtime.Meta{ID: id(i), EnqueuedAt: now}}
			}
			b.ReportAllocs()
			b.ResetTimer()
			count.Add(b.N)
			for i := range b.N {
				m := &ms[i]
				if _, err := e.InsertOne(ctx, m); err != nil {
					b.Fatal(err)
				}
			}
			count.Wait()
			b.StopTimer()
			cancel()
			if err := <-served; err != nil {
				b.Fatal(err)
			}
		})
	}
}

func id(i int) uuid.UUID {
	return uuid.UUID{0: byte(i), 1: byte(i >> 8), 2: byte(i >> 16), 3: byte(i >> 24), 6: 0x70, 8: 0x80}
}
