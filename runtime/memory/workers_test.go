package memory_test

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// TestServe_OrderThroughWorkers: however workers of other names come and go while
// tasks wait, the tasks run in their order in the end.
func TestServe_OrderThroughWorkers(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	for range 30 {
		synctest.Test(t, func(t *testing.T) {
			e := memory.New(memory.Config{})
			var want []*engine.Message
			var stops []func() error
			for range 200 {
				switch rand.IntN(4) {
				case 0: // a worker without slots only changes who could run what
					some := names[rand.IntN(3):]
					w := worker(0, succeed, slices.Clone(some)...)
					stops = append(stops, serve(t, e, w))
				case 1:
					if n := len(stops); n > 0 {
						i := rand.IntN(n)
						if err := stops[i](); err != nil {
							t.Errorf("Serve: %v", err)
						}
						stops = slices.Delete(stops, i, i+1)
					}
				default:
					m := message(names[rand.IntN(len(names))], func(m *engine.Message) {
						m.Priority = int8(rand.IntN(4))
						if rand.IntN(2) == 0 {
							m.Due = time.Now().Add(time.Duration(rand.IntN(20)-10) * time.Second)
						}
					})
					put(t, e, m)
					want = append(want, m)
				}
				time.Sleep(time.Duration(rand.IntN(3)) * 100 * time.Millisecond)
			}
			time.Sleep(time.Minute) // all are due
			for _, stop := range stops {
				if err := stop(); err != nil {
					t.Errorf("Serve: %v", err)
				}
			}
			due := func(m *engine.Message) time.Time {
				if m.Due.IsZero() {
					return m.Meta.EnqueuedAt
				}
				return m.Due
			}
			slices.SortStableFunc(want, func(a, b *engine.Message) int {
				return cmp.Or(cmp.Compare(b.Priority, a.Priority), due(a).Compare(due(b)))
			})
			var got []*engine.Message
			stop := serve(t, e, worker(1, func(_ context.Context, d *engine.Delivery) engine.Outcome {
				got = append(got, d.Message)
				return engine.Outcome{Kind: engine.OutcomeSucceed}
			}, slices.Clone(names)...))
			synctest.Wait()
			if err := stop(); err != nil {
				t.Errorf("Serve: %v", err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d tasks ran in another order than that of priority, due time and insertion (%d were enqueued)", len(got), len(want))
			}
		})
	}
}

// TestServe_TasksGoToWorkersThatKnowThem: workers of overlapping names share an engine under
// load; none gets a task that it does not know, and none is left.
func TestServe_TasksGoToWorkersThatKnowThem(t *testing.T) {
	e := memory.New(memory.Config{})
	sets := [][]string{{"a", "b"}, {"b", "c"}, {"c"}, {"a", "c", "d"}}
	var mu sync.Mutex
	runs := make(map[uuid.UUID]int)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, set := range sets {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				w := worker(2, func(_ context.Context, d *engine.Delivery) engine.Outcome {
					if !slices.Contains(set, d.Message.Name) {
						t.Errorf("task %q was given to a worker of %v", d.Message.Name, set)
					}
					mu.Lock()
					runs[d.Message.Meta.ID]++
					mu.Unlock()
					return engine.Outcome{Kind: engine.OutcomeSucceed}
				}, slices.Clone(set)...)
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(10))*time.Millisecond)
				if err := e.Serve(ctx, w); err != nil {
					t.Errorf("Serve: %v", err)
				}
				cancel()
			}
		})
	}
	var ids []uuid.UUID
	for i := range 4000 {
		ids = append(ids, put(t, e, message(string("abcd"[i%4]), func(m *engine.Message) { m.Priority = int8(rand.IntN(4)) })))
	}
	for _, id := range ids {
		if _, err := e.Wait(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	wg.Wait()
	for _, id := range ids {
		if runs[id] != 1 {
			t.Errorf("a task ran %d times", runs[id])
		}
	}
}

// TestServe_IdleWorkersOfOthers: when one worker is busy, a task goes to another that
// is idle, at once.
func TestServe_IdleWorkersOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memory.New(memory.Config{})
		release := make(chan struct{})
		var running sync.WaitGroup
		running.Add(6)
		var stops []func() error
		for range 3 {
			stops = append(stops, serve(t, e, worker(2, func(context.Context, *engine.Delivery) engine.Outcome {
				running.Done()
				<-release
				return engine.Outcome{Kind: engine.OutcomeSucceed}
			}, "task")))
		}
		synctest.Wait()
		ms := make([]*engine.Message, 6)
		for i := range ms {
			ms[i] = message("task")
		}
		if _, err := e.Insert(t.Context(), ms); err != nil {
			t.Fatal(err)
		}
		running.Wait() // all six at the same time, or this bubble is stuck
		close(release)
		for _, stop := range stops {
			if err := stop(); err != nil {
				t.Errorf("Serve: %v", err)
			}
		}
	})
}

// TestServe_TakesNoMore: once the context of Serve has ended, no task begins.
func TestServe_TakesNoMore(t *testing.T) {
	for range 200 {
		e := memory.New(memory.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		var begun int
		w := worker(1, func(context.Context, *engine.Delivery) engine.Outcome {
			if begun++; begun == 5 {
				cancel()
			}
			return engine.Outcome{Kind: engine.OutcomeSucceed}
		}, "task")
		for range 10 {
			put(t, e, message("task"))
		}
		if err := e.Serve(ctx, w); err != nil {
			t.Errorf("Serve: %v", err)
		}
		if begun != 5 {
			t.Fatalf("%d tasks began, want 5", begun)
		}
	}
}
