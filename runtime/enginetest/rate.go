package enginetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// rateTests are of engine.Limit.Per.
var rateTests = []test{
	{name: "ComesBack", run: testRateComesBack},
	{name: "AtMost", run: testRateAtMost},
	{name: "EveryRunCounts", run: testRateEveryRun},
	{name: "SuspendedCountsAgain", run: testRateSuspended, needs: need{journal: true}},
	{name: "OthersGoOn", run: testRateOthersGoOn},
	{name: "WaitingIsCancelledAndDeleted", run: testRateWaitingEnds},
	{name: "WithLimit", run: testRateWithLimit},
	{name: "Ordered", run: testRateOrdered},
	{name: "PausedTakesNone", run: testRatePaused},
	{name: "NoBurst", run: testRateNoBurst},
	{name: "SetLimit", run: testSetRate},
	{name: "Counts", run: testRateCounts},
	{name: "OtherHandle", run: testRateOtherHandle, needs: need{second: true}},
	{name: "LostWorker", run: testRateLostWorker, needs: need{second: true, pause: true}},
	{name: "Race", run: testRateRace},
}

// rate is a rate of the test's own; its rule is its key.
func (b *bench) rate(key string, n int, per time.Duration) func(*engine.Message) {
	b.Helper()
	b.limiter(b.e)
	key += " of " + b.queue
	l := engine.Limit{Rule: key, Key: key, Most: n, Per: per}
	if err := b.e.Check(&engine.Message{Name: "task.rated", Queue: b.queue, Limits: []engine.Limit{l}}); errors.Is(err, engine.ErrUnsupported) {
		b.Skip("the engine has no rates")
	}
	return func(m *engine.Message) { m.Limits = append(m.Limits, l) }
}

// per is the time of a rate that is long beside the delays of a busy machine.
func (b *bench) per() time.Duration { return 12 * b.o.Step }

// apart fails the test unless the runs began at least the time apart.
func (b *bench) apart(first, second time.Time, per time.Duration) {
	b.Helper()
	if d := second.Sub(first); d < per {
		b.Errorf("a run began %v after the one that it was to wait for, want at least %v", d, per)
	}
}

// began returns when the latest run of the task began.
func (b *bench) began(id uuid.UUID) time.Time {
	b.Helper()
	return b.get(id).StartedAt
}

func testRateComesBack(b *bench) {
	m := b.message("task.rated", b.limit("a", 2), b.rate("b", 7, time.Minute), dueIn(time.Hour))
	id := b.put(m)
	b.sameMessage("Entry.Message", b.get(id).Message, m, id)
	delivered := b.message("task.rated", b.rate("b", 7, time.Minute))
	id = b.put(delivered)
	h := b.serve([]string{"task.rated"}).next()
	b.sameMessage("Delivery.Message", h.d.Message, delivered, id)
	h.succeed()
}

func testRateAtMost(b *bench) {
	s := b.serve([]string{"task.rated"}, slots(5))
	two := b.rate("k", 2, b.per())
	var ids []uuid.UUID
	for range 6 {
		ids = append(ids, b.insert("task.rated", two))
	}
	began := make([]time.Time, 6)
	for i := range ids {
		h := s.next()
		if i == 1 {
			b.poll("a task that waits for a rate is pending, and says for what", func() bool {
				en := b.get(ids[5])
				return en.State == engine.StatePending && en.Reason != ""
			})
			s.none("two runs of the key began")
		}
		if i < 4 { // the ends of the runs let nobody in
			h.succeed()
		}
		if began[i] = b.began(h.id()); i >= 2 {
			b.apart(began[i-2], began[i], b.per())
		}
		if i >= 4 {
			h.succeed()
		}
	}
	for _, id := range ids {
		if en := b.until(id, engine.StateSucceeded); en.Reason != "" {
			b.Errorf("a task that has succeeded has the reason %q", en.Reason)
		}
	}
}

// testRateEveryRun: a retry, a snooze and a run that is given back count as others
// do.
func testRateEveryRun(b *bench) {
	s := b.serve([]string{"task.rated"}, slots(5))
	id := b.insert("task.rated", b.rate("k", 1, b.per()))
	var last time.Time
	for _, o := range []engine.Outcome{
		{Kind: engine.OutcomeRetry, Reason: "again"}, {Kind: engine.OutcomeDelay}, {Kind: engine.OutcomeRelease},
		{Kind: engine.OutcomeSucceed},
	} {
		h := s.nextID(id)
		now := b.began(id)
		if !last.IsZero() {
			b.apart(last, now, b.per())
		}
		last = now
		h.conclude(o)
	}
	b.until(id, engine.StateSucceeded)
}

func testRateSuspended(b *bench) {
	s := b.serve([]string{"task.rated"}, slots(5))
	id := b.insert("task.rated", b.rate("k", 1, b.per()))
	h := s.nextID(id)
	first := b.began(id)
	h.suspend(engine.Wait{Need: 1}, 0)
	b.until(id, engine.StateWaiting)
	b.signal(id, "go", "", `1`)
	h = s.nextID(id)
	b.apart(first, b.began(id), b.per())
	h.succeed()
}

// testRateOthersGoOn: tasks of other keys pass those that wait for a rate.
func testRateOthersGoOn(b *bench) {
	s := b.serve([]string{"task.rated", "task.free"}, slots(2))
	hourly := b.rate("k", 1, time.Hour)
	var ms []*engine.Message
	for range 300 {
		ms = append(ms, b.message("task.rated", hourly))
	}
	b.batch(ms...)
	s.nextNamed("task.rated").succeed()
	for i := range 5 {
		b.insert("task.free")
		b.insert("task.rated", b.rate(fmt.Sprint("other", i), 1, time.Hour))
		s.next().succeed()
		s.next().succeed()
	}
	s.none("one run of the key began")
}

func testRateWaitingEnds(b *bench) {
	per := 2 * b.per() // so that they still wait when they are cancelled and deleted
	one := b.rate("k", 1, per)
	first := b.insert("task.rated", one)
	cancelled, deleted, last := b.insert("task.rated", one), b.insert("task.rated", one), b.insert("task.rated", one)
	s := b.serve([]string{"task.rated"}, slots(3))
	h := s.nextID(first)
	b.cancel(b.e, cancelled, "no")
	b.remove(deleted)
	b.until(cancelled, engine.StateCancelled)
	h.succeed()
	h = s.nextID(last)
	b.apart(b.began(first), b.began(last), per)
	h.succeed()
	if err := b.e.Retry(b.ctx(), cancelled); err != nil {
		b.Fatalf("Retry: %v", err)
	}
	h = s.nextID(cancelled)
	b.apart(b.began(last), b.began(cancelled), per)
	h.succeed()
}

// testRateWithLimit: what waits for a limit begins no run, and what waits for a rate
// holds none of the places of a limit after it.
func testRateWithLimit(b *bench) {
	s := b.serve([]string{"task.rated"}, slots(5))
	hourly, one := b.rate("k", 2, time.Hour), b.limit("l", 1)
	s.nextID(b.insert("task.rated")).succeed() // by now it serves, so that who comes first takes the places first
	both := func(m *engine.Message) { hourly(m); one(m) }
	first, second, third := b.insert("task.rated", both), b.insert("task.rated", both), b.insert("task.rated", both)
	h := s.nextID(first)
	s.quiet("the limit is 1")
	h.succeed()
	s.nextID(second).succeed()
	s.quiet("the rate is 2")
	only := b.insert("task.rated", one)
	s.nextID(only).succeed()
	if en := b.get(third); en.State != engine.StatePending {
		b.Errorf("the task that waits for a rate is %s, want pending", en.State)
	}
}

func testRateOrdered(b *bench) {
	s := b.serve([]string{"task.rated"}, slots(5))
	order, two := b.inOrder("o"), b.rate("k", 2, b.per())
	var ids []uuid.UUID
	for range 4 {
		ids = append(ids, b.insert("task.rated", order, two))
	}
	for i, id := range ids {
		h := s.nextID(id)
		if i >= 2 {
			b.apart(b.began(ids[i-2]), b.began(id), b.per())
		}
		h.succeed()
	}
}

// testRatePaused: a paused task takes nothing of the rate from others.
func testRatePaused(b *bench) {
	held, free := b.own("task.held"), b.own("task.free")
	two := b.rate("k", 2, time.Hour)
	s := b.serve([]string{held, free}, slots(3))
	resume := b.pausing(b.e, engine.Pause{Name: held})
	for range 3 {
		b.insert(held, two)
	}
	b.insert(free, two)
	s.nextNamed(free).succeed()
	s.quiet("it is paused")
	resume()
	s.nextNamed(held).succeed()
	s.quiet("the rate is 2")
}

// testRateNoBurst: after a time without workers no more begin than in any other.
func testRateNoBurst(b *bench) {
	two := b.rate("k", 2, b.per())
	s := b.serve([]string{"task.rated"}, slots(8))
	first := b.insert("task.rated", two)
	s.nextID(first).succeed()
	b.until(first, engine.StateSucceeded)
	s.mustStop()
	var ms []*engine.Message
	for range 6 {
		ms = append(ms, b.message("task.rated", two))
	}
	b.batch(ms...)
	time.Sleep(b.per() / 2)
	s = b.serve([]string{"task.rated"}, slots(8))
	began := []time.Time{b.began(first)}
	for range 6 {
		h := s.next()
		began = append(began, b.began(h.id()))
		h.succeed()
	}
	for i := 2; i < len(began); i++ {
		b.apart(began[i-2], began[i], b.per())
	}
}

func testSetRate(b *bench) {
	l := b.limiter(b.e)
	s := b.serve([]string{"task.rated"}, slots(5))
	hourly := b.rate("k", 1, time.Hour)
	set := func(n int) {
		b.Helper()
		if err := l.SetLimit(b.ctx(), "k of "+b.queue, n); err != nil {
			b.Fatalf("SetLimit(%d): %v", n, err)
		}
	}
	for range 5 {
		b.insert("task.rated", hourly)
	}
	s.next().succeed()
	s.quiet("the rate is 1")
	set(3)
	s.next().succeed()
	s.next().succeed()
	s.quiet("the rate is 3")
	set(0)
	s.quiet("the rate is 0")
	set(4)
	s.next().succeed()
	set(-1)
	s.quiet("the rate is 1 again")
}

func testRateCounts(b *bench) {
	l := b.limiter(b.e)
	rule := "k of " + b.queue
	s := b.serve([]string{"task.rated"}, slots(5))
	hourly := b.rate("k", 2, time.Hour)
	for range 5 {
		b.insert("task.rated", hourly)
	}
	s.next().succeed()
	s.next().succeed()
	want := engine.LimitCount{Rule: rule, Set: -1, Per: time.Hour, Keys: 1, Held: 2, Waiting: 3}
	var got engine.LimitCount
	b.poll("two runs have begun, and three tasks wait", func() bool {
		cs, err := l.Limits(b.ctx())
		if err != nil {
			b.Fatalf("Limits: %v", err)
		}
		i := slices.IndexFunc(cs, func(c engine.LimitCount) bool { return c.Rule == rule })
		if i < 0 {
			return false
		}
		got = cs[i]
		return got.Waiting == want.Waiting
	})
	if got != want {
		b.Errorf("Limits: %+v, want %+v", got, want)
	}
}

func testRateOtherHandle(b *bench) {
	s := b.serve([]string{"task.rated"}, slots(3))
	other := b.serveOn(b.second(), []string{"task.rated"}, slots(3))
	two := b.rate("k", 2, b.per())
	for range 6 {
		b.insert("task.rated", two)
	}
	var began []time.Time
	for range 6 {
		var h *handed
		select { // of two that have begun, either may come first
		case h = <-s.runs:
		case h = <-other.runs:
		case <-time.After(b.o.Patience):
			b.Fatalf("no task was run for %v, although the rate allows one", b.o.Patience)
		}
		began = append(began, b.began(h.id()))
		h.succeed()
	}
	slices.SortFunc(began, time.Time.Compare)
	for i := 2; i < len(began); i++ {
		b.apart(began[i-2], began[i], b.per())
	}
}

// testRateLostWorker: the run of a lost worker counts, and so does the one after it.
func testRateLostWorker(b *bench) {
	per := b.o.Lease + b.per()
	one := b.rate("k", 1, per)
	lost := b.serve([]string{"task.rated"}, slots(1))
	first := b.insert("task.rated", one)
	h := lost.nextID(first)
	began := b.began(first)
	b.pause()
	second := b.second()
	s := b.serveOn(second, []string{"task.rated"}, slots(3))
	b.insertInto(second, b.message("task.rated", one))
	for range 2 {
		again := s.next()
		en, err := second.Get(b.ctx(), again.id())
		if err != nil {
			b.Fatalf("Get: %v", err)
		}
		b.apart(began, en.StartedAt, per)
		began = en.StartedAt
		again.succeed()
	}
	h.conclude(engine.Outcome{Kind: engine.OutcomeRelease})
}

// testRateRace: with several workers no window has more runs than the rate allows, told
// by the moments that count. A run looks at the clock only after its own.
func testRateRace(b *bench) {
	const keys, n, tasks = 3, 5, 20
	per := b.per()
	var l log
	run := func(_ context.Context, d *engine.Delivery) engine.Outcome {
		l.add(d)
		return engine.Outcome{Kind: engine.OutcomeSucceed}
	}
	for range 3 {
		b.auto([]string{"task.rated"}, run, slots(5))
	}
	var ids []uuid.UUID
	for i := range keys * tasks {
		ids = append(ids, b.insert("task.rated", b.rate(fmt.Sprint("key", i%keys), n, per)))
	}
	b.poll("all tasks have run", func() bool { return l.len() >= len(ids) })
	began := make([][]time.Time, keys)
	for i, id := range ids {
		began[i%keys] = append(began[i%keys], b.began(id))
	}
	for _, times := range began {
		slices.SortFunc(times, time.Time.Compare)
		for i := n; i < len(times); i++ {
			b.apart(times[i-n], times[i], per)
		}
	}
	l.once(b, ids)
}
