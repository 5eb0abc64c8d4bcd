package enginetest

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

var leaseTests = []test{
	{name: "LongTaskIsNotTaken", run: testLeaseRenewed, needs: need{second: true, pause: true}},
	{name: "ClocksThatStep", run: testLeaseClocks, needs: need{second: true, pause: true}},
	{name: "LostTaskRunsAgain", run: testLeaseLost, needs: need{second: true, pause: true}},
	{name: "LostWorkerIsRefused", run: testLeaseRefused, needs: need{second: true, pause: true}},
	{name: "LostTaskCancelled", run: testLeaseCancelled, needs: need{second: true, pause: true}},
}

// testLeaseRenewed: a worker that lives keeps its task, however long it takes.
func testLeaseRenewed(b *bench) {
	id := b.insert("task.long")
	h := b.serve([]string{"task.long"}).next()
	other := b.serveOn(b.second(), []string{"task.long"})
	time.Sleep(3 * b.o.Lease)
	other.none("it still runs on a worker that lives")
	if err := h.ctx.Err(); err != nil {
		b.Errorf("the run was stopped: %v", err)
	}
	h.succeed()
	if en := b.until(id, engine.StateSucceeded); en.Attempt != 0 {
		b.Errorf("Entry.Attempt is %d, want 0", en.Attempt)
	}
}

// testLeaseClocks: no clock takes a task from a worker that lives. Clocks may
// differ by hours, or step while it runs.
func testLeaseClocks(b *bench) {
	var step atomic.Int64
	ahead := func(w *engine.Worker) {
		w.Now = func() time.Time { return time.Now().Add(time.Duration(step.Load())) }
	}
	behind := func(w *engine.Worker) {
		w.Now = func() time.Time { return time.Now().Add(-time.Duration(step.Load())) }
	}
	id := b.insert("task.long")
	h := b.serve([]string{"task.long"}, ahead).next()
	other := b.serveOn(b.second(), []string{"task.long"}, behind)
	for _, d := range []time.Duration{time.Hour, -time.Hour, 0} {
		step.Store(int64(d))
		time.Sleep(3 * b.o.Lease / 2)
		other.none(fmt.Sprintf("it still runs on a worker that lives, whose clock is now %v from the right time and the other's %v", d, -d))
		if err := h.ctx.Err(); err != nil {
			b.Errorf("the run was stopped after the worker's clock stepped to %v from the right time: %v", d, context.Cause(h.ctx))
		}
	}
	h.succeed()
	if en := b.until(id, engine.StateSucceeded); en.Attempt != 0 {
		b.Errorf("Entry.Attempt is %d, want 0", en.Attempt)
	}
}

func testLeaseLost(b *bench) {
	id := b.insert("task.lost")
	other := b.second()
	h := b.serve([]string{"task.lost"}).next()
	h.save(`"from the first run"`)
	resume := b.pause()
	began := time.Now()
	next := b.serveOn(other, []string{"task.lost"})
	again := next.next()
	b.Logf("a task of a worker that stood still was run again after %v, with a lease of %v", time.Since(began), b.o.Lease)
	if again.id() != id {
		b.Fatalf("task %s was run, want %s", again.id(), id)
	}
	if again.d.Attempt != 1 {
		b.Errorf("Attempt after a lost lease is %d, want 1", again.d.Attempt)
	}
	b.memoIs("the run after a lost lease", again.load(), `"from the first run"`)
	again.succeed()
	b.poll("the task succeeds", func() bool {
		en, err := other.Get(b.ctx(), id)
		return err == nil && en.State == engine.StateSucceeded
	})
	resume()
	b.is("cause of the context of the run that lost its lease", h.cause(), engine.ErrLeaseLost)
	h.succeed()
}

// testLeaseRefused: a worker comes back after it stood still, and writes
// nothing.
func testLeaseRefused(b *bench) {
	kinds := []engine.OutcomeKind{engine.OutcomeSucceed, engine.OutcomeFail, engine.OutcomeRetry, engine.OutcomeRelease}
	for _, kind := range kinds {
		b.e = b.open(b)
		id := b.insert("task.lost")
		other := b.second()
		s := b.serve([]string{"task.lost"})
		late := s.next()
		resume := b.pause()
		next := b.serveOn(other, []string{"task.lost"})
		h := next.next()
		late.conclude(engine.Outcome{Kind: kind, Result: json.RawMessage(`"late"`), Reason: "late", Memo: json.RawMessage(`"late"`)})
		resume()
		if r := s.nextRefused(); r.d != late.d {
			b.Error("Refused was called with another delivery than the late one")
		}
		s.cancel()
		h.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`"mine"`)})
		en := b.until(id, engine.StateSucceeded)
		if !sameJSON(en.Result, json.RawMessage(`"mine"`)) || en.Reason != "" || len(en.Memo) != 0 || en.Attempt != 1 {
			b.Errorf("the entry is %+v, want only what the second worker wrote", en)
		}
		next.mustStop()
	}
}

// testLeaseCancelled: a task that was cancelled while its worker stood still
// does not run again.
func testLeaseCancelled(b *bench) {
	id := b.insert("task.cancel")
	other := b.second()
	h := b.serve([]string{"task.cancel"}).next()
	resume := b.pause()
	b.cancel(other, id, "gone")
	next := b.serveOn(other, []string{"task.cancel"})
	b.poll("the cancelled task ends as cancelled once its worker is given up", func() bool {
		en, err := other.Get(b.ctx(), id)
		return err == nil && en.State == engine.StateCancelled
	})
	next.none("it was cancelled")
	resume()
	h.stopped()
	h.conclude(engine.Outcome{Kind: engine.OutcomeRetry})
	b.cancelled(id, "gone")
}
