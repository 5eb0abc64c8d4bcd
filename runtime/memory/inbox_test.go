package memory_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// rounds is how often a test tries to meet an unlucky moment.
func rounds(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// TestInbox_NobodySleepsOnATask: a task that comes at the very moment at which the
// workers fall asleep is run all the same.
func TestInbox_NobodySleepsOnATask(t *testing.T) {
	for _, producers := range []int{1, 4} {
		t.Run(fmt.Sprintf("producers=%d", producers), func(t *testing.T) {
			e := memory.New(memory.Config{})
			ran := make([]chan struct{}, producers)
			names := make([]string, producers)
			for i := range ran {
				ran[i], names[i] = make(chan struct{}, 1), fmt.Sprint("task", i)
			}
			stop := serve(t, e, worker(2, func(_ context.Context, d *engine.Delivery) engine.Outcome {
				var i int
				if _, err := fmt.Sscanf(d.Message.Name, "task%d", &i); err != nil {
					t.Error(err)
				}
				ran[i] <- struct{}{}
				return engine.Outcome{Kind: engine.OutcomeSucceed}
			}, names...))
			var all sync.WaitGroup
			for i := range producers {
				all.Go(func() {
					for n := range rounds(10_000) {
						if _, err := e.InsertOne(t.Context(), message(fmt.Sprint("task", i))); err != nil {
							t.Errorf("InsertOne: %v", err)
							return
						}
						select {
						case <-ran[i]:
						case <-time.After(time.Minute):
							t.Errorf("task %d of producer %d was not run", n, i)
							return
						}
						for range rand.IntN(40) { // the workers are about to sleep, or do
							goruntime.Gosched()
						}
					}
				})
			}
			all.Wait()
			if err := stop(); err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
	}
}

// TestInbox_NothingIsLostAsWorkersChange: while workers of other names come and go,
// each task that was accepted is there at once, runs once, or waits in the end.
func TestInbox_NothingIsLostAsWorkersChange(t *testing.T) {
	e := memory.New(memory.Config{Records: 1_000_000})
	names := []string{"a", "b", "c"}
	var runs sync.Map // id to *atomic.Int32
	run := func(_ context.Context, d *engine.Delivery) engine.Outcome {
		n, _ := runs.LoadOrStore(d.Message.Meta.ID, new(atomic.Int32))
		n.(*atomic.Int32).Add(1)
		return engine.Outcome{Kind: engine.OutcomeSucceed}
	}
	done := make(chan struct{})
	var workers, producers sync.WaitGroup
	for i := range 3 {
		workers.Go(func() {
			for {
				stop := serve(t, e, worker(1+i, run, names[rand.IntN(3):]...))
				for range rand.IntN(200) {
					goruntime.Gosched()
				}
				if err := stop(); err != nil {
					t.Errorf("Serve: %v", err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	const each = 3000
	ids := make([][]uuid.UUID, 4)
	for i := range ids {
		producers.Go(func() {
			for range each {
				id := put(t, e, message(names[rand.IntN(3)]))
				ids[i] = append(ids[i], id)
				if _, err := e.Get(t.Context(), id); err != nil {
					t.Errorf("Get just after InsertOne: %v", err)
				}
			}
		})
	}
	producers.Wait()
	close(done)
	workers.Wait()
	stop := serve(t, e, worker(2, run, names...))
	for _, some := range ids {
		for _, id := range some {
			if en, err := e.Wait(t.Context(), id); err != nil || en.State != engine.StateSucceeded {
				t.Fatalf("Wait: %+v, %v", en, err)
			}
			if n, ok := runs.Load(id); !ok || n.(*atomic.Int32).Load() != 1 {
				t.Fatalf("a task ran %v times, want once", n)
			}
		}
	}
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// TestInbox_RoomIsGivenBack: however many enqueue at once, what has run takes no room,
// and what waits does.
func TestInbox_RoomIsGivenBack(t *testing.T) {
	const capacity = 8
	for _, wait := range []bool{false, true} {
		e := memory.New(memory.Config{Capacity: capacity, Wait: wait})
		var accepted, ran atomic.Int64
		stop := serve(t, e, worker(3, func(context.Context, *engine.Delivery) engine.Outcome {
			ran.Add(1)
			goruntime.Gosched()
			return engine.Outcome{Kind: engine.OutcomeSucceed}
		}, "task"))
		var producers sync.WaitGroup
		for range 6 {
			producers.Go(func() {
				for range rounds(3000) {
					_, err := e.InsertOne(t.Context(), message("task"))
					switch {
					case err == nil:
						accepted.Add(1)
					case wait || !errors.Is(err, engine.ErrQueueFull):
						t.Errorf("InsertOne: %v", err)
					}
				}
			})
		}
		producers.Wait()
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
		// What is left waits: with it the engine holds as many as it may, no fewer.
		left := int(accepted.Load() - ran.Load())
		for i := left; i < capacity; i++ {
			put(t, e, message("task"))
		}
		if !wait {
			if _, err := e.InsertOne(t.Context(), message("task")); !errors.Is(err, engine.ErrQueueFull) {
				t.Errorf("InsertOne over the capacity: %v, want ErrQueueFull", err)
			}
		}
	}
}
