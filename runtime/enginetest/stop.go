package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

var stopTests = []test{
	{name: "Idle", run: testStopIdle},
	{name: "EndedBeforeServe", run: testStopBefore},
	{name: "WaitsForRunning", run: testStopWaits},
	{name: "RunningIsNotStopped", run: testStopRunningGoesOn},
	{name: "TakesNoMore", run: testStopTakesNoMore},
	{name: "RestIsServedLater", run: testStopRest},
	{name: "AbandonNamesUnfinished", run: testAbandon},
	{name: "AbandonRefusesOutcome", run: testAbandonRefused},
	{name: "AbandonRefusesMemo", run: testAbandonMemo},
	{name: "AbandonAfterCancel", run: testAbandonCancelled},
	{name: "AbandonNothingRuns", run: testAbandonNothing},
	{name: "ServeAgainAndAgain", run: testServeAgain},
	{name: "ServeTwiceAtOnce", run: testServeTwice},
	{name: "CloseTwice", run: testClose},
}

func testStopIdle(b *bench) {
	s := b.serve([]string{"task.stop"})
	s.mustStop()
}

func testStopBefore(b *bench) {
	id := b.insert("task.stop")
	s := b.serve([]string{"task.other"})
	s.cancel()
	s.mustStop()
	if en := b.get(id); en.State != engine.StatePending {
		b.Errorf("the task is %s, want pending", en.State)
	}
	ctx := endedContext()
	done := make(chan error, 1)
	go func() { done <- b.e.Serve(ctx, s.w) }()
	select {
	case err := <-done:
		if err != nil {
			b.Errorf("Serve with an ended context: %v, want nil", err)
		}
	case <-time.After(b.o.Patience):
		b.Errorf("Serve with an ended context did not return for %v", b.o.Patience)
	}
}

func testStopWaits(b *bench) {
	id := b.insert("task.stop")
	s := b.serve([]string{"task.stop"})
	h := s.next()
	s.cancel()
	select {
	case err := <-s.result:
		b.Fatalf("Serve returned %v while a task was running", err)
	case <-time.After(2 * b.o.Step):
	}
	h.save(`"still mine"`)
	h.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`1`)})
	s.mustStop()
	if en := b.get(id); en.State != engine.StateSucceeded {
		b.Errorf("when Serve has returned, the task that it waited for is %s, want succeeded", en.State)
	}
}

// testStopRunningGoesOn: the App ends the contexts of runs at a shutdown,
// after its own timeout.
func testStopRunningGoesOn(b *bench) {
	b.insert("task.stop")
	s := b.serve([]string{"task.stop"})
	h := s.next()
	s.cancel()
	time.Sleep(2 * b.o.Step)
	if err := h.ctx.Err(); err != nil {
		b.Errorf("the context of a run ended with that of Serve: %v", err)
	}
	h.succeed()
	s.mustStop()
}

// testStopTakesNoMore: an engine may need a moment to see that the context has
// ended, but not three times in a row.
func testStopTakesNoMore(b *bench) {
	for try := range 3 {
		s := b.serve([]string{"task.first", "task.next"}, slots(1))
		b.insert("task.first")
		h := s.nextNamed("task.first")
		id := b.insert("task.next")
		s.cancel()
		time.Sleep(4 * b.o.Step)
		h.succeed()
		taken := s.stopReleasing()
		if en := b.get(id); en.State != engine.StatePending || en.Attempt != 0 {
			b.Errorf("the task that was not taken is %s with Attempt %d, want pending with 0", en.State, en.Attempt)
		}
		if taken == 0 {
			return
		}
		b.Logf("try %d: %d runs began after the context of Serve had ended", try, taken)
		if err := b.e.Delete(b.ctx(), id); err != nil {
			b.Fatalf("Delete: %v", err)
		}
	}
	b.Error("Serve takes tasks after its context has ended")
}

func testStopRest(b *bench) {
	s := b.serve([]string{"task.rest"}, slots(1))
	for range 3 {
		b.insert("task.rest")
	}
	s.next().succeed()
	s.stopReleasing()
	next := b.serve([]string{"task.rest"})
	next.next().succeed()
	next.next().succeed()
}

// unfinished fails the test unless err names exactly the runs.
func (b *bench) unfinished(err error, hs ...*handed) {
	b.Helper()
	var u *engine.UnfinishedError
	if !errors.As(err, &u) {
		b.Fatalf("Serve returned %v, want an *UnfinishedError that names the tasks that did not return", err)
	}
	if len(u.Tasks) != len(hs) {
		b.Errorf("the error names %d tasks, want %d: %v", len(u.Tasks), len(hs), err)
	}
	for _, h := range hs {
		found := false
		for _, t := range u.Tasks {
			found = found || t.ID == h.id() && t.Name == h.d.Message.Name
		}
		if !found {
			b.Errorf("the error does not name the task %s %s: %v", h.d.Message.Name, h.id(), err)
		}
	}
}

func testAbandon(b *bench) {
	first, second := b.insert("task.stuck"), b.insert("task.stuck")
	done := b.insert("task.done")
	s := b.serve([]string{"task.stuck", "task.done"}, slots(3))
	var stuck []*handed
	for range 3 {
		if h := s.next(); h.d.Message.Name == "task.stuck" {
			stuck = append(stuck, h)
		} else {
			h.succeed()
		}
	}
	b.until(done, engine.StateSucceeded)
	s.cancel()
	s.abandon()
	b.unfinished(s.wait(), stuck...)
	for _, h := range stuck {
		cause := h.cause()
		if !errors.Is(cause, engine.ErrShutdown) && !errors.Is(cause, engine.ErrLeaseLost) {
			b.Errorf("cause of an abandoned run's context: %v, want ErrShutdown or ErrLeaseLost", cause)
		}
	}
	// The tasks are given back at once, to run again as they were.
	next := b.serve([]string{"task.stuck"})
	for range 2 {
		h := next.next()
		if id := h.id(); id != first && id != second {
			b.Errorf("task %s was run, want one of those given back", id)
		}
		if h.d.Attempt != 0 {
			b.Errorf("Attempt of a task that was given back is %d, want 0", h.d.Attempt)
		}
		h.succeed()
	}
	b.until(first, engine.StateSucceeded)
	b.until(second, engine.StateSucceeded)
}

func testAbandonRefused(b *bench) {
	for _, kind := range []engine.OutcomeKind{
		engine.OutcomeSucceed, engine.OutcomeFail, engine.OutcomeCancel,
		engine.OutcomeRetry, engine.OutcomeDelay, engine.OutcomeRelease,
	} {
		id := b.insert("task.late")
		s := b.serve([]string{"task.late"})
		late := s.next()
		s.cancel()
		s.abandon()
		b.unfinished(s.wait(), late)
		next := b.serve([]string{"task.late"})
		h := next.next()
		late.conclude(engine.Outcome{
			Kind: kind, After: time.Hour, Result: json.RawMessage(`"late"`), Reason: "late", Memo: json.RawMessage(`"late"`),
		})
		r := s.nextRefused()
		if r.d != late.d || r.o.Kind != kind {
			b.Errorf("Refused was called with another delivery or outcome than the late one's")
		}
		if en := b.get(id); en.State != engine.StateRunning || en.Worker != next.w.ID {
			b.Errorf("after a refused outcome the task is %s of %q, want running of the second worker", en.State, en.Worker)
		}
		h.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`"mine"`)})
		en := b.until(id, engine.StateSucceeded)
		if !sameJSON(en.Result, json.RawMessage(`"mine"`)) || en.Reason != "" || len(en.Memo) != 0 || en.Attempt != 0 {
			b.Errorf("the entry is %+v, want only what the second worker wrote", en)
		}
		next.mustStop()
	}
}

func testAbandonMemo(b *bench) {
	b.insert("task.late")
	s := b.serve([]string{"task.late"})
	late := s.next()
	late.save(`"before"`)
	s.cancel()
	s.abandon()
	b.unfinished(s.wait(), late)
	h := b.serve([]string{"task.late"}).next()
	err := late.d.Memo.SaveMemo(b.ctx(), json.RawMessage(`"after"`))
	b.is("SaveMemo of a run that no longer owns its task", err, engine.ErrLeaseLost)
	b.memoIs("LoadMemo of the run that does", h.load(), `"before"`)
	h.succeed()
}

// testAbandonCancelled: a cancelled task does not run again.
func testAbandonCancelled(b *bench) {
	id := b.insert("task.cancel")
	s := b.serve([]string{"task.cancel"})
	h := s.next()
	b.cancel(b.e, id, "stop")
	h.stopped()
	s.cancel()
	s.abandon()
	b.unfinished(s.wait(), h)
	b.cancelled(id, "stop")
	b.notRun()
}

func testAbandonNothing(b *bench) {
	id := b.insert("task.ok")
	s := b.serve([]string{"task.ok"})
	s.next().succeed()
	b.until(id, engine.StateSucceeded)
	s.abandon()
	s.mustStop()
}

func testServeAgain(b *bench) {
	for range 5 {
		id := b.insert("task.again")
		s := b.serve([]string{"task.again"})
		s.next().succeed()
		s.mustStop()
		if en := b.get(id); en.State != engine.StateSucceeded {
			b.Fatalf("when Serve has returned, a concluded task is %s, want succeeded", en.State)
		}
	}
}

func testServeTwice(b *bench) {
	first := b.serve([]string{"task.both"}, slots(1))
	second := b.serve([]string{"task.both"}, slots(1))
	a, c := b.insert("task.both"), b.insert("task.both")
	h, o := first.next(), second.next() // each has one slot: both must be used
	if h.id() == o.id() {
		b.Errorf("one task was given to two workers")
	}
	h.succeed()
	o.succeed()
	b.until(a, engine.StateSucceeded)
	b.until(c, engine.StateSucceeded)
	first.mustStop()
	b.insert("task.both")
	second.next().succeed()
}

func testClose(b *bench) {
	id := b.insert("task.closed")
	s := b.auto([]string{"task.closed"}, nil)
	b.until(id, engine.StateSucceeded)
	s.mustStop()
	if err := b.e.Close(); err != nil {
		b.Errorf("Close: %v", err)
	}
	if err := b.e.Close(); err != nil && !errors.Is(err, engine.ErrClosed) {
		b.Errorf("the second Close: %v, want nil or an error that wraps %q", err, engine.ErrClosed)
	}
	_, err := b.e.Insert(b.ctx(), []*engine.Message{b.message("task.closed")})
	b.is("Insert after Close", err, engine.ErrClosed)
	_, err = b.e.Get(b.ctx(), id)
	b.is("Get after Close", err, engine.ErrClosed)
	err = b.e.Serve(context.Background(), s.w)
	b.is("Serve after Close", err, engine.ErrClosed)
}
