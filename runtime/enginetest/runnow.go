package enginetest

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// runNowTests are of [engine.NowRunner].
var runNowTests = []test{
	{name: "Scheduled", run: testRunNowScheduled},
	{name: "BeforeServe", run: testRunNowBeforeServe},
	{name: "Retrying", run: testRunNowRetrying},
	{name: "DueStays", run: testRunNowDue},
	{name: "OtherStates", run: testRunNowOtherStates},
	{name: "Suspended", run: testRunNowSuspended, needs: need{journal: true}},
	{name: "Paused", run: testRunNowPaused},
	{name: "Limited", run: testRunNowLimited},
	{name: "KeepsItsTurn", run: testRunNowOrdered},
	{name: "Order", run: testRunNowOrder, needs: need{feature: Order}},
	{name: "OtherHandle", run: testRunNowOtherHandle, needs: need{second: true}},
	{name: "Many", run: testRunNowMany},
}

// nowRunner returns the engine's NowRunner, or skips the test.
func (b *bench) nowRunner(e engine.Engine) engine.NowRunner {
	b.Helper()
	r, ok := engine.As[engine.NowRunner](e)
	if !ok {
		b.Skip("the engine runs no task before its time")
	}
	return r
}

func (b *bench) runNow(id uuid.UUID) {
	b.Helper()
	if err := b.nowRunner(b.e).RunNow(b.ctx(), id); err != nil {
		b.Fatalf("RunNow: %v", err)
	}
}

func testRunNowScheduled(b *bench) {
	s := b.serve([]string{"task.later"})
	later := b.insert("task.later", dueIn(2*time.Hour))
	id := b.insert("task.later", dueIn(time.Hour))
	b.until(id, engine.StateScheduled)
	before := time.Now()
	b.runNow(id)
	h := s.nextID(id)
	if h.d.Attempt != 0 {
		b.Errorf("Attempt is %d, want 0", h.d.Attempt)
	}
	if en := b.get(id); en.Due.Sub(before).Abs() > time.Minute {
		b.Errorf("Entry.Due is %v, want about %v", en.Due, before)
	}
	h.succeed()
	b.until(id, engine.StateSucceeded)
	s.quiet("it is scheduled, and nobody has asked for it")
	if en := b.get(later); en.State != engine.StateScheduled {
		b.Errorf("another scheduled task is %s", en.State)
	}
}

func testRunNowBeforeServe(b *bench) {
	id := b.insert("task.later", dueIn(time.Hour))
	b.runNow(id)
	if en := b.get(id); en.State != engine.StatePending {
		b.Errorf("after RunNow the task is %s, want pending", en.State)
	}
	b.runNow(id) // it is due: no error
	b.serve([]string{"task.later"}).nextID(id).succeed()
	b.until(id, engine.StateSucceeded)
}

// testRunNowRetrying: the run is the one that would have come, with what was kept.
func testRunNowRetrying(b *bench) {
	s := b.serve([]string{"task.again"})
	id := b.insert("task.again")
	h := s.next()
	h.save(`"kept"`)
	h.conclude(engine.Outcome{Kind: engine.OutcomeRetry, After: time.Hour, Reason: "broken"})
	b.until(id, engine.StateRetrying)
	b.runNow(id)
	h = s.nextID(id)
	if h.d.Attempt != 1 {
		b.Errorf("Attempt is %d, want 1: RunNow uses none", h.d.Attempt)
	}
	b.memoIs("the run after RunNow", h.load(), `"kept"`)
	h.conclude(engine.Outcome{Kind: engine.OutcomeDelay, After: time.Hour})
	b.until(id, engine.StateRetrying)
	b.runNow(id)
	if h = s.nextID(id); h.d.Attempt != 1 {
		b.Errorf("Attempt after a delay is %d, want 1", h.d.Attempt)
	}
	h.succeed()
	b.until(id, engine.StateSucceeded)
}

func testRunNowDue(b *bench) {
	id := b.insert("task.due")
	due := b.get(id).Due
	b.runNow(id)
	if en := b.get(id); en.State != engine.StatePending || !en.Due.Equal(due) {
		b.Errorf("after RunNow a due task is %s and due at %v, want it as it was: %v", en.State, en.Due, due)
	}
	s := b.serve([]string{"task.due"})
	s.nextID(id).succeed()
	b.until(id, engine.StateSucceeded)
	s.none("it is one task")
}

func testRunNowOtherStates(b *bench) {
	r := b.nowRunner(b.e)
	id := b.insert("task.now")
	h := b.serve([]string{"task.now"}).next()
	b.is("RunNow of a running task", r.RunNow(b.ctx(), id), engine.ErrState)
	h.succeed()
	b.until(id, engine.StateSucceeded)
	b.is("RunNow of a task that succeeded", r.RunNow(b.ctx(), id), engine.ErrState)
	id = b.insert("task.other", dueIn(time.Hour))
	b.cancel(b.e, id, "no")
	b.until(id, engine.StateCancelled)
	b.is("RunNow of a cancelled task", r.RunNow(b.ctx(), id), engine.ErrState)
	b.namedOnce("RunNow of a cancelled task", runtime.New(b.e, runtime.Config{}).RunNow(b.ctx(), id), id)
	b.is("RunNow of an unknown task", r.RunNow(b.ctx(), uuid.New()), engine.ErrNotFound)
}

// testRunNowSuspended: what a suspended task waits for is its own.
func testRunNowSuspended(b *bench) {
	r := b.nowRunner(b.e)
	s := b.serve([]string{"task.parent"})
	id := b.insert("task.parent")
	s.next().suspend(engine.Wait{Need: 1}, time.Hour)
	b.until(id, engine.StateWaiting)
	b.is("RunNow of a suspended task", r.RunNow(b.ctx(), id), engine.ErrState)
	s.quiet("it waits for a signal")
	b.signal(id, "go", "", `1`)
	s.nextID(id).succeed()
}

func testRunNowPaused(b *bench) {
	b.nowRunner(b.e)
	s := b.serve([]string{"task.paused"})
	resume := b.pausing(b.e, engine.Pause{Queue: b.queue})
	id := b.insert("task.paused", dueIn(time.Hour))
	b.runNow(id)
	s.quiet("its queue is paused")
	if en := b.get(id); en.State != engine.StatePending {
		b.Errorf("a task of a paused queue is %s, want pending", en.State)
	}
	resume()
	s.nextID(id).succeed()
}

func testRunNowLimited(b *bench) {
	b.nowRunner(b.e)
	s := b.serve([]string{"task.limited"}, slots(5))
	one := b.limit("k", 1)
	h := s.nextID(b.insert("task.limited", one))
	id := b.insert("task.limited", one, dueIn(time.Hour))
	b.runNow(id)
	s.quiet("a task of the key runs")
	b.poll("the record says that it waits for the limit", func() bool { return strings.Contains(b.get(id).Reason, "k of "+b.queue) })
	b.runNow(id) // it is due: it goes on waiting
	h.succeed()
	h = s.nextID(id)
	again := b.insert("task.limited", one)
	h.conclude(engine.Outcome{Kind: engine.OutcomeRetry, After: time.Hour, Reason: "again"})
	h = s.nextID(again)
	b.until(id, engine.StateRetrying)
	b.runNow(id)
	s.quiet("a task of the key runs")
	h.succeed()
	s.nextID(id).succeed()
}

// testRunNowOrdered: a task runs no sooner than those before it in an order, and
// then at once.
func testRunNowOrdered(b *bench) {
	b.nowRunner(b.e)
	s := b.serve([]string{"task.ordered"}, slots(5))
	order := b.inOrder("k")
	first := b.insert("task.ordered", order, dueIn(time.Hour))
	second := b.insert("task.ordered", order, dueIn(2*time.Hour))
	third := b.insert("task.ordered", order)
	b.runNow(second)
	s.quiet("the first comes before it, and is scheduled")
	b.runNow(first)
	h := s.nextID(first)
	s.quiet("the first runs")
	h.succeed()
	s.nextID(second).succeed()
	s.nextID(third).succeed()
}

// testRunNowOrder: a task comes after those that have been due for longer.
func testRunNowOrder(b *bench) {
	b.nowRunner(b.e)
	now := b.insert("task.now", dueIn(time.Hour))
	first, second := b.insert("task.now"), b.insert("task.now")
	b.runNow(now)
	s := b.serve([]string{"task.now"}, slots(1))
	for _, id := range []uuid.UUID{first, second, now} {
		s.nextID(id).succeed()
	}
}

func testRunNowOtherHandle(b *bench) {
	s := b.serve([]string{"task.other"})
	id := b.insert("task.other", dueIn(time.Hour))
	if err := b.nowRunner(b.second()).RunNow(b.ctx(), id); err != nil {
		b.Fatalf("RunNow by another handle: %v", err)
	}
	s.nextID(id).succeed()
	b.until(id, engine.StateSucceeded)
}

// testRunNowMany: each task runs once, whether its time comes meanwhile or not.
func testRunNowMany(b *bench) {
	r := b.nowRunner(b.e)
	s := b.serve([]string{"task.many"}, slots(5))
	ids := make(map[uuid.UUID]bool)
	for i := range 40 {
		ids[b.insert("task.many", dueIn(time.Duration(i)*b.o.Step/8))] = true
	}
	go func() {
		for id := range ids {
			_ = r.RunNow(b.ctx(), id) // it may run by now
		}
	}()
	seen := make(map[uuid.UUID]bool)
	for range ids {
		h := s.next()
		if seen[h.id()] {
			b.Errorf("task %s was run twice", h.id())
		}
		seen[h.id()] = true
		h.succeed()
	}
	s.quiet("each was run")
}
