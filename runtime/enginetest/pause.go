package enginetest

import (
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// pauseTests are of [engine.Pauser].
var pauseTests = []test{
	{name: "Queue", run: testPauseQueue},
	{name: "Name", run: testPauseName},
	{name: "Listed", run: testPauseListed},
	{name: "RunningGoesOn", run: testPauseRunning},
	{name: "Retried", run: testPauseRetried},
	{name: "Delayed", run: testPauseDelayed},
	{name: "BeforeServe", run: testPauseBeforeServe},
	{name: "UnknownNameDoesNotFail", run: testPauseUnknown},
	{name: "Reason", run: testPauseReason},
	{name: "ReasonOfLimited", run: testPauseReasonLimited},
	{name: "OtherHandle", run: testPauseOtherHandle, needs: need{second: true}},
	{name: "OtherHandleName", run: testPauseOtherHandleName, needs: need{second: true}},
}

// pauser returns the engine's Pauser, or skips the test.
func (b *bench) pauser(e engine.Engine) engine.Pauser {
	b.Helper()
	p, ok := engine.As[engine.Pauser](e)
	if !ok {
		b.Skip("the engine cannot pause")
	}
	return p
}

// pausing pauses p on the bench's engine, and returns a function that resumes
// it.
func (b *bench) pausing(e engine.Engine, p engine.Pause) (resume func()) {
	b.Helper()
	pauser := b.pauser(e)
	for range 2 { // again is no error
		err := pauser.Pause(b.ctx(), p)
		if p.Name != "" && b.o.lacks(PausedNames) {
			b.is("Pause of a name", err, engine.ErrUnsupported)
			b.Skip("the engine does not support " + string(PausedNames))
		}
		if err != nil {
			b.Fatalf("Pause(%+v): %v", p, err)
		}
	}
	return func() {
		b.Helper()
		for range 2 {
			if err := pauser.Resume(b.ctx(), p); err != nil {
				b.Fatalf("Resume(%+v): %v", p, err)
			}
		}
	}
}

// quiet fails the test if a run comes within some steps: the time in which an
// engine must notice due tasks.
func (s *server) quiet(why string) {
	s.b.Helper()
	select {
	case h := <-s.runs:
		s.b.Fatalf("task %q was run: %s", h.d.Message.Name, why)
	case <-time.After(4 * s.b.o.Step):
	}
}

// own is a name of this test alone, as a pause of a name holds for all queues.
func (b *bench) own(name string) string { return name + "." + b.queue }

func testPauseQueue(b *bench) {
	s := b.serve([]string{"task.paused"}, slots(1))
	b.insert("task.paused")
	s.next().succeed()
	resume := b.pausing(b.e, engine.Pause{Queue: b.queue})
	waits := b.insert("task.paused")
	b.batch(b.message("task.paused"), b.message("task.paused"))
	s.quiet("its queue is paused")
	if en := b.get(waits); en.State != engine.StatePending {
		b.Errorf("a task of a paused queue is %s, want pending", en.State)
	}
	resume()
	for range 3 {
		s.next().succeed()
	}
	s.none("each was run")
}

func testPauseName(b *bench) {
	held, free := b.own("task.held"), b.own("task.free")
	s := b.serve([]string{held, free}, slots(1))
	resume := b.pausing(b.e, engine.Pause{Name: held})
	for range 3 {
		b.insert(held)
	}
	b.insert(free)
	s.nextNamed(free).succeed()
	b.insert(held)
	b.insert(free)
	s.nextNamed(free).succeed()
	s.quiet("its name is paused")
	resume()
	for range 4 {
		s.nextNamed(held).succeed()
	}
	b.insert(held)
	s.nextNamed(held).succeed()
}

func testPauseListed(b *bench) {
	queue, name := engine.Pause{Queue: b.queue}, engine.Pause{Name: b.own("task.listed")}
	listed := func(p engine.Pause) bool {
		b.Helper()
		ps, err := b.pauser(b.e).Paused(b.ctx())
		if err != nil {
			b.Fatalf("Paused: %v", err)
		}
		i := slices.IndexFunc(ps, p.Same)
		if i < 0 {
			return false
		}
		if since := ps[i].Since; !since.IsZero() && time.Since(since).Abs() > time.Hour {
			b.Errorf("Paused says that %+v is paused since %v", p, since)
		}
		return true
	}
	resumeQueue := b.pausing(b.e, queue)
	if !listed(queue) || listed(name) {
		b.Errorf("after Pause of the queue, Paused lists it: %v, the name: %v", listed(queue), listed(name))
	}
	resumeName := b.pausing(b.e, name)
	if !listed(queue) || !listed(name) {
		b.Errorf("after Pause of both, Paused lists the queue: %v, the name: %v", listed(queue), listed(name))
	}
	resumeQueue()
	if listed(queue) || !listed(name) {
		b.Errorf("after Resume of the queue, Paused lists it: %v, the name: %v", listed(queue), listed(name))
	}
	resumeName()
	if listed(name) {
		b.Error("after Resume of the name, Paused lists it")
	}
}

func testPauseRunning(b *bench) {
	s := b.serve([]string{"task.running"}, slots(2))
	id := b.insert("task.running")
	h := s.next()
	resume := b.pausing(b.e, engine.Pause{Queue: b.queue})
	h.succeed()
	b.until(id, engine.StateSucceeded)
	resume()
}

func testPauseRetried(b *bench) {
	s := b.serve([]string{"task.retried"}, slots(2))
	ids := b.batch(b.message("task.retried"), b.message("task.retried"))
	first, second := s.next(), s.next()
	resume := b.pausing(b.e, engine.Pause{Queue: b.queue})
	first.conclude(engine.Outcome{Kind: engine.OutcomeRetry, After: b.o.Step / 2, Reason: "again"})
	second.conclude(engine.Outcome{Kind: engine.OutcomeRelease})
	s.quiet("its queue is paused")
	resume()
	for range ids {
		s.next().succeed()
	}
	for _, id := range ids {
		b.until(id, engine.StateSucceeded)
	}
}

func testPauseDelayed(b *bench) {
	s := b.serve([]string{"task.delayed"}, slots(1))
	resume := b.pausing(b.e, engine.Pause{Queue: b.queue})
	b.insert("task.delayed", dueIn(b.o.Step))
	s.quiet("its queue is paused")
	s.quiet("its queue is paused")
	resume()
	s.next().succeed()
}

func testPauseBeforeServe(b *bench) {
	held := b.own("task.before")
	resumeName := b.pausing(b.e, engine.Pause{Name: held})
	resumeQueue := b.pausing(b.e, engine.Pause{Queue: b.queue})
	b.insert(held)
	b.insert("task.other")
	s := b.serve([]string{held, "task.other"}, slots(1))
	s.quiet("its queue is paused")
	resumeQueue()
	s.nextNamed("task.other").succeed()
	s.quiet("its name is paused")
	resumeName()
	s.nextNamed(held).succeed()
}

// testPauseUnknown: a worker that does not know a paused task leaves it alone, and
// it is not over ParkFor when the pause ends.
func testPauseUnknown(b *bench) {
	name := b.own("task.unknown")
	resume := b.pausing(b.e, engine.Pause{Name: name})
	id := b.insert(name)
	s := b.serve([]string{"task.known"}, slots(1), parkFor(b.o.Step))
	b.insert("task.known")
	s.nextNamed("task.known").succeed()
	s.quiet("its name is paused")
	if en := b.get(id); en.State != engine.StatePending {
		b.Errorf("a paused task that no worker knows is %s (%q), want pending", en.State, en.Reason)
	}
	s.mustStop()
	knows := b.serve([]string{name}, slots(1), parkFor(b.o.Step))
	knows.quiet("its name is paused")
	resume()
	knows.nextNamed(name).succeed()
}

// testPauseReason: a record says that its name is paused, also where reasons are
// filtered, until it runs.
func testPauseReason(b *bench) {
	held := b.own("task.reason")
	s := b.serve([]string{held}, slots(1))
	resume := b.pausing(b.e, engine.Pause{Name: held})
	id := b.insert(held)
	b.poll("the record says that its name is paused", func() bool { return b.get(id).Reason == engine.PausedReason(held) })
	es, _, err := b.e.List(b.ctx(), engine.Query{Queue: b.queue, Reason: engine.PausedReason(held), Brief: true})
	if err != nil || len(es) != 1 || es[0].ID != id {
		b.Errorf("List of what is paused has %d entries (%v), want the task", len(es), err)
	}
	resume()
	s.nextNamed(held).succeed()
	if en := b.until(id, engine.StateSucceeded); en.Reason != "" {
		b.Errorf("the reason of the task that has run is %q", en.Reason)
	}
}

// testPauseReasonLimited: a task that waits for the end of a pause says so, also if it has
// limits.
func testPauseReasonLimited(b *bench) {
	held := b.own("task.reason")
	s := b.serve([]string{held}, slots(1))
	b.limiter(b.e)
	resume := b.pausing(b.e, engine.Pause{Name: held})
	id := b.insert(held, b.limit("k", 1))
	b.poll("the record says that its name is paused", func() bool { return b.get(id).Reason == engine.PausedReason(held) })
	resume()
	s.nextNamed(held).succeed()
	b.until(id, engine.StateSucceeded)
}

func testPauseOtherHandle(b *bench) { testPauseOther(b, engine.Pause{Queue: b.queue}, "task.other") }

func testPauseOtherHandleName(b *bench) {
	name := b.own("task.other")
	testPauseOther(b, engine.Pause{Name: name}, name)
}

// testPauseOther: a pause on one handle reaches the workers of another, soon.
func testPauseOther(b *bench, p engine.Pause, name string) {
	s := b.serve([]string{name}, slots(1))
	b.insert(name)
	s.next().succeed()
	other := b.second()
	resume := b.pausing(other, p)
	waiting := 0
	b.poll("the worker of another handle sees the pause", func() bool {
		b.insert(name)
		waiting++
		select {
		case h := <-s.runs:
			h.succeed()
			waiting--
			return false
		case <-time.After(4 * b.o.Step):
			return true
		}
	})
	b.insert(name)
	waiting++
	s.quiet("it is paused by another handle")
	resume()
	for range waiting {
		s.next().succeed()
	}
}
