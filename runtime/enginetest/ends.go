package enginetest

import (
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

var endsTests = []test{
	{name: "Succeed", run: testEndSucceed, needs: need{journal: true}},
	{name: "Fail", run: testEndFail, needs: need{journal: true}},
	{name: "CancelOwn", run: testEndCancelOwn, needs: need{journal: true}},
	{name: "CancelWaiting", run: testEndCancelWaiting, needs: need{journal: true}},
	{name: "CancelRunning", run: testEndCancelRunning, needs: need{journal: true}},
	{name: "CancelSuspended", run: testEndCancelSuspended, needs: need{journal: true}},
	{name: "LeaseLostThenCancelled", run: testEndLeaseLost, needs: need{journal: true, second: true, pause: true}},
	{name: "ParkedOut", run: testEndParked, needs: need{journal: true}},
	{name: "Deleted", run: testEndDeleted, needs: need{journal: true}},
	{name: "RemovedByATool", run: testEndRemoved, needs: need{journal: true, remove: true}},
	{name: "WhileParentRuns", run: testEndWhileRunning, needs: need{journal: true}},
	{name: "AfterRetryByHand", run: testEndAfterRetry, needs: need{journal: true}},
	{name: "ToldOnce", run: testEndOnce, needs: need{journal: true}},
	{name: "OutlivesTheRecord", run: testEndOutlives, needs: need{journal: true}},
	{name: "OtherQueue", run: testEndOtherQueue, needs: need{journal: true}},
	{name: "OtherProcess", run: testEndOtherProcess, needs: need{journal: true, second: true}},
	{name: "ParentEnded", run: testEndParentEnded, needs: need{journal: true}},
	{name: "ParentDeleted", run: testEndParentDeleted, needs: need{journal: true}},
	{name: "ManyAtOnce", run: testEndMany, needs: need{journal: true}},
	{name: "ParentAndChildOneStep", run: testEndBoth, needs: need{journal: true}},
}

// family is a parent that waits for its child.
type family struct {
	b      *bench
	s      *server
	parent uuid.UUID
	child  uuid.UUID
}

// family makes a parent that waits for its child, which is due at once unless an
// edit says otherwise.
func (b *bench) family(edits ...func(*engine.Message)) *family {
	b.Helper()
	f := &family{b: b, s: b.serve([]string{"task.other", "task.parent", "task.child"})}
	f.parent = b.insert("task.parent")
	h := f.s.nextNamed("task.parent")
	f.child = h.record(h.child("c", "task.child", edits...))[0].Child
	h.suspend(engine.Wait{Need: 1, Name: "c"}, 0)
	b.until(f.parent, engine.StateWaiting)
	return f
}

// told waits until the parent goes on, and fails the test unless its journal
// has the end of its child.
func (f *family) told(s engine.State, result, reason string) *handed {
	f.b.Helper()
	return f.toldTo(f.s.nextNamed("task.parent"), s, result, reason)
}

// toldTo is told for a parent that goes on already.
func (f *family) toldTo(h *handed, s engine.State, result, reason string) *handed {
	f.b.Helper()
	if h.d.Attempt != 0 {
		f.b.Errorf("Attempt of the parent is %d, want 0", h.d.Attempt)
	}
	f.check(h.read(), s, result, reason)
	f.check(f.b.journal(f.parent), s, result, reason)
	return h
}

func (f *family) check(es []engine.JournalEntry, s engine.State, result, reason string) {
	f.b.Helper()
	e := f.b.named(es, "c")
	if e.Kind != engine.EntryChild || e.Child != f.child || e.Came != 1 || e.State != s || e.Reason != reason ||
		string(e.Result) != result && !exactJSON(e.Result, []byte(result)) || !sameJSON(e.Value, []byte(`{"task":"task.child"}`)) {
		f.b.Errorf("the child's entry is %+v with the value %s and the result %s, want child %s, place 1, %s, %s, reason %q",
			e, shown(e.Value), shown(e.Result), f.child, s, result, reason)
	}
}

// end ends the parent.
func (f *family) end(h *handed) {
	f.b.Helper()
	h.succeed()
	f.b.until(f.parent, engine.StateSucceeded)
	f.s.mustStop()
}

func testEndSucceed(b *bench) {
	f := b.family()
	f.s.nextNamed("task.child").conclude(engine.Outcome{Kind: engine.OutcomeRetry, Reason: "busy"})
	result := `{"n":12345678901234567890,"s":"é 漢 \u2028 <>&","e":[],"o":{}}`
	f.s.nextNamed("task.child").conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: []byte(result)})
	f.end(f.told(engine.StateSucceeded, result, ""))
	f = b.family()
	f.s.nextNamed("task.child").succeed() // without a result
	f.end(f.told(engine.StateSucceeded, "", ""))
}

func testEndFail(b *bench) {
	f := b.family()
	f.s.nextNamed("task.child").conclude(engine.Outcome{Kind: engine.OutcomeFail, Reason: "no \"ink\" é"})
	f.end(f.told(engine.StateFailed, "", "no \"ink\" é"))
}

func testEndCancelOwn(b *bench) {
	f := b.family()
	f.s.nextNamed("task.child").conclude(engine.Outcome{Kind: engine.OutcomeCancel, Reason: "not needed"})
	f.end(f.told(engine.StateCancelled, "", "not needed"))
}

func testEndCancelWaiting(b *bench) {
	f := b.family(dueIn(time.Hour))
	b.cancel(b.e, f.child, "by hand")
	f.end(f.told(engine.StateCancelled, "", "by hand"))
}

func testEndCancelRunning(b *bench) {
	f := b.family()
	c := f.s.nextNamed("task.child")
	b.cancel(b.e, f.child, "by hand")
	c.stopped()
	c.conclude(engine.Outcome{Kind: engine.OutcomeRetry, Reason: "stopped"})
	f.end(f.told(engine.StateCancelled, "", "by hand"))
}

func testEndCancelSuspended(b *bench) {
	f := b.family()
	f.s.nextNamed("task.child").suspend(engine.Wait{Need: 1}, 0)
	b.until(f.child, engine.StateWaiting)
	b.cancel(b.e, f.child, "by hand")
	f.end(f.told(engine.StateCancelled, "", "by hand"))
}

// testEndLeaseLost: a child that was cancelled while its worker stood still ends
// when that is given up, without another run.
func testEndLeaseLost(b *bench) {
	other := b.second()
	s := b.serveOn(other, []string{"task.parent"})
	parent := b.insert("task.parent")
	h := s.next()
	child := h.record(h.child("c", "task.child"))[0].Child
	h.suspend(engine.Wait{Need: 1, Name: "c"}, 0)
	b.until(parent, engine.StateWaiting)
	c := b.serve([]string{"task.child"}).next()
	resume := b.pause()
	b.cancel(other, child, "by hand")
	h = s.next()
	if e := b.named(h.read(), "c"); e.State != engine.StateCancelled || e.Reason != "by hand" || e.Came != 1 {
		b.Errorf("the child's entry is %+v, want cancelled by hand, place 1", e)
	}
	h.succeed()
	resume()
	c.stopped()
	c.conclude(engine.Outcome{Kind: engine.OutcomeRetry})
	b.until(parent, engine.StateSucceeded)
}

// testEndParked: a child that no worker knows ends after ParkFor.
func testEndParked(b *bench) {
	s := b.serve([]string{"task.parent"}, parkFor(4*b.o.Step))
	parent := b.insert("task.parent")
	h := s.next()
	h.record(h.child("c", "task.unknown"))
	h.suspend(engine.Wait{Need: 1}, 0)
	h = s.next()
	if e := b.named(h.read(), "c"); e.State != engine.StateFailed || e.Reason == "" || e.Came != 1 {
		b.Errorf("the entry of a child that no worker knows is %+v, want failed with a reason, place 1", e)
	}
	h.succeed()
	b.until(parent, engine.StateSucceeded)
}

func testEndDeleted(b *bench) {
	f := b.family(dueIn(time.Hour))
	if err := b.e.Delete(b.ctx(), f.child); err != nil {
		b.Fatalf("Delete: %v", err)
	}
	f.end(f.told(engine.StateDeleted, "", engine.ReasonDeleted))
	f = b.family()
	f.s.nextNamed("task.child").suspend(engine.Wait{Need: 1}, 0)
	b.until(f.child, engine.StateWaiting)
	if err := b.e.Delete(b.ctx(), f.child); err != nil {
		b.Fatalf("Delete: %v", err)
	}
	f.end(f.told(engine.StateDeleted, "", engine.ReasonDeleted))
}

// testEndRemoved: a child that somebody else has deleted is found missing when
// its parent wakes by the time, at the latest.
func testEndRemoved(b *bench) {
	s := b.serve([]string{"task.parent"})
	parent := b.insert("task.parent")
	h := s.next()
	child := h.record(h.child("c", "task.child", dueIn(time.Hour)))[0].Child
	h.suspend(engine.Wait{Need: 1}, 4*b.o.Step)
	b.o.Remove(b, b.e, child)
	for range 100 {
		h = s.next()
		if b.named(h.read(), "c").Came > 0 {
			break
		}
		h.suspend(engine.Wait{Need: 1}, b.o.Step)
	}
	if e := b.named(h.read(), "c"); e.State != engine.StateDeleted || e.Came != 1 {
		b.Errorf("the entry of a child that is gone is %+v, want deleted, place 1", e)
	}
	h.succeed()
	b.until(parent, engine.StateSucceeded)
}

func testEndWhileRunning(b *bench) {
	parent := b.insert("task.parent")
	s := b.serve([]string{"task.parent", "task.child"})
	h := s.nextNamed("task.parent")
	h.record(h.child("c", "task.child"))
	s.nextNamed("task.child").conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: number(3)})
	b.poll("the running parent sees the end of its child", func() bool { return b.named(h.read(), "c").Came == 1 })
	h.conclude(engine.Outcome{Kind: engine.OutcomeRetry})
	h = s.nextNamed("task.parent")
	if e := b.named(h.read(), "c"); e.State != engine.StateSucceeded || !sameJSON(e.Result, number(3)) {
		b.Errorf("in the next run the child's entry is %+v with %s", e, shown(e.Result))
	}
	h.succeed()
	b.until(parent, engine.StateSucceeded)
}

// testEndAfterRetry: a parent and its child that have failed are retried by hand,
// in either order.
func testEndAfterRetry(b *bench) {
	fail := engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"}
	f := b.family()
	f.s.nextNamed("task.child").conclude(fail)
	f.told(engine.StateFailed, "", "no").conclude(fail)
	b.until(f.parent, engine.StateFailed)
	if err := b.e.Retry(b.ctx(), f.child); err != nil { // the child first, which succeeds
		b.Fatalf("Retry: %v", err)
	}
	f.s.nextNamed("task.child").conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: number(5)})
	b.until(f.child, engine.StateSucceeded)
	if err := b.e.Retry(b.ctx(), f.parent); err != nil {
		b.Fatalf("Retry: %v", err)
	}
	h := f.s.nextNamed("task.parent")
	out := h.record(h.child("c", "task.child"))[0]
	if out.Child != f.child || out.State != engine.StateSucceeded || !sameJSON(out.Result, number(5)) {
		b.Errorf("after the child was retried by hand, and then its parent, its entry is %+v with %s, want succeeded with 5",
			out, shown(out.Result))
	}
	f.end(h)

	f = b.family()
	f.s.nextNamed("task.child").conclude(fail)
	f.told(engine.StateFailed, "", "no").conclude(fail)
	b.until(f.parent, engine.StateFailed)
	if err := b.e.Retry(b.ctx(), f.parent); err != nil { // the parent first, which spawns it anew
		b.Fatalf("Retry: %v", err)
	}
	h = f.s.nextNamed("task.parent")
	again := h.record(h.child("c", "task.child"))[0].Child
	if again == f.child {
		b.Error("after its parent was retried by hand, the child that has failed is still its child")
	}
	h.suspend(engine.Wait{Need: 1, Name: "c"}, 0)
	if err := b.e.Retry(b.ctx(), f.child); err != nil {
		b.Fatalf("Retry: %v", err)
	}
	h = nil
	for ended := 0; ended < 2 || h == nil; { // the parent goes on with the end of its own
		c := f.s.next()
		if c.d.Message.Name == "task.parent" {
			h = c
			continue
		}
		c.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: []byte(`"` + c.id().String() + `"`)})
		b.until(c.id(), engine.StateSucceeded)
		ended++
	}
	f.child = again
	f.end(f.toldTo(h, engine.StateSucceeded, `"`+again.String()+`"`, ""))
}

// testEndOnce: the first end of a child is the one that counts.
func testEndOnce(b *bench) {
	f := b.family()
	f.s.nextNamed("task.child").conclude(engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"})
	h := f.told(engine.StateFailed, "", "no")
	h.suspend(engine.Wait{Seen: 1, Failed: 1, Need: 1, FailFast: true}, 0)
	b.until(f.parent, engine.StateWaiting)
	if err := b.e.Retry(b.ctx(), f.child); err != nil {
		b.Fatalf("Retry: %v", err)
	}
	f.s.nextNamed("task.child").conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: number(1)})
	b.until(f.child, engine.StateSucceeded)
	b.barrier(f.s, "task.other")
	f.s.none("its child has ended before")
	f.check(b.journal(f.parent), engine.StateFailed, "", "no")
	b.signal(f.parent, "go", "", `1`)
	f.end(f.s.nextNamed("task.parent"))
}
