package enginetest

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

var bereftTests = []test{
	{name: "ParentCancelled", run: testBereftCancelled, needs: need{journal: true}},
	{name: "ParentFailed", run: testBereftFailed, needs: need{journal: true}},
	{name: "ParentSucceeded", run: testBereftSucceeded, needs: need{journal: true}},
	{name: "Orphans", run: testBereftOrphans, needs: need{journal: true}},
	{name: "DownTheTree", run: testBereftTree, needs: need{journal: true}},
	{name: "Many", run: testBereftMany, needs: need{journal: true}},
	{name: "RetryByHand", run: testBereftRetry, needs: need{journal: true}},
	{name: "CancelledAfterARetry", run: testBereftAgain, needs: need{journal: true}},
	{name: "OfAPlainMessage", run: testBereftPlain, needs: need{journal: true}},
}

// testBereftCancelled: waiting, running and suspended children are cancelled
// after their parent was.
func testBereftCancelled(b *bench) {
	s := b.serve([]string{"task.parent", "task.child"}, slots(4))
	parent := b.insert("task.parent")
	h := s.nextNamed("task.parent")
	out := h.record(h.child("ended", "task.child"))
	c := s.nextNamed("task.child")
	c.succeed()
	b.until(c.id(), engine.StateSucceeded)
	out = append(out, h.record(h.child("suspended", "task.child"))...)
	s.nextNamed("task.child").suspend(engine.Wait{Need: 1}, 0)
	out = append(out, h.record(h.child("running", "task.child"))...)
	running := s.nextNamed("task.child")
	out = append(out, h.record(h.child("later", "task.child", dueIn(time.Hour)))...)
	h.suspend(engine.Wait{Seen: 1, Need: 3}, 0)
	b.until(parent, engine.StateWaiting)
	b.cancel(b.e, parent, "by hand")
	b.cancelled(parent, "by hand")
	why := engine.ParentEnded(parent, engine.StateCancelled)
	b.cancelled(out[1].Child, why)
	b.cancelled(out[3].Child, why)
	running.stopped()
	running.conclude(engine.Outcome{Kind: engine.OutcomeRetry})
	b.cancelled(out[2].Child, why)
	if en := b.get(out[0].Child); en.State != engine.StateSucceeded {
		b.Errorf("a child that had ended before its parent was cancelled is %s", en.State)
	}
}

func testBereftFailed(b *bench) {
	s := b.serve([]string{"task.parent"})
	parent := b.insert("task.parent")
	h := s.next()
	child := h.record(h.child("c", "task.child", dueIn(time.Hour)))[0].Child
	h.conclude(engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"})
	b.until(parent, engine.StateFailed)
	b.cancelled(child, engine.ParentEnded(parent, engine.StateFailed))
}

func testBereftSucceeded(b *bench) {
	s := b.serve([]string{"task.other", "task.parent"})
	parent := b.insert("task.parent")
	h := s.nextNamed("task.parent")
	child := h.record(h.child("c", "task.child", dueIn(time.Hour)))[0].Child
	h.succeed()
	b.until(parent, engine.StateSucceeded)
	b.barrier(s, "task.other")
	if en := b.get(child); en.State != engine.StateScheduled {
		b.Errorf("the child of a task that succeeded is %s, want scheduled as before", en.State)
	}
}

func testBereftOrphans(b *bench) {
	s := b.serve([]string{"task.parent"})
	parent := b.insert("task.parent")
	h := s.next()
	out := h.record(
		h.child("orphan", "task.child", dueIn(time.Hour), func(m *engine.Message) { m.Meta.Orphan = true }),
		h.child("other", "task.child", dueIn(time.Hour)),
	)
	h.conclude(engine.Outcome{Kind: engine.OutcomeCancel, Reason: "no"})
	b.cancelled(out[1].Child, engine.ParentEnded(parent, engine.StateCancelled))
	if en := b.get(out[0].Child); en.State != engine.StateScheduled {
		b.Errorf("a child with Meta.Orphan of a task that was cancelled is %s, want scheduled as before", en.State)
	}
}

func testBereftTree(b *bench) {
	s := b.serve([]string{"task.child", "task.parent"})
	root := b.insert("task.parent")
	h := s.next()
	ids := []uuid.UUID{root}
	for range 3 {
		h.record(h.child("c", "task.child"))
		h.suspend(engine.Wait{Need: 1}, 0)
		h = s.nextNamed("task.child")
		ids = append(ids, h.id())
	}
	h.suspend(engine.Wait{Need: 1}, 0)
	for _, id := range ids {
		b.until(id, engine.StateWaiting)
	}
	b.cancel(b.e, root, "by hand")
	for i, id := range ids[1:] {
		b.cancelled(id, engine.ParentEnded(ids[i], engine.StateCancelled))
	}
}

// testBereftAgain: the children of a parent that failed, was retried and is cancelled are
// cancelled, though those of its first end may still be at that moment.
func testBereftAgain(b *bench) {
	s := b.serve([]string{"task.parent"}, slots(1))
	for range 30 {
		parent := b.insert("task.parent")
		h := s.next()
		h.record(h.child("first", "task.child", dueIn(time.Hour)))
		h.conclude(engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"})
		b.until(parent, engine.StateFailed)
		if err := b.e.Retry(b.ctx(), parent); err != nil {
			b.Fatalf("Retry: %v", err)
		}
		h = s.nextID(parent)
		child := h.record(h.child("second", "task.child", dueIn(time.Hour)))[0].Child
		h.suspend(engine.Wait{Need: 1}, 0)
		b.until(parent, engine.StateWaiting)
		b.cancel(b.e, parent, "by hand")
		b.cancelled(child, engine.ParentEnded(parent, engine.StateCancelled))
	}
}

// testBereftMany: the end of a parent takes no longer with many children.
func testBereftMany(b *bench) {
	n := 4 * b.o.Tasks
	s := b.serve([]string{"task.parent"})
	parent := b.insert("task.parent")
	h := s.next()
	for from := 0; from < n; from += 1000 {
		es := make([]engine.NewEntry, min(1000, n-from))
		for i := range es {
			es[i] = h.child(fmt.Sprint("c/", from+i), "task.child", dueIn(time.Hour))
		}
		h.record(es...)
	}
	h.suspend(engine.Wait{Need: int64(n)}, 0)
	b.until(parent, engine.StateWaiting)
	b.cancel(b.e, parent, "by hand")
	b.poll("all children are cancelled", func() bool {
		q := engine.Query{Queue: b.queue, Name: "task.child", States: []engine.State{engine.StateScheduled}, Limit: 1}
		for {
			es, next, err := b.e.List(b.ctx(), q)
			if err != nil || len(es) > 0 || next == "" { // a page may be empty although more follow
				return err == nil && len(es) == 0
			}
			q.Cursor = next
		}
	})
	for _, e := range b.journal(parent) {
		if e.State != engine.StateCancelled {
			b.Fatalf("the entry of a child that was cancelled after its parent is %+v", e)
		}
	}
}

// testBereftRetry: a retry by hand leaves nothing of the cancelling: each
// child goes on, or is spawned anew.
func testBereftRetry(b *bench) {
	s := b.serve([]string{"task.parent", "task.child"}, slots(3))
	parent := b.insert("task.parent")
	h := s.nextNamed("task.parent")
	spawn := func(h *handed) {
		var es []engine.NewEntry
		for i := range 20 {
			es = append(es, h.child(fmt.Sprint("c", i), "task.child", dueIn(b.o.Step)))
		}
		h.record(es...)
	}
	spawn(h)
	h.conclude(engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"})
	b.until(parent, engine.StateFailed)
	if err := b.e.Retry(b.ctx(), parent); err != nil {
		b.Fatalf("Retry: %v", err)
	}
	for ended := false; !ended; {
		h := s.next()
		if h.d.Message.Name == "task.child" {
			h.succeed()
			continue
		}
		spawn(h)
		came, open := int64(0), int64(0)
		for _, e := range h.read() {
			if came = max(came, e.Came); e.Came == 0 {
				open++
			}
			if e.Failed() {
				b.Errorf("after the retry by hand a child is %s: %s", e.State, e.Reason)
			}
		}
		if ended = open == 0; ended {
			h.succeed()
		} else {
			h.suspend(engine.Wait{Seen: came, Need: open}, 0)
		}
	}
	b.until(parent, engine.StateSucceeded)
}
