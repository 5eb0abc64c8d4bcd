package enginetest

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

var journalManyTests = []test{
	{name: "FanOutLinear", run: testManyFanOut, needs: need{journal: true}},
	{name: "ManyWaiting", run: testManyWaiting, needs: need{journal: true}},
	{name: "TreeOnOneSlot", run: testManyTree, needs: need{journal: true}},
}

// testManyFanOut: the cost of a child does not grow with their number.
func testManyFanOut(b *bench) {
	n := 4 * b.o.Tasks
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("c/", i)
	}
	b.auto([]string{"task.child", "task.parent"}, b.durably(func(d durable) engine.Outcome {
		if d.d.Message.Name == "task.child" {
			return engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`1`)}
		}
		size := d.n()
		by, w := d.read()
		for from := len(by); from < size; from += 1000 {
			d.spawn("task.child", names[from:min(from+1000, size)])
		}
		for _, name := range names[:size] {
			if by[name].Came == 0 {
				w.Need++
			}
		}
		if w.Need == 0 {
			return engine.Outcome{Kind: engine.OutcomeSucceed}
		}
		return engine.Outcome{Kind: engine.OutcomeSuspend, Wait: &w}
	}), slots(4))
	var took [2]time.Duration
	for i, size := range []int{n / 8, n} {
		began := time.Now()
		id := b.insert("task.parent", func(m *engine.Message) { m.Args = argN(size) })
		b.until(id, engine.StateSucceeded)
		took[i] = time.Since(began) / time.Duration(size)
		if es := b.journal(id); len(es) != size {
			b.Errorf("the journal has %d entries, want %d", len(es), size)
		}
	}
	b.Logf("a child took %v of %d, and %v of %d", took[0], n/8, took[1], n)
	if took[1] > 5*took[0]+time.Millisecond {
		b.Errorf("a child of %d took %v, of %d it took %v", n, took[1], n/8, took[0])
	}
}

// testManyWaiting: many tasks wait at once on few slots, and all go on.
func testManyWaiting(b *bench) {
	n := 2 * b.o.Tasks
	b.auto([]string{"task.parent"}, b.durably(func(d durable) engine.Outcome {
		by, w := d.read()
		if _, ok := by["go"]; ok {
			return engine.Outcome{Kind: engine.OutcomeSucceed}
		}
		w.Need, w.Name = 1, "go"
		return engine.Outcome{Kind: engine.OutcomeSuspend, Wait: &w, After: time.Hour}
	}), slots(4))
	ids := make([]uuid.UUID, 0, n)
	for len(ids) < n {
		ms := make([]*engine.Message, min(100, n-len(ids)))
		for i := range ms {
			ms[i] = b.message("task.parent")
		}
		ids = append(ids, b.batch(ms...)...)
	}
	for _, id := range ids {
		b.until(id, engine.StateWaiting)
	}
	var wg sync.WaitGroup
	for part := range 4 {
		wg.Go(func() {
			for i := part; i < n; i += 4 {
				if err := b.signalOn(b.e, ids[i], "go", "", `1`); err != nil {
					b.Errorf("Signal: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		b.until(id, engine.StateSucceeded)
	}
}

// testManyTree: a tree of tasks that wait for their children ends on one slot.
func testManyTree(b *bench) {
	b.auto([]string{"task.tree"}, b.durably(func(d durable) engine.Outcome {
		depth := d.n()
		if depth == 0 {
			return engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`1`)}
		}
		by, w := d.read()
		names := []string{"a", "b", "c", "d", "e"}
		if len(by) == 0 {
			d.spawn("task.tree", names, func(m *engine.Message) { m.Args = argN(depth - 1) })
		}
		sum := 1
		for _, name := range names {
			var n int
			if e := by[name]; e.Came == 0 || json.Unmarshal(e.Result, &n) != nil {
				w.Need++
			}
			sum += n
		}
		if w.Need > 0 {
			return engine.Outcome{Kind: engine.OutcomeSuspend, Wait: &w}
		}
		return engine.Outcome{Kind: engine.OutcomeSucceed, Result: number(sum)}
	}), slots(1))
	id := b.insert("task.tree", func(m *engine.Message) { m.Args = argN(3) })
	if en := b.until(id, engine.StateSucceeded); !sameJSON(en.Result, number(156)) {
		b.Errorf("a tree of 156 tasks counted %s", shown(en.Result))
	}
}
