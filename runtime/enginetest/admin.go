package enginetest

import (
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

var retryTests = []test{
	{name: "Failed", run: testRetryFailed},
	{name: "Cancelled", run: testRetryCancelled},
	{name: "OtherStates", run: testRetryOtherStates},
	{name: "CancelledWhileRunning", run: testRetryAfterCancelRunning},
}

var deleteTests = []test{
	{name: "Waiting", run: testDeleteWaiting},
	{name: "Ended", run: testDeleteEnded},
	{name: "Running", run: testDeleteRunning},
}

func (b *bench) retry(id uuid.UUID) {
	b.Helper()
	if err := b.e.Retry(b.ctx(), id); err != nil {
		b.Fatalf("Retry: %v", err)
	}
}

func testRetryFailed(b *bench) {
	id := b.insert("task.again")
	s := b.serve([]string{"task.again"})
	s.next().conclude(engine.Outcome{Kind: engine.OutcomeRetry})
	h := s.next()
	h.save(`"kept"`)
	h.conclude(engine.Outcome{Kind: engine.OutcomeFail, Reason: "broken"})
	b.until(id, engine.StateFailed)
	b.retry(id)
	h = s.next()
	if h.id() != id {
		b.Fatalf("after Retry task %s was run, want %s", h.id(), id)
	}
	if h.d.Attempt != 1 {
		b.Errorf("Attempt of the run after Retry is %d, want 1: only runs that ended with a retry count", h.d.Attempt)
	}
	b.memoIs("the run after Retry", h.load(), `"kept"`)
	if en := b.get(id); !en.EndedAt.IsZero() {
		b.Errorf("EndedAt of a task that runs again is %v, want zero", en.EndedAt)
	}
	h.succeed()
	b.until(id, engine.StateSucceeded)
}

func testRetryCancelled(b *bench) {
	id := b.insert("task.again", dueIn(time.Hour))
	b.cancel(b.e, id, "no")
	b.until(id, engine.StateCancelled)
	b.retry(id)
	h := b.serve([]string{"task.again"}).next() // at once, although it was scheduled
	if h.id() != id {
		b.Fatalf("after Retry task %s was run, want %s", h.id(), id)
	}
	h.succeed()
	b.until(id, engine.StateSucceeded)
}

func testRetryOtherStates(b *bench) {
	scheduled := b.insert("task.scheduled", dueIn(time.Hour))
	b.is("Retry of a scheduled task", b.e.Retry(b.ctx(), scheduled), engine.ErrState)
	if en := b.get(scheduled); en.State != engine.StateScheduled {
		b.Errorf("after Retry a scheduled task is %s, want as it was", en.State)
	}
	pending := b.insert("task.again")
	b.is("Retry of a pending task", b.e.Retry(b.ctx(), pending), engine.ErrState)
	s := b.serve([]string{"task.again"})
	h := s.next()
	b.is("Retry of a running task", b.e.Retry(b.ctx(), pending), engine.ErrState)
	h.conclude(engine.Outcome{Kind: engine.OutcomeRetry, After: time.Hour})
	b.until(pending, engine.StateRetrying)
	b.is("Retry of a retrying task", b.e.Retry(b.ctx(), pending), engine.ErrState)
	done := b.insert("task.again")
	s.next().succeed()
	b.until(done, engine.StateSucceeded)
	b.is("Retry of a task that succeeded", b.e.Retry(b.ctx(), done), engine.ErrState)
	app := runtime.New(b.e, runtime.Config{})
	b.namedOnce("Retry of a task that succeeded", app.Retry(b.ctx(), done), done)
}

// testRetryAfterCancelRunning: the cancellation of an earlier run does not stop
// the new one.
func testRetryAfterCancelRunning(b *bench) {
	id := b.insert("task.again")
	s := b.serve([]string{"task.again"})
	h := s.next()
	b.cancel(b.e, id, "stop")
	h.stopped()
	h.conclude(engine.Outcome{Kind: engine.OutcomeCancel, Reason: "stop"})
	b.until(id, engine.StateCancelled)
	b.retry(id)
	h = s.next()
	time.Sleep(2 * b.o.Step)
	if err := h.ctx.Err(); err != nil {
		b.Errorf("the run after Retry was stopped: %v", err)
	}
	h.conclude(engine.Outcome{Kind: engine.OutcomeRetry})
	s.next().succeed()
	b.until(id, engine.StateSucceeded)
}

// gone fails the test unless the task is no longer found.
func (b *bench) gone(id uuid.UUID) {
	b.Helper()
	_, err := b.e.Get(b.ctx(), id)
	b.is("Get of a deleted task", err, engine.ErrNotFound)
	b.is("Delete of a deleted task", b.e.Delete(b.ctx(), id), engine.ErrNotFound)
	es, _, err := b.e.List(b.ctx(), engine.Query{Queue: b.queue})
	if err != nil {
		b.Fatalf("List: %v", err)
	}
	for _, en := range es {
		if en.ID == id {
			b.Error("List returns a deleted task")
		}
	}
}

func testDeleteWaiting(b *bench) {
	pending, scheduled := b.insert("task.gone"), b.insert("task.gone", dueIn(2*b.o.Step))
	for _, id := range []uuid.UUID{pending, scheduled} {
		if err := b.e.Delete(b.ctx(), id); err != nil {
			b.Fatalf("Delete: %v", err)
		}
		b.gone(id)
	}
	time.Sleep(4 * b.o.Step)
	s := b.serve([]string{"task.gone", "task.end"}, slots(1))
	b.insert("task.end")
	s.nextNamed("task.end").succeed()
}

func testDeleteEnded(b *bench) {
	id := b.insert("task.gone")
	b.serve([]string{"task.gone"}).next().succeed()
	b.until(id, engine.StateSucceeded)
	if err := b.e.Delete(b.ctx(), id); err != nil {
		b.Fatalf("Delete: %v", err)
	}
	b.gone(id)
}

func testDeleteRunning(b *bench) {
	id := b.insert("task.gone")
	h := b.serve([]string{"task.gone"}).next()
	if err := b.e.Delete(b.ctx(), id); !errors.Is(err, engine.ErrRunning) {
		b.Errorf("Delete of a running task: %v, want one that wraps %q", err, engine.ErrRunning)
	}
	b.namedOnce("Delete of a running task", runtime.New(b.e, runtime.Config{}).Delete(b.ctx(), id), id)
	h.succeed()
	b.until(id, engine.StateSucceeded)
}
