package enginetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

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
