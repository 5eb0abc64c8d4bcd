package enginetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

var orderTests = []test{
	{name: "Insertion", run: testOrderInsertion, needs: need{feature: Order}},
	{name: "InsertionInABatch", run: testOrderBatch, needs: need{feature: Order}},
	{name: "Due", run: testOrderDue, needs: need{feature: Order}},
	{name: "DueBeforeInsertion", run: testOrderDuePast, needs: need{feature: Order}},
	{name: "Priority", run: testOrderPriority, needs: need{feature: Priorities}},
	{name: "PriorityThenDue", run: testOrderPriorityDue, needs: need{feature: Priorities}},
	{name: "PriorityOfRetries", run: testOrderRetries, needs: need{feature: Priorities}},
	{name: "NoStarvationByUnknown", run: testOrderUnknown},
}

// order serves the names on one slot, runs n tasks to their end, and returns
// the names in the order in which they ran.
func (b *bench) order(names []string, n int) []string {
	b.Helper()
	var l log
	s := b.auto(names, func(_ context.Context, d *engine.Delivery) engine.Outcome {
		l.add(d)
		return engine.Outcome{Kind: engine.OutcomeSucceed}
	}, slots(1))
	b.poll(fmt.Sprintf("%d tasks run", n), func() bool { return l.len() >= n })
	s.mustStop()
	return l.names()
}

// ordered fails the test unless got is want.
func (b *bench) ordered(got []string, want ...string) {
	b.Helper()
	if !slices.Equal(got, want) {
		b.Errorf("on one slot the tasks ran in the order\n\t%s\nwant\n\t%s", strings.Join(got, " "), strings.Join(want, " "))
	}
}

func testOrderInsertion(b *bench) {
	var want []string
	for i := range 20 {
		want = append(want, fmt.Sprintf("task.o%d", i))
		b.insert(want[i])
	}
	b.ordered(b.order(want, len(want)), want...)
}

func testOrderBatch(b *bench) {
	var want []string
	var ms []*engine.Message
	for i := range 20 {
		want = append(want, fmt.Sprintf("task.o%d", i))
		ms = append(ms, b.message(want[i]))
	}
	b.batch(ms...)
	b.ordered(b.order(want, len(want)), want...)
}

func testOrderDue(b *bench) {
	at := time.Now().Add(2 * b.o.Step)
	b.insert("task.c", due(at.Add(20*time.Millisecond)))
	b.insert("task.a", due(at))
	b.insert("task.d", due(at.Add(30*time.Millisecond)))
	b.insert("task.b", due(at.Add(10*time.Millisecond)))
	time.Sleep(time.Until(at.Add(40 * time.Millisecond))) // all are due before the first Serve
	b.ordered(b.order([]string{"task.a", "task.b", "task.c", "task.d"}, 4), "task.a", "task.b", "task.c", "task.d")
}

func testOrderDuePast(b *bench) {
	b.insert("task.new")
	b.insert("task.old", dueIn(-time.Hour))
	b.insert("task.older", dueIn(-2*time.Hour))
	b.ordered(b.order([]string{"task.new", "task.old", "task.older"}, 3), "task.older", "task.old", "task.new")
}

func testOrderPriority(b *bench) {
	names := []string{"task.p0", "task.p1", "task.p2", "task.p3"}
	var want []string
	for range 3 {
		for _, p := range []int8{1, 3, 0, 2} {
			b.insert(names[p], priority(p))
		}
	}
	for _, p := range []int{3, 2, 1, 0} {
		want = append(want, names[p], names[p], names[p])
	}
	b.ordered(b.order(names, len(want)), want...)
}

func testOrderPriorityDue(b *bench) {
	b.insert("task.low-old", priority(0), dueIn(-time.Hour))
	b.insert("task.high-new", priority(2))
	b.insert("task.high-old", priority(2), dueIn(-time.Minute))
	b.insert("task.future", priority(3), dueIn(time.Hour))
	names := []string{"task.low-old", "task.high-new", "task.high-old", "task.future"}
	want := []string{"task.high-old", "task.high-new", "task.low-old"}
	if b.o.lacks(Order) {
		got := b.order(names, 3)
		if got[2] != "task.low-old" {
			b.Errorf("the tasks ran in the order %s, want task.low-old last", strings.Join(got, " "))
		}
		return
	}
	b.ordered(b.order(names, 3), want...)
}

func testOrderRetries(b *bench) {
	s := b.serve([]string{"task.high", "task.low"}, slots(1))
	b.insert("task.high", priority(3))
	h := s.nextNamed("task.high")
	b.insert("task.low", priority(1))
	h.conclude(engine.Outcome{Kind: engine.OutcomeRelease})
	h = s.nextNamed("task.high")
	h.succeed()
	s.nextNamed("task.low").succeed()
}

// testOrderUnknown: tasks of unknown names, however many, do not hold up the
// others.
func testOrderUnknown(b *bench) {
	var ms []*engine.Message
	for range 300 {
		m := b.message("task.unknown")
		if !b.o.lacks(Priorities) {
			m.Priority = 3
		}
		ms = append(ms, m)
	}
	b.batch(ms...)
	for range 5 {
		b.insert("task.known")
	}
	s := b.serve([]string{"task.known"}, slots(1))
	for range 5 {
		s.nextNamed("task.known").succeed()
	}
	s.none("the worker does not know it")
}
