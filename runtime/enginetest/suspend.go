package enginetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

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

func testSuspendEntry(b *bench) {
	id := b.insert("task.parent", func(m *engine.Message) { m.Meta.Tags = map[string]string{"a": "b"} })
	s := b.serve([]string{"task.parent"})
	began := time.Now()
	h := s.next()
	h.conclude(engine.Outcome{
		Kind: engine.OutcomeSuspend, Wait: &engine.Wait{Need: 1}, After: time.Hour,
		Reason: "waits for 1 child: é", Memo: json.RawMessage(`{"m":1}`),
	})
	en := b.until(id, engine.StateWaiting)
	if en.Reason != "waits for 1 child: é" || en.Attempt != 0 || !en.EndedAt.IsZero() || len(en.Result) != 0 || en.Worker != s.w.ID {
		b.Errorf("the entry of a waiting task is %+v", en)
	}
	if d := time.Until(en.Due); d < 50*time.Minute || d > 70*time.Minute {
		b.Errorf("Entry.Due of a task that waits for an hour at most is in %v", d)
	}
	b.saneTimes(en, began)
	b.memoIs("the entry of a waiting task", en.Memo, `{"m":1}`)
	b.signal(id, "go", "", `1`)
	h = s.next()
	b.memoIs("the run that goes on", h.load(), `{"m":1}`)
	h.suspend(engine.Wait{Seen: 1, Need: 1}, 0)
	if en := b.until(id, engine.StateWaiting); !en.Due.IsZero() {
		b.Errorf("Entry.Due of a task that waits for ever is %v, want zero", en.Due)
	}
	b.signal(id, "go", "", `1`)
	s.next().succeed()
	if en := b.until(id, engine.StateSucceeded); en.Reason != "" {
		b.Errorf("a task that succeeded has the reason %q of its wait", en.Reason)
	}
}

func testSuspendCounted(b *bench) {
	c, ok := b.e.(engine.Counter)
	if !ok {
		b.Skip("the engine is no Counter")
	}
	count := func() (n int64) {
		cs, err := c.Counts(b.ctx())
		if err != nil {
			b.Fatalf("Counts: %v", err)
		}
		for _, c := range cs {
			if c.Queue == b.queue && c.State == engine.StateWaiting {
				n += c.Tasks
			}
		}
		return n
	}
	s := b.serve([]string{"task.parent"})
	for range 3 {
		id := b.insert("task.parent")
		s.next().suspend(engine.Wait{Need: 1}, 0)
		b.until(id, engine.StateWaiting)
	}
	id := b.insert("task.parent")
	s.next().suspend(engine.Wait{Need: 1}, time.Hour)
	b.until(id, engine.StateWaiting)
	b.poll("4 waiting tasks are counted", func() bool { return count() == 4 })
	b.signal(id, "go", "", `1`)
	s.next().succeed()
	b.until(id, engine.StateSucceeded)
	b.poll("3 waiting tasks are counted", func() bool { return count() == 3 })
}

func testSuspendListed(b *bench) {
	s := b.serve([]string{"task.parent"})
	id := b.insert("task.parent")
	s.next().suspend(engine.Wait{Need: 1}, 0)
	b.until(id, engine.StateWaiting)
	timed := b.insert("task.parent")
	s.next().suspend(engine.Wait{}, time.Hour)
	b.until(timed, engine.StateWaiting)
	late := b.insert("task.parent", dueIn(time.Hour))
	for _, state := range engine.States() {
		es := b.listed(engine.Query{Queue: b.queue, States: []engine.State{state}})
		want := 0
		switch state {
		case engine.StateWaiting:
			want = 2
		case engine.StateScheduled:
			want = 1
		}
		if len(es) != want || want == 1 && es[0].ID != late {
			b.Errorf("List of the state %s returned %d tasks, want %d", state, len(es), want)
		}
		for _, en := range es {
			if en.State != state {
				b.Errorf("List of the state %s returned one that is %s", state, en.State)
			}
		}
	}
	if es := b.listed(engine.Query{Queue: b.queue}); len(es) != 3 {
		b.Errorf("List of all states returned %d tasks, want 3", len(es))
	}
	if es := b.listed(engine.Query{Queue: b.queue, Name: "task.parent", Brief: true, States: []engine.State{engine.StateWaiting}}); len(es) != 2 {
		b.Errorf("List by name and state returned %d tasks, want 2", len(es))
	}
}

func testSuspendKey(b *bench) {
	k := "k-" + b.queue
	s := b.serve([]string{"task.parent"})
	id := b.insert("task.parent", held(k, engine.HoldActive))
	s.next().suspend(engine.Wait{Need: 1}, 0)
	b.until(id, engine.StateWaiting)
	if in := b.insertInto(b.e, b.message("task.parent", held(k, engine.HoldActive))); !in.Existing || in.ID != id {
		b.Errorf("an enqueue with the key of a waiting task answers %+v, want Existing and %s", in, id)
	}
	b.cancel(b.e, id, "no")
	b.until(id, engine.StateCancelled)
	b.insert("task.parent", held(k, engine.HoldActive), dueIn(time.Hour))
}

// testSuspendStop: a worker does not wait for tasks that are suspended, and the
// next one goes on with them.
func testSuspendStop(b *bench) {
	s := b.serve([]string{"task.parent"})
	ids := []engine.Wait{{Need: 1}, {Need: 1, Name: "go"}}
	var waiting []*handed
	for _, w := range ids {
		b.insert("task.parent")
		h := s.next()
		h.suspend(w, 0)
		b.until(h.id(), engine.StateWaiting)
		waiting = append(waiting, h)
	}
	s.mustStop()
	for _, h := range waiting {
		b.signal(h.id(), "go", "", `1`)
	}
	next := b.serve([]string{"task.parent"})
	for range waiting {
		next.next().succeed()
	}
	for _, h := range waiting {
		b.until(h.id(), engine.StateSucceeded)
	}
}

// testSuspendLost: the suspension of a run that has lost its task is refused.
func testSuspendLost(b *bench) {
	id := b.insert("task.parent")
	other := b.second()
	s := b.serve([]string{"task.parent"})
	late := s.next()
	resume := b.pause()
	h := b.serveOn(other, []string{"task.parent"}).next()
	late.suspend(engine.Wait{Need: 1}, 0)
	resume()
	s.nextRefused()
	if en := b.get(id); en.State != engine.StateRunning || en.Reason == "waits" {
		b.Errorf("after the late suspension the task is %s with the reason %q, want running", en.State, en.Reason)
	}
	s.cancel()
	h.succeed()
	b.until(id, engine.StateSucceeded)
}

// testSuspendWorkerLost: a suspended task belongs to no worker. When the one that
// ran it last is lost, nothing happens to it.
func testSuspendWorkerLost(b *bench) {
	id := b.insert("task.parent")
	other := b.second()
	b.serve([]string{"task.parent"}).next().suspend(engine.Wait{Need: 1}, 0)
	b.until(id, engine.StateWaiting)
	resume := b.pause()
	defer resume()
	s := b.serveOn(other, []string{"task.parent"})
	time.Sleep(3 * b.o.Lease)
	s.none("it waits")
	if err := b.signalOn(other, id, "go", "", `1`); err != nil {
		b.Fatalf("Signal: %v", err)
	}
	h := s.next()
	if h.d.Attempt != 0 {
		b.Errorf("Attempt is %d after the worker was lost that had suspended the task, want 0", h.d.Attempt)
	}
	h.succeed()
}

func testSuspendCancelAsked(b *bench) {
	id := b.insert("task.parent")
	s := b.serve([]string{"task.other", "task.parent"})
	h := s.nextNamed("task.parent")
	b.cancel(b.e, id, "told")
	h.stopped()
	h.suspend(engine.Wait{Need: 1}, 0)
	b.cancelled(id, "told")
	b.is("Signal to a task that was cancelled", b.signalOn(b.e, id, "go", "", `1`), engine.ErrState)
	b.barrier(s, "task.other")
	s.none("it was cancelled")
}

func testSuspendCancel(b *bench) {
	s := b.serve([]string{"task.other", "task.parent"})
	for _, after := range []time.Duration{0, time.Hour} {
		id := b.insert("task.parent")
		h := s.nextNamed("task.parent")
		h.record(step("a", `1`))
		h.suspend(engine.Wait{Need: 1}, after)
		b.until(id, engine.StateWaiting)
		b.cancel(b.e, id, "told")
		b.cancelled(id, "told")
		b.named(b.journal(id), "a")
		b.is("Signal to a task that was cancelled", b.signalOn(b.e, id, "go", "", `1`), engine.ErrState)
	}
	b.barrier(s, "task.other")
	s.none("it was cancelled while it waited")
}

func testSuspendDelete(b *bench) {
	s := b.serve([]string{"task.other", "task.parent"})
	for _, after := range []time.Duration{0, time.Hour} {
		id := b.insert("task.parent")
		s.nextNamed("task.parent").suspend(engine.Wait{Need: 1}, after)
		b.until(id, engine.StateWaiting)
		if err := b.e.Delete(b.ctx(), id); err != nil {
			b.Fatalf("Delete of a waiting task: %v", err)
		}
		b.gone(id)
		b.is("Signal to a task that was deleted", b.signalOn(b.e, id, "go", "", `1`), engine.ErrNotFound)
	}
	b.barrier(s, "task.other")
	s.none("it was deleted while it waited")
}

// testSuspendRetry: a retry by hand keeps the task's journal, except for
// children that did not succeed.
func testSuspendRetry(b *bench) {
	id := b.insert("task.parent")
	s := b.serve([]string{"task.parent", "task.child"}, slots(3))
	h := s.nextNamed("task.parent")
	h.record(step("a", `1`), h.child("good", "task.child"), h.child("bad", "task.child"))
	h.suspend(engine.Wait{Need: 2}, 0)
	b.until(id, engine.StateWaiting)
	b.is("Retry of a waiting task", b.e.Retry(b.ctx(), id), engine.ErrState)
	for range 2 {
		c := s.nextNamed("task.child")
		if c.d.Message.Meta.Entry == "good" {
			c.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: number(1)})
		} else {
			c.conclude(engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"})
		}
	}
	s.nextNamed("task.parent").conclude(engine.Outcome{Kind: engine.OutcomeFail, Reason: "a child failed"})
	b.until(id, engine.StateFailed)
	if err := b.e.Retry(b.ctx(), id); err != nil {
		b.Fatalf("Retry: %v", err)
	}
	h = s.nextNamed("task.parent")
	es := h.read()
	b.named(es, "a")
	good := b.named(es, "good")
	if good.State != engine.StateSucceeded || !sameJSON(good.Result, number(1)) {
		b.Errorf("after a retry by hand the child that succeeded is %+v", good)
	}
	if slices.ContainsFunc(es, func(e engine.JournalEntry) bool { return e.Name == "bad" }) {
		b.Errorf("after a retry by hand the journal has %s, want none of the child that has failed", entryNames(es))
	}
	h.record(h.child("bad", "task.child"), h.child("good", "task.child"))
	h.suspend(engine.Wait{Seen: good.Came, Need: 1, FailFast: true}, 0)
	c := s.nextNamed("task.child")
	if c.d.Message.Meta.Entry != "bad" {
		b.Errorf("the child %q was spawned again", c.d.Message.Meta.Entry)
	}
	c.succeed()
	h = s.nextNamed("task.parent")
	if e := b.named(h.read(), "bad"); e.State != engine.StateSucceeded || e.Came <= good.Came {
		b.Errorf("the child that was spawned anew is %+v, want succeeded, after place %d", e, good.Came)
	}
	h.succeed()
	b.until(id, engine.StateSucceeded)
}

// testSuspendRoom: parents that run or wait leave room for their children.
func testSuspendRoom(b *bench) {
	const room = 3
	b.e = b.o.Bounded(b, room)
	s := b.serve([]string{"task.parent", "task.child"}, slots(1))
	var ids []uuid.UUID
	for range room {
		ids = append(ids, b.insert("task.parent"))
	}
	runs := make(map[uuid.UUID]int)
	for ended := 0; ended < room; {
		h := s.next()
		if h.d.Message.Name == "task.child" {
			h.succeed()
			continue
		}
		if runs[h.id()]++; runs[h.id()] > 3 {
			h.succeed()
			ended++
			continue
		}
		h.record(h.child(fmt.Sprint("c", runs[h.id()]), "task.child"))
		h.suspend(engine.Wait{Seen: int64(runs[h.id()] - 1), Need: 1}, 0)
	}
	for _, id := range ids {
		b.until(id, engine.StateSucceeded)
	}
}
