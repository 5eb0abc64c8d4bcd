package enginetest

import (
	"encoding/json"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

var suspendTests = []test{
	{name: "Waits", run: testSuspendWaits, needs: need{journal: true}},
	{name: "UsesNoAttempt", run: testSuspendAttempt, needs: need{journal: true}},
	{name: "KeepsItsDue", run: testSuspendDue, needs: need{journal: true, feature: Order}},
	{name: "MetAlready", run: testSuspendMet, needs: need{journal: true}},
	{name: "WakesAtAfter", run: testSuspendAfter, needs: need{journal: true}},
	{name: "ShortestAfter", run: testSuspendShortest, needs: need{journal: true}},
	{name: "WakesAtNeedNotBefore", run: testSuspendNeed, needs: need{journal: true}},
	{name: "FailFast", run: testSuspendFailFast, needs: need{journal: true}},
	{name: "NameOnly", run: testSuspendName, needs: need{journal: true}},
	{name: "NameCameBefore", run: testSuspendNameCame, needs: need{journal: true}},
	{name: "EntryIsWaiting", run: testSuspendEntry, needs: need{journal: true}},
	{name: "Counted", run: testSuspendCounted, needs: need{journal: true}},
	{name: "Listed", run: testSuspendListed, needs: need{journal: true}},
	{name: "HoldsItsKey", run: testSuspendKey, needs: need{journal: true}},
	{name: "StopLeavesIt", run: testSuspendStop, needs: need{journal: true}},
	{name: "OutcomeAfterLeaseLost", run: testSuspendLost, needs: need{journal: true, second: true, pause: true}},
	{name: "WorkerLostAfterSuspend", run: testSuspendWorkerLost, needs: need{journal: true, second: true, pause: true}},
	{name: "CancelAskedWhileRunning", run: testSuspendCancelAsked, needs: need{journal: true}},
	{name: "CancelWhileWaiting", run: testSuspendCancel, needs: need{journal: true}},
	{name: "DeleteWhileWaiting", run: testSuspendDelete, needs: need{journal: true}},
	{name: "RetryByHand", run: testSuspendRetry, needs: need{journal: true}},
	{name: "NoRoomTaken", run: testSuspendRoom, needs: need{journal: true, bounded: true}},
}

// barrier runs a task of its own, enqueued now: earlier due tasks have been
// taken by then.
func (b *bench) barrier(s *server, name string) {
	b.Helper()
	b.insert(name)
	s.nextNamed(name).succeed()
}

func testSuspendWaits(b *bench) {
	id := b.insert("task.parent")
	s := b.serve([]string{"task.other", "task.parent"})
	h := s.nextNamed("task.parent")
	h.record(step("a", `1`))
	h.suspend(engine.Wait{Need: 1}, 0)
	b.until(id, engine.StateWaiting)
	b.barrier(s, "task.other")
	s.none("it waits for a signal that nobody has sent")
	b.signal(id, "go", "", `{"n":1}`)
	h = s.nextNamed("task.parent")
	es := h.read()
	b.named(es, "a")
	if e := b.named(es, "go"); e.Kind != engine.EntrySignal || e.Came != 1 || !sameJSON(e.Value, json.RawMessage(`{"n":1}`)) {
		b.Errorf("the signal's entry is %+v with %s, want kind g, Came 1 and what was sent", e, shown(e.Value))
	}
	h.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: number(7)})
	if en := b.until(id, engine.StateSucceeded); !sameJSON(en.Result, number(7)) || en.EndedAt.IsZero() {
		b.Errorf("the task that was suspended ended with the result %s at %v", shown(en.Result), en.EndedAt)
	}
}

func testSuspendAttempt(b *bench) {
	id := b.insert("task.parent", func(m *engine.Message) { m.Meta.Retries = 0 })
	s := b.serve([]string{"task.parent"})
	for i := range 20 {
		h := s.next()
		if h.d.Attempt != 0 {
			b.Fatalf("Attempt is %d after %d suspensions, want 0", h.d.Attempt, i)
		}
		h.suspend(engine.Wait{Seen: int64(i), Need: 1}, 0)
		b.signal(id, "go", "", `1`)
	}
	s.next().succeed()
	if en := b.until(id, engine.StateSucceeded); en.Attempt != 0 {
		b.Errorf("Entry.Attempt is %d, want 0", en.Attempt)
	}
}

// testSuspendDue: a task that goes on does so before tasks that came after it and
// have not begun.
func testSuspendDue(b *bench) {
	id := b.insert("task.parent")
	first := b.get(id).Due
	s := b.serve([]string{"task.other", "task.parent"}, slots(1))
	h := s.nextNamed("task.parent")
	h.suspend(engine.Wait{Need: 1}, time.Hour)
	b.until(id, engine.StateWaiting)
	b.insert("task.other")
	busy := s.nextNamed("task.other")
	b.insert("task.other")
	b.signal(id, "go", "", `1`)
	if en := b.until(id, engine.StatePending); !en.Due.Equal(first) {
		b.Errorf("Entry.Due of a task that goes on is %v, want what it was, %v", en.Due, first)
	}
	busy.succeed()
	s.nextNamed("task.parent").succeed()
	s.nextNamed("task.other").succeed()
	b.until(id, engine.StateSucceeded)
}

// testSuspendMet: an arrival since the run has read the journal counts.
func testSuspendMet(b *bench) {
	id := b.insert("task.parent")
	s := b.serve([]string{"task.parent", "task.child"})
	h := s.nextNamed("task.parent")
	h.read()
	b.signal(id, "a", "", `1`)
	h.suspend(engine.Wait{Need: 1}, 0)
	h = s.nextNamed("task.parent")
	h.read()
	b.signal(id, "a", "", `2`)
	b.signal(id, "b", "", `3`)
	h.suspend(engine.Wait{Seen: 1, Need: 2}, time.Hour)
	h = s.nextNamed("task.parent")
	h.record(h.child("c", "task.child"))
	c := s.nextNamed("task.child")
	c.conclude(engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"})
	b.until(c.id(), engine.StateFailed)
	h.suspend(engine.Wait{Seen: 3, Need: 5, FailFast: true}, 0)
	s.nextNamed("task.parent").succeed()
	b.until(id, engine.StateSucceeded)
}

func testSuspendAfter(b *bench) {
	after := 2 * b.o.Step
	for name, w := range map[string]*engine.Wait{
		"no Wait": nil, "a Wait for nothing": {}, "a Wait for what does not come": {Need: 1, Name: "never"},
	} {
		id := b.insert("task.parent")
		s := b.serve([]string{"task.parent"})
		h := s.next()
		began := time.Now()
		h.conclude(engine.Outcome{Kind: engine.OutcomeSuspend, Wait: w, After: after, Reason: "waits"})
		if w == nil || w.Need == 0 { // what it does not wait for does not wake it
			b.signal(id, "other", "", `1`)
		}
		h = s.next()
		if waited := time.Since(began); waited < after {
			b.Errorf("with %s a task ran again after %v, want at least %v", name, waited, after)
		}
		if h.d.Attempt != 0 {
			b.Errorf("with %s Attempt is %d, want 0", name, h.d.Attempt)
		}
		h.succeed()
		b.until(id, engine.StateSucceeded)
		s.mustStop()
	}
	id := b.insert("task.now")
	s := b.serve([]string{"task.now"})
	s.next().suspend(engine.Wait{}, 0) // for nothing, and for no time
	s.next().succeed()
	b.until(id, engine.StateSucceeded)
}

// testSuspendShortest: an After that an engine's clock cannot hold is not none.
func testSuspendShortest(b *bench) {
	id := b.insert("task.parent")
	s := b.serve([]string{"task.parent"})
	for _, after := range []time.Duration{1, time.Microsecond / 2, time.Millisecond / 3} {
		s.next().suspend(engine.Wait{Need: 1}, after)
	}
	s.next().succeed()
	b.until(id, engine.StateSucceeded)
}

func testSuspendNeed(b *bench) {
	id := b.insert("task.parent")
	s := b.serve([]string{"task.other", "task.parent", "task.child"})
	h := s.nextNamed("task.parent")
	h.record(h.child("c", "task.child"))
	h.suspend(engine.Wait{Need: 3}, time.Hour)
	b.until(id, engine.StateWaiting)
	s.nextNamed("task.child").succeed()
	b.signal(id, "a", "", `1`)
	b.barrier(s, "task.other")
	if en := b.get(id); en.State != engine.StateWaiting {
		b.Errorf("a task that waits for 3 is %s after 2", en.State)
	}
	b.signal(id, "b", "", `1`)
	h = s.nextNamed("task.parent")
	if es := h.read(); b.named(es, "c").Came+b.named(es, "a").Came+b.named(es, "b").Came != 6 {
		b.Errorf("the journal has %s, want places 1 to 3", entryNames(es))
	}
	h.succeed()
}

func testSuspendFailFast(b *bench) {
	id := b.insert("task.parent")
	s := b.serve([]string{"task.other", "task.parent", "task.child"}, slots(4))
	h := s.nextNamed("task.parent")
	h.record(h.child("c1", "task.child"), h.child("c2", "task.child"), h.child("c3", "task.child"), h.child("c4", "task.child"))
	h.suspend(engine.Wait{Need: 4, FailFast: true}, 0)
	b.until(id, engine.StateWaiting)
	cs := []*handed{s.nextNamed("task.child"), s.nextNamed("task.child"), s.nextNamed("task.child"), s.nextNamed("task.child")}
	cs[0].succeed()
	b.until(cs[0].id(), engine.StateSucceeded)
	if en := b.get(id); en.State != engine.StateWaiting {
		b.Errorf("after a child that succeeded a task that waits for 4 is %s", en.State)
	}
	cs[1].conclude(engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"})
	h = s.nextNamed("task.parent")
	if n := failedOf(h.read()); n != 1 {
		b.Errorf("the journal has %d entries that failed, want 1", n)
	}
	h.suspend(engine.Wait{Seen: 2, Failed: 1, Need: 2, FailFast: true}, 0) // that one is known
	b.until(id, engine.StateWaiting)
	b.barrier(s, "task.other")
	s.none("it knows of the child that has failed")
	cs[2].conclude(engine.Outcome{Kind: engine.OutcomeCancel, Reason: "no"})
	h = s.nextNamed("task.parent")
	h.suspend(engine.Wait{Seen: 3, Failed: 2, Need: 2}, 0) // without FailFast
	b.until(id, engine.StateWaiting)
	cs[3].conclude(engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"})
	b.until(cs[3].id(), engine.StateFailed)
	b.barrier(s, "task.other")
	if en := b.get(id); en.State != engine.StateWaiting {
		b.Errorf("without FailFast a task that waits for 2 more is %s after one that failed", en.State)
	}
	b.signal(id, "go", "", `1`)
	s.nextNamed("task.parent").succeed()
	b.until(id, engine.StateSucceeded)
}

func failedOf(es []engine.JournalEntry) (n int) {
	for i := range es {
		if es[i].Failed() {
			n++
		}
	}
	return n
}

func testSuspendName(b *bench) {
	id := b.insert("task.parent")
	s := b.serve([]string{"task.other", "task.parent", "task.child"})
	h := s.nextNamed("task.parent")
	h.record(h.child("mine", "task.child"), h.child("theirs", "task.child"))
	h.suspend(engine.Wait{Need: 1, Name: "mine", FailFast: true}, 0)
	b.until(id, engine.StateWaiting)
	byEntry := make(map[string]*handed)
	for range 2 {
		c := s.nextNamed("task.child")
		byEntry[c.d.Message.Meta.Entry] = c
	}
	byEntry["theirs"].conclude(engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"})
	b.signal(id, "other", "", `1`)
	b.barrier(s, "task.other")
	if en := b.get(id); en.State != engine.StateWaiting {
		b.Errorf("a task that waits for one child is %s after another", en.State)
	}
	byEntry["mine"].succeed()
	h = s.nextNamed("task.parent")
	h.suspend(engine.Wait{Seen: 3, Need: 1, Name: "go"}, 0)
	b.until(id, engine.StateWaiting)
	b.signal(id, "gone", "", `1`)
	b.signal(id, "g", "", `1`)
	b.barrier(s, "task.other")
	if en := b.get(id); en.State != engine.StateWaiting {
		b.Errorf("a task that waits for one signal is %s after others", en.State)
	}
	b.signal(id, "go", "", `1`)
	s.nextNamed("task.parent").succeed()
	b.until(id, engine.StateSucceeded)
}

// testSuspendNameCame: an entry of the name counts if the run has not seen it, and
// does not if it has.
func testSuspendNameCame(b *bench) {
	id := b.insert("task.parent")
	s := b.serve([]string{"task.other", "task.parent", "task.child"})
	h := s.nextNamed("task.parent")
	h.record(h.child("c", "task.child"))
	s.nextNamed("task.child").succeed()
	b.poll("the child's end comes", func() bool { return b.named(h.read(), "c").Came == 1 })
	b.signal(id, "go", "", `1`)
	b.signal(id, "other", "", `1`)
	h.suspend(engine.Wait{Need: 1, Name: "c"}, 0)
	h = s.nextNamed("task.parent")
	h.suspend(engine.Wait{Seen: 1, Need: 1, Name: "go"}, 0)
	h = s.nextNamed("task.parent")
	h.suspend(engine.Wait{Seen: 2, Need: 1, Name: "go"}, 0)
	b.until(id, engine.StateWaiting)
	b.barrier(s, "task.other")
	s.none("it has seen the signal that it waits for")
	b.signal(id, "go", "", `2`)
	s.nextNamed("task.parent").succeed()
	b.until(id, engine.StateSucceeded)
}
