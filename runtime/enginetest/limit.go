package enginetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// limitTests are of [engine.Limiter].
var limitTests = []test{
	{name: "ComesBack", run: testLimitComesBack},
	{name: "AtMost", run: testLimitAtMost},
	{name: "BeforeServe", run: testLimitBeforeServe},
	{name: "OthersGoOn", run: testLimitOthersGoOn},
	{name: "EveryEndLetsIn", run: testLimitEveryEnd},
	{name: "WaitingIsCancelledAndDeleted", run: testLimitWaitingEnds},
	{name: "Delayed", run: testLimitDelayed},
	{name: "Narrow", run: testLimitNarrow},
	{name: "ManyKeys", run: testLimitManyKeys},
	{name: "Priority", run: testLimitPriority, needs: need{feature: Priorities}},
	{name: "PausedHoldsNoPlace", run: testLimitPaused},
	{name: "SuspendedHoldsNoPlace", run: testLimitSuspended, needs: need{journal: true}},
	{name: "SetLimit", run: testSetLimit},
	{name: "Counts", run: testLimitCounts},
	{name: "Ordered", run: testLimitOrdered},
	{name: "OrderedHead", run: testLimitOrderedHead},
	{name: "OrderedDelayedHead", run: testLimitOrderedDelayed},
	{name: "OrderedRetryJoinsTheTail", run: testLimitOrderedRetry},
	{name: "OtherHandle", run: testLimitOtherHandle, needs: need{second: true}},
	{name: "LostWorker", run: testLimitLostWorker, needs: need{second: true, pause: true}},
	{name: "Race", run: testLimitRace},
	{name: "Random", run: testLimitRandom},
}

// limiter returns the engine's Limiter, or skips the test.
func (b *bench) limiter(e engine.Engine) engine.Limiter {
	b.Helper()
	l, ok := engine.As[engine.Limiter](e)
	if !ok {
		b.Skip("the engine has no limits")
	}
	return l
}

// limit is a limit of the test's own; its rule is its key.
func (b *bench) limit(key string, most int) func(*engine.Message) {
	b.Helper()
	b.limiter(b.e)
	key += " of " + b.queue
	return func(m *engine.Message) {
		m.Limits = append(m.Limits, engine.Limit{Rule: key, Key: key, Most: most})
	}
}

// nextID is next, and fails the test unless the run is of the task.
func (s *server) nextID(id uuid.UUID) *handed {
	s.b.Helper()
	h := s.next()
	if h.id() != id {
		s.b.Fatalf("task %s %q was run, want %s", h.id(), h.d.Message.Name, id)
	}
	return h
}

func testLimitComesBack(b *bench) {
	m := b.message("task.limited", b.limit("a", 2), b.limit("b", 7), b.inOrder("c"), dueIn(time.Hour))
	id := b.put(m)
	b.sameMessage("Entry.Message", b.get(id).Message, m, id)
	delivered := b.message("task.limited", b.limit("a", 2))
	id = b.put(delivered)
	h := b.serve([]string{"task.limited"}).next()
	b.sameMessage("Delivery.Message", h.d.Message, delivered, id)
	h.succeed()
}

func testLimitAtMost(b *bench) {
	s := b.serve([]string{"task.limited"}, slots(5))
	two := b.limit("k", 2)
	var ids []uuid.UUID
	for range 6 {
		ids = append(ids, b.insert("task.limited", two))
	}
	first, second := s.next(), s.next()
	s.quiet("two tasks of the key run")
	en := b.get(ids[5])
	if en.State != engine.StatePending || !strings.Contains(en.Reason, "k of "+b.queue) {
		b.Errorf("a task that waits for a limit is %s, reason %q; want pending, and the limit in the reason", en.State, en.Reason)
	}
	first.succeed()
	third := s.next()
	s.quiet("two tasks of the key run")
	second.succeed()
	third.succeed()
	for range 3 {
		s.next().succeed()
	}
	for _, id := range ids {
		if en := b.until(id, engine.StateSucceeded); en.Reason != "" {
			b.Errorf("a task that has succeeded has the reason %q", en.Reason)
		}
	}
}

func testLimitBeforeServe(b *bench) {
	one := b.limit("k", 1)
	var ms []*engine.Message
	for range 20 {
		ms = append(ms, b.message("task.limited", one))
	}
	b.batch(ms...)
	free := b.insert("task.free")
	s := b.serve([]string{"task.limited", "task.free"}, slots(2))
	h, other := s.next(), s.next()
	if h.id() == free {
		h, other = other, h
	}
	if other.id() != free {
		b.Fatalf("two tasks of the key run")
	}
	other.succeed()
	for range 19 {
		s.none("a task of the key runs")
		h.succeed()
		h = s.next()
	}
	h.succeed()
}

// testLimitOthersGoOn: a queue full of tasks that may not run yet delays no other.
func testLimitOthersGoOn(b *bench) {
	s := b.serve([]string{"task.limited", "task.free"}, slots(2))
	one := b.limit("k", 1)
	var ms []*engine.Message
	for range 300 {
		ms = append(ms, b.message("task.limited", one))
	}
	b.batch(ms...)
	h := s.nextNamed("task.limited")
	for range 5 {
		b.insert("task.free")
		s.nextNamed("task.free").succeed()
	}
	s.none("a task of the key runs")
	h.succeed()
	s.nextNamed("task.limited").succeed()
}

func testLimitEveryEnd(b *bench) {
	for _, o := range []engine.Outcome{
		{Kind: engine.OutcomeSucceed}, {Kind: engine.OutcomeSucceed, Result: number(1)},
		{Kind: engine.OutcomeFail, Reason: "no"}, {Kind: engine.OutcomeCancel, Reason: "not needed"},
		{Kind: engine.OutcomeRetry, Reason: "again", After: time.Hour}, {Kind: engine.OutcomeDelay, After: time.Hour},
	} {
		s := b.serve([]string{"task.limited"}, slots(3))
		one := b.limit(fmt.Sprintf("k%d%v", o.Kind, o.Result != nil), 1)
		first := b.insert("task.limited", one)
		s.nextID(first)
		second := b.insert("task.limited", one)
		s.b.get(second)
		s.mustReturn(first, o)
		s.nextID(second).succeed()
		s.mustStop()
	}
	s := b.serve([]string{"task.limited"}, slots(3))
	one := b.limit("release", 1)
	first := b.insert("task.limited", one)
	h := s.nextID(first)
	b.insert("task.limited", one)
	h.conclude(engine.Outcome{Kind: engine.OutcomeRelease})
	s.next().succeed()
	s.next().succeed()
	cancelled := b.insert("task.limited", one)
	h = s.nextID(cancelled)
	last := b.insert("task.limited", one)
	b.cancel(b.e, cancelled, "no")
	h.stopped()
	h.conclude(engine.Outcome{Kind: engine.OutcomeRetry, After: time.Hour})
	s.nextID(last).succeed()
}

// mustReturn concludes the open run of the task.
func (s *server) mustReturn(id uuid.UUID, o engine.Outcome) {
	s.b.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for h := range s.open {
		if h.id() == id {
			h.conclude(o)
			return
		}
	}
	s.b.Fatalf("task %s does not run", id)
}

func testLimitWaitingEnds(b *bench) {
	s := b.serve([]string{"task.limited"}, slots(3))
	one := b.limit("k", 1)
	h := s.nextID(b.insert("task.limited", one))
	cancelled, deleted, last := b.insert("task.limited", one), b.insert("task.limited", one), b.insert("task.limited", one)
	b.cancel(b.e, cancelled, "no")
	b.until(cancelled, engine.StateCancelled)
	b.remove(deleted)
	h.succeed()
	s.nextID(last).succeed()
	if err := b.e.Retry(b.ctx(), cancelled); err != nil {
		b.Fatalf("Retry: %v", err)
	}
	s.nextID(cancelled).succeed()
}

// testLimitDelayed: a task that is not due yet, or waits for its next run, holds no
// place.
func testLimitDelayed(b *bench) {
	s := b.serve([]string{"task.limited"}, slots(3))
	one := b.limit("k", 1)
	b.insert("task.limited", one, dueIn(time.Hour))
	first := b.insert("task.limited", one)
	h := s.nextID(first)
	later := b.insert("task.limited", one, dueIn(b.o.Step/2))
	s.quiet("a task of the key runs")
	s.quiet("a task of the key runs")
	h.conclude(engine.Outcome{Kind: engine.OutcomeRetry, After: b.o.Step, Reason: "again"})
	h = s.nextID(later)
	s.quiet("a task of the key runs")
	h.succeed()
	s.nextID(first).succeed()
}

// testLimitNarrow: tasks that wait for their own value's limit hold no place that
// others need.
func testLimitNarrow(b *bench) {
	s := b.serve([]string{"task.limited"}, slots(5))
	ann, bob, all := b.limit("ann", 1), b.limit("bob", 1), b.limit("whole", 2)
	a := s.nextID(b.insert("task.limited", ann, all))
	for range 10 {
		b.insert("task.limited", ann, all)
	}
	bobs := b.insert("task.limited", bob, all)
	h := s.nextID(bobs)
	s.quiet("two tasks run")
	carl := b.insert("task.limited", b.limit("carl", 1), all)
	s.quiet("two tasks run")
	h.succeed()
	c := s.next()
	if c.id() != carl {
		b.Fatalf("a second task of a value with limit 1 runs")
	}
	c.succeed()
	a.succeed()
	for range 10 {
		s.next().succeed()
	}
}

func testLimitManyKeys(b *bench) {
	s := b.serve([]string{"task.limited"}, slots(8))
	var first []*handed
	for i := range 4 {
		one := b.limit(fmt.Sprint("key", i), 1)
		b.batch(b.message("task.limited", one), b.message("task.limited", one))
	}
	for range 4 {
		first = append(first, s.next())
	}
	s.quiet("a task of each key runs")
	for _, h := range first {
		h.succeed()
	}
	for range 4 {
		s.next().succeed()
	}
}

func testLimitPriority(b *bench) {
	s := b.serve([]string{"task.limited"}, slots(3))
	one := b.limit("k", 1)
	h := s.nextID(b.insert("task.limited", one))
	low := b.insert("task.limited", one, priority(0))
	middle := b.insert("task.limited", one, priority(1))
	older := b.insert("task.limited", one, priority(1), dueIn(-time.Hour))
	high := b.insert("task.limited", one, priority(3))
	for _, id := range []uuid.UUID{high, older, middle, low} {
		h.succeed()
		h = s.nextID(id)
	}
	h.succeed()
}

// testLimitPaused: a paused task keeps nobody else from the key.
func testLimitPaused(b *bench) {
	held, free := b.own("task.held"), b.own("task.free")
	one := b.limit("k", 1)
	s := b.serve([]string{held, free}, slots(3))
	resume := b.pausing(b.e, engine.Pause{Name: held})
	b.insert(held, one)
	b.insert(free, one)
	h := s.nextNamed(free)
	b.insert(held, one)
	b.insert(free, one)
	h.succeed()
	s.nextNamed(free).succeed()
	s.quiet("it is paused")
	resume()
	s.nextNamed(held).succeed()
	s.nextNamed(held).succeed()
}

// testLimitSuspended: a suspended task holds no place, and takes one again when it
// is woken.
func testLimitSuspended(b *bench) {
	one := b.limit("k", 1)
	s := b.serve([]string{"task.limited"}, slots(3))
	first := b.insert("task.limited", one)
	h := s.next()
	second := b.insert("task.limited", one)
	s.quiet("the limit is 1")
	h.suspend(engine.Wait{Need: 1}, 0)
	b.until(first, engine.StateWaiting)
	h = s.next()
	if h.id() != second {
		b.Fatalf("task %s was run, want %s: the first one waits", h.id(), second)
	}
	b.signal(first, "go", "", `1`)
	s.quiet("the limit is 1, and the other task runs")
	h.succeed()
	if h = s.next(); h.id() != first {
		b.Fatalf("task %s was run, want %s, which was woken", h.id(), first)
	}
	h.succeed()
	b.until(first, engine.StateSucceeded)
}
