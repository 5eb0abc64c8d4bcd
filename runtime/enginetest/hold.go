package enginetest

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// holdTests are about the end of a task's hold on its key: [engine.KeyHold].
var holdTests = []test{
	{name: "ComesBack", run: testHoldComesBack},
	{name: "TimeFreeOnceFailed", run: testTimeFreeOnceFailed},
	{name: "TimeFreeOnceCancelled", run: testTimeFreeOnceCancelled},
	{name: "TimeHeldAfterSuccess", run: testTimeHeldAfterSuccess},
	{name: "FreeOnceDeleted", run: testFreeOnceDeleted},
	{name: "FreeOnceRemoved", run: testFreeOnceRemoved, needs: need{remove: true}},
	{name: "ActiveUntilTheEnd", run: testActiveUntilTheEnd},
	{name: "WaitingUntilItBegins", run: testWaitingUntilItBegins},
	{name: "WaitingStaysFree", run: testWaitingStaysFree},
	{name: "TickHeldWhateverBecomes", run: testTickHeld},
	{name: "TickFreeAfterItsTime", run: testTickFree},
	{name: "OneTakesOver", run: testTakeOver},
	{name: "OneTakesOverBetweenHandles", run: testTakeOverHandles, needs: need{second: true}},
	{name: "TakenOverOnceInABatch", run: testTakeOverBatch},
	{name: "RetryTakesItAgain", run: testRetryTakesKey},
	{name: "RetryOfAnotherHolder", run: testRetryKeyHeld},
	{name: "RetryWithoutTheKey", run: testRetryNeedsNoKey},
}

// holder inserts a message that holds the key k, and fails the test if another
// task holds it.
func (b *bench) holder(when string, edits ...func(*engine.Message)) uuid.UUID {
	b.Helper()
	in := b.insertInto(b.e, b.message("task.keyed", edits...))
	if in.Existing {
		b.Fatalf("%s: the key must be free, and Insert returned the existing task %s", when, in.ID)
	}
	return in.ID
}

// holds fails the test unless the first task holds the key, and can be looked
// up.
func (b *bench) holds(when string, first uuid.UUID, edit func(*engine.Message)) {
	b.Helper()
	b.sameTask(when, b.insertInto(b.e, b.message("task.keyed", edit)), first)
	b.get(first)
}

// end runs the server's next task and ends it with the outcome.
func (s *server) end(id uuid.UUID, o engine.Outcome, want engine.State) {
	s.b.Helper()
	h := s.next()
	if h.id() != id {
		s.b.Fatalf("task %s was run, want %s", h.id(), id)
	}
	h.conclude(o)
	s.b.until(id, want)
}

func testHoldComesBack(b *bench) {
	for i, edit := range []func(*engine.Message){
		key(fmt.Sprint("time", b.queue), time.Hour),
		held(fmt.Sprint("active", b.queue), engine.HoldActive),
		held(fmt.Sprint("waiting", b.queue), engine.HoldWaiting),
		func(m *engine.Message) {
			m.Key, m.KeyHold, m.KeyFor = fmt.Sprint("tick", b.queue), engine.HoldTick, time.Hour
		},
	} {
		m := b.message("task.hold", edit)
		id := b.put(m)
		b.sameMessage(fmt.Sprintf("Entry.Message of hold %d", i), b.get(id).Message, m, id)
	}
}

func testTimeFreeOnceFailed(b *bench) {
	k := key("k"+b.queue, time.Hour)
	first := b.holder("at first", k)
	s := b.serve([]string{"task.keyed"})
	s.end(first, engine.Outcome{Kind: engine.OutcomeRetry, After: time.Hour, Reason: "again"}, engine.StateRetrying)
	b.holds("the key's task retries", first, k)
	b.cancel(b.e, first, "no")
	second := b.holder("the key's task was cancelled while it retried", k)
	s.end(second, engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"}, engine.StateFailed)
	third := b.holder("the key's task has failed", k)
	for _, id := range []uuid.UUID{first, second} {
		if !b.get(id).State.Final() {
			b.Errorf("task %s has let go of its key, and is %s", id, b.get(id).State)
		}
	}
	b.holds("the key's third task waits", third, k)
	s.end(third, engine.Outcome{Kind: engine.OutcomeSucceed}, engine.StateSucceeded)
}

func testTimeFreeOnceCancelled(b *bench) {
	k := key("k"+b.queue, time.Hour)
	waits := b.holder("at first", k, dueIn(time.Hour))
	b.cancel(b.e, waits, "no")
	second := b.holder("the key's task was cancelled while it waited", k)
	h := b.serve([]string{"task.keyed"}).next()
	b.holds("the key's task runs", second, k)
	h.conclude(engine.Outcome{Kind: engine.OutcomeCancel, Reason: "not needed"})
	b.until(second, engine.StateCancelled)
	b.holder("the key's task ended itself as cancelled", k, dueIn(time.Hour))
}

func testTimeHeldAfterSuccess(b *bench) {
	k := key("k"+b.queue, time.Hour)
	first := b.holder("at first", k)
	b.serve([]string{"task.keyed"}).end(first, engine.Outcome{Kind: engine.OutcomeSucceed}, engine.StateSucceeded)
	b.holds("the key's task has succeeded, its time has not ended", first, k)
}

// everyHold returns the ways to hold a key, except that of a tick.
func (b *bench) everyHold() map[string]func(*engine.Message) {
	return map[string]func(*engine.Message){
		"HoldTime":    key("time"+b.queue, time.Hour),
		"HoldActive":  held("active"+b.queue, engine.HoldActive),
		"HoldWaiting": held("waiting"+b.queue, engine.HoldWaiting),
	}
}

func testFreeOnceDeleted(b *bench) { testFreeOnceGone(b, (*bench).remove) }

func testFreeOnceRemoved(b *bench) {
	testFreeOnceGone(b, func(b *bench, id uuid.UUID) { b.o.Remove(b, b.e, id) })
}

func (b *bench) remove(id uuid.UUID) {
	b.Helper()
	if err := b.e.Delete(b.ctx(), id); err != nil {
		b.Fatalf("Delete: %v", err)
	}
}

func testFreeOnceGone(b *bench, remove func(*bench, uuid.UUID)) {
	for hold, k := range b.everyHold() {
		pending := b.holder(hold, k)
		remove(b, pending)
		scheduled := b.holder(hold+": its pending task is gone", k, dueIn(time.Hour))
		remove(b, scheduled)
		last := b.holder(hold+": its scheduled task is gone", k, dueIn(time.Hour))
		b.holds(hold+": its third task waits", last, k)
	}
	k := key("ended"+b.queue, time.Hour)
	ended := b.holder("at first", k)
	b.serve([]string{"task.keyed"}).end(ended, engine.Outcome{Kind: engine.OutcomeSucceed}, engine.StateSucceeded)
	b.holds("the key's task has succeeded", ended, k)
	remove(b, ended)
	b.holder("the key's task, which had succeeded, is gone", k, dueIn(time.Hour))
}

func testActiveUntilTheEnd(b *bench) {
	k := held("k"+b.queue, engine.HoldActive)
	s := b.serve([]string{"task.keyed"})
	for kind, state := range map[engine.OutcomeKind]engine.State{
		engine.OutcomeSucceed: engine.StateSucceeded, engine.OutcomeFail: engine.StateFailed,
		engine.OutcomeCancel: engine.StateCancelled,
	} {
		id := b.holder("the task before has ended", k, dueIn(2*b.o.Step))
		b.holds("the key's task is scheduled", id, k)
		h := s.next()
		b.holds("the key's task runs", id, k)
		h.conclude(engine.Outcome{Kind: engine.OutcomeRetry, After: 2 * b.o.Step, Reason: "again"})
		b.holds("the key's task retries", id, k)
		s.end(id, engine.Outcome{Kind: kind, Reason: "r"}, state)
	}
	b.holder("the task before has ended", k, dueIn(time.Hour))
}

func testWaitingUntilItBegins(b *bench) {
	k := held("k"+b.queue, engine.HoldWaiting)
	first := b.holder("at first", k)
	b.holds("the key's task is pending", first, k)
	s := b.serve([]string{"task.keyed"}, slots(1))
	h := s.next()
	second := b.holder("the key's task has begun", k)
	b.holds("the second task waits while the first runs", second, k)
	h.succeed()
	s.end(second, engine.Outcome{Kind: engine.OutcomeSucceed}, engine.StateSucceeded)
	third := b.holder("the second task has ended", k, dueIn(time.Hour))
	b.holds("the third task is scheduled", third, k)
	b.cancel(b.e, third, "no")
	b.holder("the third task was cancelled before it began", k, dueIn(time.Hour))
}

// testWaitingStaysFree: a task that waits for its second run does not hold its
// key again.
func testWaitingStaysFree(b *bench) {
	for name, kind := range map[string]engine.OutcomeKind{"retries": engine.OutcomeRetry, "snoozes": engine.OutcomeDelay} {
		k := held(name+b.queue, engine.HoldWaiting)
		first := b.holder(name, k)
		s := b.serve([]string{"task.keyed"}, slots(1))
		s.end(first, engine.Outcome{Kind: kind, After: time.Hour, Reason: "later"}, engine.StateRetrying)
		s.mustStop()
		second := b.holder("the key's first task has begun, and "+name, k, dueIn(time.Hour))
		b.holds("the key's second task waits, the first "+name, second, k)
		if en := b.get(first); en.State != engine.StateRetrying {
			b.Errorf("the first task is %s, want as it was", en.State)
		}
	}
}

// tick is a key held by the tick of a schedule.
func tick(k string, d time.Duration) func(*engine.Message) {
	return func(m *engine.Message) { m.Key, m.KeyHold, m.KeyFor = k, engine.HoldTick, d }
}

func testTickHeld(b *bench) {
	s := b.serve([]string{"task.keyed"})
	for what, become := range map[string]func(id uuid.UUID){
		"succeeded": func(id uuid.UUID) {
			s.end(id, engine.Outcome{Kind: engine.OutcomeSucceed}, engine.StateSucceeded)
		},
		"failed": func(id uuid.UUID) {
			s.end(id, engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"}, engine.StateFailed)
		},
		"cancelled": func(id uuid.UUID) {
			s.end(id, engine.Outcome{Kind: engine.OutcomeCancel, Reason: "no"}, engine.StateCancelled)
		},
		"been deleted": func(id uuid.UUID) {
			s.end(id, engine.Outcome{Kind: engine.OutcomeSucceed}, engine.StateSucceeded)
			b.remove(id)
		},
	} {
		k := tick(what+b.queue, time.Hour)
		first := b.holder("at first", k)
		become(first)
		b.sameTask("the tick's task has "+what, b.insertInto(b.e, b.message("task.keyed", k)), first)
	}
}

func testTickFree(b *bench) {
	first := b.holder("at first", tick("k"+b.queue, 4*b.o.Step), dueIn(time.Hour))
	b.poll("the key of a tick is free after KeyFor", func() bool {
		in := b.insertInto(b.e, b.message("task.keyed", tick("k"+b.queue, time.Hour), dueIn(time.Hour)))
		return !in.Existing && in.ID != first
	})
}

// takeOver lets many inserts compete for a free key at the same time.
func (b *bench) takeOver(when string, k func(*engine.Message), engines ...engine.Engine) uuid.UUID {
	b.Helper()
	const n = 16
	answers := make([]engine.Inserted, n)
	var wg sync.WaitGroup
	for i := range n {
		e, m := engines[i%len(engines)], b.message("task.keyed", k, dueIn(time.Hour))
		wg.Go(func() {
			ins, err := e.Insert(b.ctx(), []*engine.Message{m})
			if err != nil {
				b.Errorf("%s: Insert: %v", when, err)
				return
			}
			answers[i] = ins[0]
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
	var first uuid.UUID
	stored := 0
	for _, in := range answers {
		if !in.Existing {
			first = in.ID
			stored++
		}
	}
	if stored != 1 {
		b.Fatalf("%s: of %d inserts of a free key at the same time %d were stored, want 1", when, n, stored)
	}
	for _, in := range answers {
		if in.ID != first {
			b.Errorf("%s: an insert was answered with the task %s, want %s, which took the key", when, in.ID, first)
		}
	}
	return first
}

func testTakeOver(b *bench) { takeOvers(b, b.e) }

func testTakeOverHandles(b *bench) { takeOvers(b, b.e, b.second()) }

func takeOvers(b *bench, engines ...engine.Engine) {
	for hold, k := range b.everyHold() {
		first := b.holder(hold, k, dueIn(time.Hour))
		b.cancel(b.e, first, "no")
		second := b.takeOver(hold+": the holder was cancelled", k, engines...)
		b.remove(second)
		third := b.takeOver(hold+": the holder was deleted", k, engines...)
		b.holds(hold+": the third holder waits", third, k)
	}
}

func testTakeOverBatch(b *bench) {
	for hold, k := range b.everyHold() {
		b.cancel(b.e, b.holder(hold, k), "no")
		ins, err := b.e.Insert(b.ctx(), []*engine.Message{
			b.message("task.a", k, dueIn(time.Hour)), b.message("task.b", dueIn(time.Hour)), b.message("task.c", k, dueIn(time.Hour)),
		})
		if err != nil {
			b.Fatalf("%s: Insert of a batch with a free key twice: %v", hold, err)
		}
		if ins[0].Existing || ins[1].Existing {
			b.Errorf("%s: the first of the free key and the one without are answered with %+v and %+v, want both stored", hold, ins[0], ins[1])
		}
		b.sameTask(hold+": the second of the key in one batch", ins[2], ins[0].ID)
	}
}

func testRetryTakesKey(b *bench) {
	s := b.serve([]string{"task.keyed"})
	for hold, k := range map[string]func(*engine.Message){
		"HoldTime": key("time"+b.queue, time.Hour), "HoldActive": held("active"+b.queue, engine.HoldActive),
	} {
		first := b.holder(hold, k)
		s.end(first, engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"}, engine.StateFailed)
		b.retry(first)
		h := s.next()
		b.holds(hold+": the key's task, which had failed, runs again", first, k)
		h.conclude(engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"})
		b.until(first, engine.StateFailed)
		second := b.holder(hold+": the key's task has failed again", k)
		s.end(second, engine.Outcome{Kind: engine.OutcomeSucceed}, engine.StateSucceeded)
	}
	s.mustStop()
	k := held("waiting"+b.queue, engine.HoldWaiting)
	first := b.holder("HoldWaiting", k, dueIn(time.Hour))
	b.cancel(b.e, first, "no")
	b.retry(first)
	b.holds("HoldWaiting: the key's task, which was cancelled before it began, waits again", first, k)
}

func testRetryKeyHeld(b *bench) {
	for hold, k := range b.everyHold() {
		first := b.holder(hold, k, dueIn(time.Hour))
		b.cancel(b.e, first, "no")
		second := b.holder(hold+": the key's task was cancelled", k, dueIn(time.Hour))
		err := b.e.Retry(b.ctx(), first)
		b.is(hold+": Retry of a task whose key another one holds", err, engine.ErrState)
		if err != nil && !strings.Contains(err.Error(), second.String()) {
			b.Errorf("%s: Retry of a task whose key another one holds: %v, want an error that names that one, %s", hold, err, second)
		}
		if en := b.get(first); en.State != engine.StateCancelled {
			b.Errorf("%s: after a Retry that was refused the task is %s, want as it was", hold, en.State)
		}
		b.holds(hold+": a Retry of another task was refused", second, k)
		b.remove(second)
		b.retry(first)
		b.holds(hold+": the other task was deleted, and the first is retried", first, k)
		b.remove(first)
	}
}

// testRetryNeedsNoKey: a task that would not hold its key any more is retried,
// whoever holds it.
func testRetryNeedsNoKey(b *bench) {
	s := b.serve([]string{"task.keyed"})
	waiting := held("waiting"+b.queue, engine.HoldWaiting)
	begun := b.holder("HoldWaiting", waiting)
	s.end(begun, engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"}, engine.StateFailed)
	short := key("time"+b.queue, 2*b.o.Step)
	first := b.holder("HoldTime", short)
	s.end(first, engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"}, engine.StateFailed)
	s.mustStop()
	long := key("time"+b.queue, time.Hour)
	second := b.holder("HoldTime: its task has failed", long, dueIn(time.Hour))
	other := b.holder("HoldWaiting: its task has begun", waiting, dueIn(time.Hour))
	b.retry(begun)
	b.holds("HoldWaiting: a task that had begun is retried", other, waiting)
	b.poll("a task whose KeyFor has ended is retried, although another one holds the key", func() bool {
		return b.e.Retry(b.ctx(), first) == nil
	})
	b.holds("HoldTime: a task whose time had ended is retried", second, long)
}
