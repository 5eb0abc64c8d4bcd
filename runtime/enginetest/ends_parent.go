package enginetest

import (
	"fmt"
	"sync"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// testEndOutlives: the end of a child stays when the record of the child is gone.
func testEndOutlives(b *bench) {
	f := b.family()
	h := f.s.nextNamed("task.child")
	h.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: number(4)})
	p := f.told(engine.StateSucceeded, "4", "")
	b.until(f.child, engine.StateSucceeded)
	if err := b.e.Delete(b.ctx(), f.child); err != nil {
		b.Fatalf("Delete: %v", err)
	}
	f.check(p.read(), engine.StateSucceeded, "4", "")
	f.end(p)
}

func testEndOtherQueue(b *bench) {
	f := b.family(func(m *engine.Message) { m.Queue = b.queue + "-other" })
	other := b.serve([]string{"task.child"}, func(w *engine.Worker) { w.Queues = []string{b.queue + "-other"} })
	other.next().conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: number(1)})
	f.end(f.told(engine.StateSucceeded, "1", ""))
}

// testEndOtherProcess: a child that another process runs, and one that another
// process cancels.
func testEndOtherProcess(b *bench) {
	other := b.second()
	s := b.serve([]string{"task.parent"})
	there := b.serveOn(other, []string{"task.child"})
	parent := b.insert("task.parent")
	h := s.next()
	h.record(h.child("run", "task.child"))
	late := h.record(h.child("cancel", "task.child", dueIn(time.Hour)))[0].Child
	h.suspend(engine.Wait{Need: 1}, 0)
	there.next().conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: number(1)})
	h = s.next()
	if e := b.named(h.read(), "run"); e.State != engine.StateSucceeded || !sameJSON(e.Result, number(1)) {
		b.Errorf("the entry of a child that ran in another process is %+v", e)
	}
	h.suspend(engine.Wait{Seen: 1, Need: 1}, 0)
	b.until(parent, engine.StateWaiting)
	b.cancel(other, late, "from afar")
	h = s.next()
	if e := b.named(h.read(), "cancel"); e.State != engine.StateCancelled || e.Reason != "from afar" {
		b.Errorf("the entry of a child that another process has cancelled is %+v", e)
	}
	if es := b.journalOn(other, parent); len(es) != 2 {
		b.Errorf("in another process the journal has %s", entryNames(es))
	}
	h.suspend(engine.Wait{Seen: 2, Need: 1}, 0)
	if err := b.signalOn(other, parent, "go", "", `1`); err != nil {
		b.Fatalf("Signal from another process: %v", err)
	}
	s.next().succeed()
	b.until(parent, engine.StateSucceeded)
}

func testEndParentEnded(b *bench) {
	for _, o := range []engine.Outcome{
		{Kind: engine.OutcomeSucceed, Result: number(1)}, {Kind: engine.OutcomeFail, Reason: "no"}, {Kind: engine.OutcomeCancel, Reason: "no"},
	} {
		s := b.serve([]string{"task.other", "task.parent", "task.child"})
		parent := b.insert("task.parent")
		h := s.nextNamed("task.parent")
		h.record(h.child("c", "task.child", func(m *engine.Message) { m.Meta.Orphan = true }))
		h.conclude(o)
		ended := b.ended(parent)
		c := s.nextNamed("task.child")
		c.succeed()
		b.until(c.id(), engine.StateSucceeded)
		b.barrier(s, "task.other")
		s.none("it has ended")
		if en := b.get(parent); en.State != ended.State || en.Reason != ended.Reason || !sameJSON(en.Result, ended.Result) {
			b.Errorf("after the end of its child the parent is %+v, want it to stay %+v", en, ended)
		}
		s.mustStop()
	}
}

func testEndParentDeleted(b *bench) {
	f := b.family()
	c := f.s.nextNamed("task.child")
	if err := b.e.Delete(b.ctx(), f.parent); err != nil {
		b.Fatalf("Delete: %v", err)
	}
	c.succeed()
	b.until(f.child, engine.StateSucceeded)
	b.barrier(f.s, "task.other")
	f.s.none("it was deleted")
	b.gone(f.parent)
}

// testEndMany: ends that come in one step have a place each.
func testEndMany(b *bench) {
	const n = 20
	s := b.serve([]string{"task.parent", "task.child"}, slots(n+1))
	parent := b.insert("task.parent")
	h := s.nextNamed("task.parent")
	var es []engine.NewEntry
	for i := range n {
		es = append(es, h.child(fmt.Sprint("c", i), "task.child"))
	}
	h.record(es...)
	var cs []*handed
	for range n {
		cs = append(cs, s.nextNamed("task.child"))
	}
	h.suspend(engine.Wait{Need: n}, 0)
	var wg sync.WaitGroup
	for _, c := range cs {
		wg.Go(c.succeed)
	}
	wg.Wait()
	h = s.nextNamed("task.parent")
	places := make(map[int64]bool)
	for _, e := range h.read() {
		places[e.Came] = true
	}
	if len(places) != n || !places[1] || !places[n] {
		b.Errorf("%d ends have the places %v, want 1 to %d", n, places, n)
	}
	h.succeed()
	b.until(parent, engine.StateSucceeded)
}

// testEndBoth: a parent and its child are concluded at the same time, again and
// again.
func testEndBoth(b *bench) {
	s := b.serve([]string{"task.parent", "task.child"})
	parent := b.insert("task.parent")
	h := s.nextNamed("task.parent")
	const n = 30
	for i := range n {
		h.record(h.child(fmt.Sprint("c", i), "task.child"))
		c := s.nextNamed("task.child")
		var wg sync.WaitGroup
		wg.Go(func() { h.suspend(engine.Wait{Seen: int64(i), Need: 1}, 0) })
		wg.Go(c.succeed)
		wg.Wait()
		h = s.nextNamed("task.parent")
	}
	if es := h.read(); len(es) != n {
		b.Errorf("the journal has %d entries, want %d", len(es), n)
	}
	h.succeed()
	b.until(parent, engine.StateSucceeded)
}
