package enginetest

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

var cancelTests = []test{
	{name: "Waiting", run: testCancelWaiting},
	{name: "Scheduled", run: testCancelScheduled},
	{name: "Retrying", run: testCancelRetrying},
	{name: "Running", run: testCancelRunning},
	{name: "RunningSucceeds", run: testCancelRunningSucceeds},
	{name: "RunningDoesNotRunAgain", run: testCancelRunningRetries},
	{name: "RunningTwice", run: testCancelRunningTwice},
	{name: "Ended", run: testCancelEnded},
	{name: "RunningFromAnotherHandle", run: testCancelSecond, needs: need{second: true}},
	{name: "WaitingFromAnotherHandle", run: testCancelWaitingSecond, needs: need{second: true}},
}

func (b *bench) cancel(e engine.Engine, id uuid.UUID, reason string) {
	b.Helper()
	if err := e.Cancel(b.ctx(), id, reason); err != nil {
		b.Fatalf("Cancel: %v", err)
	}
}

// cancelled fails the test unless the task ends as cancelled with the reason.
func (b *bench) cancelled(id uuid.UUID, reason string) {
	b.Helper()
	en := b.until(id, engine.StateCancelled)
	if en.Reason != reason {
		b.Errorf("Entry.Reason of the cancelled task is %q, want %q", en.Reason, reason)
	}
	if en.EndedAt.IsZero() {
		b.Error("Entry.EndedAt of the cancelled task is zero")
	}
}

// notRun fails the test if a task named task.cancel runs.
func (b *bench) notRun() {
	b.Helper()
	s := b.serve([]string{"task.cancel", "task.end"}, slots(1))
	b.insert("task.end")
	s.nextNamed("task.end").succeed()
	s.none("it was cancelled")
	s.mustStop()
}

func testCancelWaiting(b *bench) {
	id := b.insert("task.cancel")
	b.cancel(b.e, id, "not needed any more")
	b.cancelled(id, "not needed any more")
	b.notRun()
}

func testCancelScheduled(b *bench) {
	id := b.insert("task.cancel", dueIn(2*b.o.Step))
	b.cancel(b.e, id, "early")
	b.cancelled(id, "early")
	time.Sleep(4 * b.o.Step)
	b.notRun()
}

func testCancelRetrying(b *bench) {
	id := b.insert("task.cancel")
	s := b.serve([]string{"task.cancel"})
	s.next().conclude(engine.Outcome{Kind: engine.OutcomeRetry, After: time.Hour, Reason: "first failure"})
	b.until(id, engine.StateRetrying)
	b.cancel(b.e, id, "enough")
	b.cancelled(id, "enough")
}

func testCancelRunning(b *bench) {
	id := b.insert("task.cancel")
	h := b.serve([]string{"task.cancel"}).next()
	b.cancel(b.e, id, "user left")
	b.is("cause of the run's context after Cancel", h.cause(), engine.ErrCancelled)
	h.conclude(engine.Outcome{Kind: engine.OutcomeCancel, Reason: "user left"})
	b.cancelled(id, "user left")
}

// testCancelRunningSucceeds: a task that succeeds although it was cancelled
// has succeeded.
func testCancelRunningSucceeds(b *bench) {
	id := b.insert("task.cancel")
	h := b.serve([]string{"task.cancel"}).next()
	b.cancel(b.e, id, "too late")
	h.stopped()
	h.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`"done"`)})
	if en := b.until(id, engine.StateSucceeded); !sameJSON(en.Result, json.RawMessage(`"done"`)) {
		b.Errorf("Entry.Result is %s, want the task's", shown(en.Result))
	}
}

// testCancelRunningRetries: a run may decide on its outcome before the
// cancellation comes.
func testCancelRunningRetries(b *bench) {
	s := b.serve([]string{"task.cancel"})
	for _, kind := range []engine.OutcomeKind{engine.OutcomeRetry, engine.OutcomeDelay, engine.OutcomeRelease} {
		id := b.insert("task.cancel")
		h := s.next()
		b.cancel(b.e, id, "stop it")
		h.stopped()
		h.conclude(engine.Outcome{Kind: kind, Reason: "busy"})
		b.cancelled(id, "stop it")
	}
	b.notRun()
}

func testCancelRunningTwice(b *bench) {
	id := b.insert("task.cancel")
	h := b.serve([]string{"task.cancel"}).next()
	b.cancel(b.e, id, "first")
	b.cancel(b.e, id, "second")
	h.stopped()
	h.conclude(engine.Outcome{Kind: engine.OutcomeRetry})
	b.until(id, engine.StateCancelled)
}

func testCancelEnded(b *bench) {
	s := b.serve([]string{"task.cancel"})
	for kind, want := range map[engine.OutcomeKind]engine.State{
		engine.OutcomeSucceed: engine.StateSucceeded,
		engine.OutcomeFail:    engine.StateFailed,
		engine.OutcomeCancel:  engine.StateCancelled,
	} {
		id := b.insert("task.cancel")
		s.next().conclude(engine.Outcome{Kind: kind, Reason: "its own"})
		b.until(id, want)
		if err := b.e.Cancel(b.ctx(), id, "late"); err != nil {
			b.Errorf("Cancel of a task that is %s: %v, want no error and nothing done", want, err)
		}
		if en := b.get(id); en.State != want || en.Reason != "its own" && kind != engine.OutcomeSucceed {
			b.Errorf("after Cancel a task that was %s is %s with reason %q", want, en.State, en.Reason)
		}
	}
}

func testCancelSecond(b *bench) {
	other := b.second()
	id := b.insert("task.cancel")
	h := b.serve([]string{"task.cancel"}).next()
	b.cancel(other, id, "from afar")
	b.is("cause of the run's context after Cancel in another process", h.cause(), engine.ErrCancelled)
	h.conclude(engine.Outcome{Kind: engine.OutcomeRetry})
	b.cancelled(id, "from afar")
}

func testCancelWaitingSecond(b *bench) {
	other := b.second()
	id := b.insert("task.cancel")
	b.cancel(other, id, "from afar")
	b.cancelled(id, "from afar")
	b.notRun()
}
