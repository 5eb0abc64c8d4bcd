package enginetest

import (
	"errors"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// testTxAnswerLost: the caller does not know that it has committed, and the run
// fails. The task has succeeded all the same.
func testTxAnswerLost(b *bench) {
	id := b.insert("task.tx")
	s := b.serve([]string{"task.tx"})
	h := s.next()
	tx, j := b.begin()
	b.conclude(j, h, engine.Outcome{Result: number(1)})
	b.must("commit", tx.Commit())
	h.conclude(engine.Outcome{Kind: engine.OutcomeRetry, Reason: "the answer was lost"})
	if r := s.nextRefused(); r.d != h.d {
		b.Error("Refused was called with another delivery")
	}
	if en := b.get(id); en.State != engine.StateSucceeded || !sameJSON(en.Result, number(1)) {
		b.Errorf("the task is %s with result %s, want what was committed", en.State, en.Result)
	}
	s.mustStop()
}

func testTxKeyLetGo(b *bench) {
	b.insert("task.keyed", held(b.queue, engine.HoldActive))
	h := b.serve([]string{"task.keyed"}).next()
	tx, j := b.begin()
	committed := b.conclude(j, h, engine.Outcome{})
	b.must("commit", tx.Commit())
	committed()
	b.holder("once its task has ended", held(b.queue, engine.HoldActive))
	h.succeed()
}

func testTxCancelled(b *bench) {
	id := b.insert("task.tx")
	s := b.serve([]string{"task.tx"})
	h := s.next()
	b.cancel(b.e, id, "from outside")
	h.stopped()
	tx, j := b.begin()
	committed := b.conclude(j, h, engine.Outcome{})
	b.must("commit", tx.Commit())
	committed()
	h.succeed()
	b.until(id, engine.StateSucceeded)
	s.mustStop()
}

func testTxNotOwned(b *bench) {
	b.insert("task.tx")
	s := b.serve([]string{"task.tx"})
	h := s.next()
	h.succeed()
	b.until(h.id(), engine.StateSucceeded)
	s.mustStop()
	_, j := b.begin()
	_, err := j.Conclude(b.ctx(), h.d, engine.Outcome{Kind: engine.OutcomeSucceed, Result: number(2)})
	b.is("Conclude of a run that was concluded", err, engine.ErrLeaseLost)
}

// testTxBegunLate: a transaction may begin long after its run, when the lease was
// renewed and the memo written meanwhile, and be joined when it has written. One that
// the run has begun before and left does not count.
func testTxBegunLate(b *bench) {
	id := b.insert("task.tx")
	other := b.second()
	s := b.serve([]string{"task.tx"})
	h := s.next()
	next := b.serveOn(other, []string{"task.tx"})
	left, _ := b.begin()
	b.must("write a row", left.Write())
	b.must("rollback", left.Rollback())
	time.Sleep(3 * b.o.Lease / 2)
	h.save(`{"note":1}`)
	tx := b.o.Begin(b, b.e)
	b.Cleanup(func() { _ = tx.Rollback() })
	b.must("write a row", tx.Write())
	committed := b.conclude(b.join(tx), h, engine.Outcome{Result: number(3)})
	b.must("commit", tx.Commit())
	committed()
	h.succeed()
	en := b.until(id, engine.StateSucceeded)
	if !sameJSON(en.Result, number(3)) || en.Attempt != 0 {
		b.Errorf("the result is %s of attempt %d, want 3 of the first", en.Result, en.Attempt)
	}
	b.memoIs("the task that has ended", en.Memo, `{"note":1}`)
	s.mustStop()
	next.mustStop()
}

func testTxLeaseLost(b *bench) {
	id := b.insert("task.tx")
	other := b.second()
	s := b.serve([]string{"task.tx"})
	late := s.next()
	resume := b.pause()
	next := b.serveOn(other, []string{"task.tx"})
	h := next.next()
	tx, j := b.begin()
	b.must("write a row", tx.Write())
	_, err := j.Conclude(b.ctx(), late.d, engine.Outcome{Kind: engine.OutcomeSucceed, Result: number(1)})
	b.is("Conclude of a run that has lost its lease", err, engine.ErrLeaseLost)
	b.must("rollback", tx.Rollback())
	resume()
	late.conclude(engine.Outcome{Kind: engine.OutcomeRelease})
	h.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: number(2)})
	if en := b.until(id, engine.StateSucceeded); !sameJSON(en.Result, number(2)) {
		b.Errorf("the result is %s, want that of the run that owns the task", en.Result)
	}
	next.mustStop()
}

// testTxAbandoned: a run that was given back at a stop cannot conclude any more.
func testTxAbandoned(b *bench) {
	id := b.insert("task.tx")
	s := b.serve([]string{"task.tx"})
	late := s.next()
	s.cancel()
	s.abandon()
	var unfinished *engine.UnfinishedError
	if err := s.wait(); !errors.As(err, &unfinished) {
		b.Fatalf("Serve returned %v, want an UnfinishedError", err)
	}
	tx, j := b.begin()
	_, err := j.Conclude(b.ctx(), late.d, engine.Outcome{Kind: engine.OutcomeSucceed})
	b.is("Conclude of a run that was given back", err, engine.ErrLeaseLost)
	b.must("rollback", tx.Rollback())
	late.succeed()
	again := b.serve([]string{"task.tx"})
	again.next().succeed()
	b.until(id, engine.StateSucceeded)
}
