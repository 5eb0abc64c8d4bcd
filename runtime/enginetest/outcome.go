package enginetest

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

var outcomeTests = []test{
	{name: "Succeed", run: testSucceed},
	{name: "SucceedWithoutResult", run: testSucceedWithoutResult},
	{name: "Fail", run: testFail},
	{name: "Cancel", run: testCancelItself},
	{name: "Retry", run: testOutcomeRetry},
	{name: "RetryWaits", run: testRetryWaits},
	{name: "Delay", run: testDelay},
	{name: "Release", run: testRelease},
	{name: "AttemptsCount", run: testAttempts},
	{name: "Reasons", run: testReasons},
	{name: "RecordStays", run: testRecordStays},
	{name: "RunningEntry", run: testRunningEntry},
	{name: "TimesOfTheLatestRun", run: testLatestTimes},
	{name: "ManyDelays", run: testManyDelays},
	{name: "RunSeesValuesOfServe", run: testRunValues},
}

func testSucceed(b *bench) {
	id := b.insert("task.ok")
	s := b.serve([]string{"task.ok"})
	began := time.Now()
	s.next().conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`{"receipt":"r-1"}`)})
	en := b.until(id, engine.StateSucceeded)
	if !sameJSON(en.Result, json.RawMessage(`{"receipt":"r-1"}`)) {
		b.Errorf("Entry.Result is %s, want what the outcome had, {\"receipt\":\"r-1\"}", shown(en.Result))
	}
	if en.Reason != "" || en.Attempt != 0 {
		b.Errorf("the entry has Reason %q and Attempt %d, want none and 0", en.Reason, en.Attempt)
	}
	if en.Worker != s.w.ID {
		b.Errorf("Entry.Worker is %q, want %q", en.Worker, s.w.ID)
	}
	b.saneTimes(en, began)
	s.mustStop()
}

// saneTimes fails the test unless the entry's run began and ended around now.
// A clock of the store's own may be some seconds off.
func (b *bench) saneTimes(en *engine.Entry, began time.Time) {
	b.Helper()
	const off = 5 * time.Second
	if en.StartedAt.Before(began.Add(-off)) || en.StartedAt.After(time.Now().Add(off)) {
		b.Errorf("StartedAt is %v, want a time from %v to now", en.StartedAt, began)
	}
	if en.State.Final() && (en.EndedAt.Before(en.StartedAt) || en.EndedAt.After(time.Now().Add(off))) {
		b.Errorf("EndedAt is %v, want a time from %v to now", en.EndedAt, en.StartedAt)
	}
	if !en.State.Final() && !en.EndedAt.IsZero() {
		b.Errorf("EndedAt of a task that is %s is %v, want zero", en.State, en.EndedAt)
	}
}

func testSucceedWithoutResult(b *bench) {
	id := b.insert("task.void")
	b.serve([]string{"task.void"}).next().succeed()
	if en := b.until(id, engine.StateSucceeded); len(en.Result) != 0 {
		b.Errorf("Entry.Result is %s, want none", shown(en.Result))
	}
}

func testFail(b *bench) {
	id := b.insert("task.bad")
	s := b.serve([]string{"task.bad", "task.end"})
	began := time.Now()
	s.next().conclude(engine.Outcome{Kind: engine.OutcomeFail, Reason: "card declined"})
	en := b.until(id, engine.StateFailed)
	if en.Reason != "card declined" {
		b.Errorf("Entry.Reason is %q, want what the outcome had", en.Reason)
	}
	b.saneTimes(en, began)
	b.insert("task.end")
	s.nextNamed("task.end").succeed() // it is not run again
}

func testCancelItself(b *bench) {
	id := b.insert("task.cancel")
	s := b.serve([]string{"task.cancel", "task.end"})
	s.next().conclude(engine.Outcome{Kind: engine.OutcomeCancel, Reason: "not needed"})
	if en := b.until(id, engine.StateCancelled); en.Reason != "not needed" || en.EndedAt.IsZero() {
		b.Errorf("the entry has Reason %q and EndedAt %v, want what the outcome had and a time", en.Reason, en.EndedAt)
	}
	b.insert("task.end")
	s.nextNamed("task.end").succeed()
}

func testOutcomeRetry(b *bench) {
	id := b.insert("task.retry")
	s := b.serve([]string{"task.retry"})
	s.next().conclude(engine.Outcome{Kind: engine.OutcomeRetry, Reason: "timeout of the bank"})
	h := s.next()
	if h.id() != id || h.d.Attempt != 1 {
		b.Errorf("the second run is of %s with Attempt %d, want %s with 1", h.id(), h.d.Attempt, id)
	}
	if en := b.get(id); en.State != engine.StateRunning || en.Attempt != 1 {
		b.Errorf("the entry is %s with Attempt %d, want running with 1", en.State, en.Attempt)
	}
	h.succeed()
	if en := b.until(id, engine.StateSucceeded); en.Reason != "" || en.Attempt != 1 {
		b.Errorf("the entry has Reason %q and Attempt %d, want those of the latest run: none and 1", en.Reason, en.Attempt)
	}
}

func testRetryWaits(b *bench) {
	id := b.insert("task.retry")
	s := b.serve([]string{"task.retry", "task.other"})
	after := 4 * b.o.Step
	began := time.Now()
	s.next().conclude(engine.Outcome{Kind: engine.OutcomeRetry, After: after, Reason: "busy"})
	b.insert("task.other")
	s.nextNamed("task.other").succeed()
	h := s.nextNamed("task.retry")
	if waited := time.Since(began); waited < after {
		b.Errorf("the retry ran %v after the first run, want at least %v", waited, after)
	}
	h.conclude(engine.Outcome{Kind: engine.OutcomeRetry, After: time.Hour, Reason: "busy"})
	en := b.until(id, engine.StateRetrying)
	if en.Reason != "busy" || en.Attempt != 2 {
		b.Errorf("a task that waits for its retry has Reason %q and Attempt %d, want %q and that of the next run, 2", en.Reason, en.Attempt, "busy")
	}
	if d := time.Until(en.Due); d < 50*time.Minute || d > 70*time.Minute {
		b.Errorf("Entry.Due is in %v, want in an hour", d)
	}
	b.saneTimes(en, began)
}

func testDelay(b *bench) {
	id := b.insert("task.snooze")
	s := b.serve([]string{"task.snooze"})
	for range 3 {
		h := s.next()
		if h.d.Attempt != 0 {
			b.Errorf("Attempt is %d after delays only, want 0", h.d.Attempt)
		}
		h.conclude(engine.Outcome{Kind: engine.OutcomeDelay, After: b.o.Step, Reason: "not yet"})
	}
	s.next().conclude(engine.Outcome{Kind: engine.OutcomeDelay, After: time.Hour, Reason: "not yet"})
	if en := b.until(id, engine.StateRetrying); en.Attempt != 0 || en.Reason != "not yet" {
		b.Errorf("a delayed task has Attempt %d and Reason %q, want 0 and %q", en.Attempt, en.Reason, "not yet")
	}
}

func testRelease(b *bench) {
	id := b.insert("task.back")
	s := b.serve([]string{"task.back"})
	s.next().conclude(engine.Outcome{Kind: engine.OutcomeRelease})
	h := s.next()
	if h.id() != id || h.d.Attempt != 0 {
		b.Errorf("the run after a release is of %s with Attempt %d, want %s with 0", h.id(), h.d.Attempt, id)
	}
	s.cancel()
	h.conclude(engine.Outcome{Kind: engine.OutcomeRelease})
	s.stopReleasing()
	if en := b.get(id); en.State != engine.StatePending || en.Attempt != 0 || !en.EndedAt.IsZero() {
		b.Errorf("a released task is %s with Attempt %d and EndedAt %v, want pending with 0 and none", en.State, en.Attempt, en.EndedAt)
	}
}

func testAttempts(b *bench) {
	id := b.insert("task.try")
	s := b.serve([]string{"task.try"})
	want := 0
	for _, kind := range []engine.OutcomeKind{
		engine.OutcomeRetry, engine.OutcomeDelay, engine.OutcomeRetry, engine.OutcomeRelease, engine.OutcomeDelay, engine.OutcomeRetry,
	} {
		h := s.next()
		if h.d.Attempt != want {
			b.Fatalf("Attempt is %d, want %d: the number of runs that ended with a retry", h.d.Attempt, want)
		}
		if kind == engine.OutcomeRetry {
			want++
		}
		h.conclude(engine.Outcome{Kind: kind})
	}
	h := s.next()
	if h.d.Attempt != want {
		b.Errorf("Attempt is %d, want %d", h.d.Attempt, want)
	}
	h.conclude(engine.Outcome{Kind: engine.OutcomeFail, Reason: "last"})
	if en := b.until(id, engine.StateFailed); en.Attempt != want {
		b.Errorf("Entry.Attempt is %d, want that of the last run, %d", en.Attempt, want)
	}
}

func testReasons(b *bench) {
	s := b.serve([]string{"task.reason"})
	for _, reason := range []string{
		"plain", "with \"quotes\", <tags> & 'more'", "line 1\nline 2\ttab", "é 漢 😀 \u2028 \u0001 \ufffd",
		strings.Repeat("0123456789abcdé", engine.MaxReason/16),
	} {
		for _, kind := range []engine.OutcomeKind{engine.OutcomeFail, engine.OutcomeCancel} {
			id := b.insert("task.reason")
			s.next().conclude(engine.Outcome{Kind: kind, Reason: reason})
			en := b.ended(id)
			if en.Reason != reason {
				b.Errorf("reason %.60q (%d bytes) is read back as %.60q (%d bytes)", reason, len(reason), en.Reason, len(en.Reason))
			}
		}
	}
}

func testRecordStays(b *bench) {
	id := b.insert("task.keep", func(m *engine.Message) { m.Keep = time.Hour })
	s := b.serve([]string{"task.keep", "task.more"})
	s.next().conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: number(1)})
	b.until(id, engine.StateSucceeded)
	s.mustStop()
	b.auto([]string{"task.more"}, nil)
	last := b.insert("task.more")
	b.until(last, engine.StateSucceeded)
	if en := b.get(id); !sameJSON(en.Result, number(1)) {
		b.Errorf("Entry.Result is %s later on, want 1", shown(en.Result))
	}
}

func testRunningEntry(b *bench) {
	id := b.insert("task.run")
	s := b.serve([]string{"task.run"})
	began := time.Now()
	h := s.next()
	en := b.get(id)
	if en.State != engine.StateRunning || en.Worker != s.w.ID {
		b.Errorf("while the task runs its entry is %s of worker %q, want running of %q", en.State, en.Worker, s.w.ID)
	}
	b.saneTimes(en, began)
	h.succeed()
}

func testLatestTimes(b *bench) {
	id := b.insert("task.twice")
	first := b.serve([]string{"task.twice"})
	h := first.next()
	started := b.get(id).StartedAt
	h.conclude(engine.Outcome{Kind: engine.OutcomeRetry, After: 2 * b.o.Step})
	b.until(id, engine.StateRetrying)
	first.mustStop()
	second := b.serve([]string{"task.twice"})
	h = second.next()
	if again := b.get(id).StartedAt; !again.After(started) {
		b.Errorf("StartedAt of the second run is %v, want later than that of the first, %v", again, started)
	}
	h.succeed()
	if en := b.until(id, engine.StateSucceeded); en.Worker != second.w.ID {
		b.Errorf("Entry.Worker is %q, want that of the latest run, %q", en.Worker, second.w.ID)
	}
}

// testManyDelays: a task may be put off any number of times.
func testManyDelays(b *bench) {
	id := b.insert("task.snooze", func(m *engine.Message) { m.Meta.Retries = 0 })
	s := b.serve([]string{"task.snooze"})
	for range 40 {
		s.next().conclude(engine.Outcome{Kind: engine.OutcomeDelay})
	}
	h := s.next()
	if h.d.Attempt != 0 {
		b.Errorf("Attempt is %d after 40 delays, want 0", h.d.Attempt)
	}
	h.succeed()
	b.until(id, engine.StateSucceeded)
}

// testRunValues: tasks see the values of the context with which the App was
// started.
func testRunValues(b *bench) {
	type valueKey struct{}
	b.insert("task.value")
	ctx := context.WithValue(context.Background(), valueKey{}, "value")
	h := b.serveIn(ctx, b.e, []string{"task.value"}).next()
	if got := h.ctx.Value(valueKey{}); got != "value" {
		b.Errorf("the context of a run has the value %v, want that of Serve's", got)
	}
	h.succeed()
}
