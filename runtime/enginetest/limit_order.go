package enginetest

import (
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// inOrder is a limit that keeps the order.
func (b *bench) inOrder(key string) func(*engine.Message) {
	b.Helper()
	b.limiter(b.e)
	key += " of " + b.queue
	return func(m *engine.Message) {
		m.Limits = append([]engine.Limit{{Rule: key, Key: key, Most: 1, Ordered: true}}, m.Limits...)
	}
}

func testLimitOrdered(b *bench) {
	order := b.inOrder("k")
	var ids []uuid.UUID
	for i := range 10 {
		m := b.message("task.ordered", order)
		if !b.o.lacks(Priorities) {
			m.Priority = int8(i % 4)
		}
		ids = append(ids, b.put(m))
	}
	s := b.serve([]string{"task.ordered"}, slots(5))
	for i, id := range ids {
		h := s.nextID(id)
		if i == 3 {
			s.quiet("the one before it runs")
		}
		h.succeed()
	}
}

// testLimitOrderedHead: the head keeps its place while it waits for its next run,
// and lets the next go when it has ended, in whatever way.
func testLimitOrderedHead(b *bench) {
	s := b.serve([]string{"task.ordered"}, slots(5))
	order := b.inOrder("k")
	first := b.insert("task.ordered", order)
	second, third, fourth := b.insert("task.ordered", order), b.insert("task.ordered", order), b.insert("task.ordered", order)
	s.nextID(first).conclude(engine.Outcome{Kind: engine.OutcomeRetry, After: 2 * b.o.Step, Reason: "again"})
	h := s.nextID(first)
	h.conclude(engine.Outcome{Kind: engine.OutcomeDelay, After: 2 * b.o.Step})
	s.nextID(first).conclude(engine.Outcome{Kind: engine.OutcomeRelease})
	s.nextID(first).conclude(engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"})
	h = s.nextID(second)
	b.cancel(b.e, third, "no")
	h.succeed()
	s.nextID(fourth).succeed()
}

func testLimitOrderedDelayed(b *bench) {
	s := b.serve([]string{"task.ordered"}, slots(5))
	order := b.inOrder("k")
	first := b.insert("task.ordered", order, dueIn(30*b.o.Step))
	second := b.insert("task.ordered", order)
	s.quiet("the head of its key is not due")
	s.nextID(first).succeed()
	s.nextID(second).succeed()
	head := b.insert("task.ordered", order, dueIn(time.Hour))
	next := b.insert("task.ordered", order)
	s.quiet("the head of its key is not due")
	b.cancel(b.e, head, "no")
	s.nextID(next).succeed()
}

func testLimitOrderedRetry(b *bench) {
	s := b.serve([]string{"task.ordered"}, slots(5))
	order := b.inOrder("k")
	first := b.insert("task.ordered", order)
	h := s.nextID(first)
	second, third := b.insert("task.ordered", order), b.insert("task.ordered", order)
	h.conclude(engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"})
	b.until(first, engine.StateFailed)
	h = s.nextID(second)
	if err := b.e.Retry(b.ctx(), first); err != nil {
		b.Fatalf("Retry: %v", err)
	}
	h.succeed()
	s.nextID(third).succeed()
	s.nextID(first).succeed()
}
