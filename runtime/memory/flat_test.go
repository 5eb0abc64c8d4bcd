package memory_test

import (
	"context"
	"encoding/json"
	"errors"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// usage is what a process holds.
type usage struct {
	heap       uint64
	goroutines int
}

func measure() usage {
	goruntime.GC()
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	return usage{m.HeapAlloc, goruntime.NumGoroutine()}
}

// TestEngine_CostsStayFlat: after as many tasks as the engine keeps, the memory that it holds
// grows no more, however many follow, and however often workers are replaced.
func TestEngine_CostsStayFlat(t *testing.T) {
	tasks := size(60_000, 1_000_000)
	const records = 5_000
	e := memory.New(memory.Config{Records: records, Capacity: 1_000, Wait: true})
	var done sync.WaitGroup
	run := func(_ context.Context, d *engine.Delivery) engine.Outcome {
		switch last := d.Message.Meta.ID[15]; {
		case last%50 == 0 && d.Attempt == 0:
			return engine.Outcome{Kind: engine.OutcomeRetry, Reason: "once more"}
		case last%50 == 1:
			done.Done()
			return engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"}
		}
		done.Done()
		return engine.Outcome{Kind: engine.OutcomeSucceed, Result: d.Message.Args}
	}
	batch := func(n int) {
		stop := serve(t, e, worker(4, run, "task"))
		done.Add(n)
		for range n {
			put(t, e, message("task"))
		}
		done.Wait()
		if err := stop(); err != nil {
			t.Fatalf("Serve: %v", err)
		}
	}
	const parts = 20
	batch(4 * records) // fill what is kept
	before := measure()
	for range parts {
		batch(tasks / parts)
	}
	after := measure()
	if entries := listAll(t, e, engine.Query{}); len(entries) != records {
		t.Errorf("the engine holds %d records, want %d", len(entries), records)
	}
	t.Logf("%d tasks on %d workers one after the other: heap %d KiB before, %d KiB after; goroutines %d before, %d after",
		tasks, parts, before.heap>>10, after.heap>>10, before.goroutines, after.goroutines)
	if after.heap > before.heap+before.heap/2+(1<<20) {
		t.Errorf("the heap grew from %d to %d bytes", before.heap, after.heap)
	}
	if after.goroutines > before.goroutines+2 {
		t.Errorf("goroutines grew from %d to %d", before.goroutines, after.goroutines)
	}
}

// TestInsert_TenTimesPastTheLimit: producers that go on and on get a typed error, and
// the engine holds what it may, whatever becomes of the tasks.
func TestInsert_TenTimesPastTheLimit(t *testing.T) {
	capacity := size(2_000, 20_000)
	e := memory.New(memory.Config{Capacity: capacity, Records: 100})
	before := measure()
	var stored, full atomic.Int64
	var wg sync.WaitGroup
	fill := func() {
		for range 4 {
			wg.Go(func() {
				for range 10 * capacity / 4 {
					m := message("task", func(m *engine.Message) { m.Args = json.RawMessage(`{"customer":"c-42","cents":1999}`) })
					switch _, err := e.InsertOne(context.Background(), m); {
					case err == nil:
						stored.Add(1)
					case errors.Is(err, engine.ErrQueueFull):
						full.Add(1)
					default:
						t.Errorf("InsertOne: %v", err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	fill()
	once := measure()
	// Cancelled tasks make room, and must leave nothing behind.
	for range 3 {
		for _, en := range listAll(t, e, engine.Query{States: []engine.State{engine.StatePending}}) {
			if err := e.Cancel(t.Context(), en.ID, "no"); err != nil {
				t.Fatal(err)
			}
		}
		fill()
	}
	after := measure()
	t.Logf("capacity %d, 4 × %d inserts: %d stored, %d ErrQueueFull; heap %d KiB empty, %d KiB full, %d KiB after three refills",
		capacity, 10*capacity, stored.Load(), full.Load(), before.heap>>10, once.heap>>10, after.heap>>10)
	if got := stored.Load(); got != int64(4*capacity) {
		t.Errorf("%d tasks were stored, want four times the capacity, %d", got, 4*capacity)
	}
	if after.heap > once.heap+once.heap/3+(1<<20) {
		t.Errorf("the heap grew from %d to %d bytes while the engine stayed full", once.heap, after.heap)
	}
}
