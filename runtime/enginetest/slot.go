package enginetest

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

var slotTests = []test{
	{name: "AllUsed", run: testSlotsAllUsed},
	{name: "NeverMore", run: testSlotsNeverMore},
	{name: "FreedByEveryOutcome", run: testSlotsFreed},
	{name: "Goexit", run: testSlotsGoexit},
	{name: "HeldWhenStopped", run: testSlotsHeld},
}

func testSlotsAllUsed(b *bench) {
	const n = 5
	s := b.serve([]string{"task.slot"}, slots(n))
	var ms []*engine.Message
	for range n + 3 {
		ms = append(ms, b.message("task.slot"))
	}
	b.batch(ms...)
	var hs []*handed
	for range n {
		hs = append(hs, s.next()) // n run at the same time
	}
	s.none("all slots are taken")
	for _, h := range hs {
		h.succeed()
	}
	for range 3 {
		s.next().succeed()
	}
}

func testSlotsNeverMore(b *bench) {
	const n = 3
	var running, most atomic.Int64
	var l log
	b.auto([]string{"task.slot"}, func(_ context.Context, d *engine.Delivery) engine.Outcome {
		defer running.Add(-1)
		now := running.Add(1)
		for {
			if old := most.Load(); now <= old || most.CompareAndSwap(old, now) {
				break
			}
		}
		time.Sleep(time.Duration(d.Message.Meta.ID[15]%4) * time.Millisecond)
		if l.add(d) == 1 && d.Message.Meta.ID[15]%3 == 0 {
			return engine.Outcome{Kind: engine.OutcomeRetry}
		}
		return engine.Outcome{Kind: engine.OutcomeSucceed}
	}, slots(n))
	var ms []*engine.Message
	for range 60 {
		ms = append(ms, b.message("task.slot"))
	}
	for _, id := range b.batch(ms...) {
		b.until(id, engine.StateSucceeded)
	}
	if got := most.Load(); got > n {
		b.Errorf("%d tasks ran at the same time on %d slots", got, n)
	}
}

func testSlotsFreed(b *bench) {
	s := b.serve([]string{"task.slot"}, slots(1))
	for _, kind := range []engine.OutcomeKind{
		engine.OutcomeSucceed, engine.OutcomeFail, engine.OutcomeCancel,
		engine.OutcomeRetry, engine.OutcomeDelay, engine.OutcomeRelease,
	} {
		b.insert("task.slot")
		s.next().conclude(engine.Outcome{Kind: kind, After: time.Hour})
		if kind == engine.OutcomeRelease {
			s.next().succeed()
		}
	}
}

// testSlotsGoexit: the outcome of a handler that calls Goexit is written, and
// costs no slot.
func testSlotsGoexit(b *bench) {
	s := b.serve([]string{"task.exit"}, slots(2))
	for range 6 {
		id := b.insert("task.exit")
		h := s.next()
		h.answer <- answer{o: engine.Outcome{Kind: engine.OutcomeFail, Reason: "called Goexit"}, goexit: true}
		if en := b.until(id, engine.StateFailed); en.Reason != "called Goexit" {
			b.Errorf("Entry.Reason is %q, want what was written before the goroutine ended", en.Reason)
		}
	}
	b.batch(b.message("task.exit"), b.message("task.exit"))
	first, second := s.next(), s.next()
	first.succeed()
	second.succeed()
	s.mustStop()
}

// testSlotsHeld: a run that was stopped and does not return keeps its slot.
func testSlotsHeld(b *bench) {
	s := b.serve([]string{"task.slot"}, slots(1))
	id := b.insert("task.slot")
	h := s.next()
	if err := b.e.Cancel(b.ctx(), id, "stop"); err != nil {
		b.Fatalf("Cancel: %v", err)
	}
	h.stopped()
	b.insert("task.slot")
	time.Sleep(4 * b.o.Step)
	s.none("the only slot is held by a run that has not returned")
	h.conclude(engine.Outcome{Kind: engine.OutcomeCancel, Reason: "stop"})
	s.next().succeed()
}
