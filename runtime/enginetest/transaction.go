package enginetest

import (
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Transaction is a transaction that a program has begun on a database.
type Transaction struct {
	Tx       any // what the program has in hand
	Commit   func() error
	Rollback func() error
	// Write changes a row of the program's own.
	Write func() error
}

var transactionTests = []test{
	{name: "InsertCommitted", run: testTxInsert, needs: need{begin: true}},
	{name: "InsertRolledBack", run: testTxInsertUndone, needs: need{begin: true}},
	{name: "InsertKey", run: testTxInsertKey, needs: need{begin: true}},
	{name: "Concluded", run: testTxConcluded, needs: need{begin: true}},
	{name: "ConcludedWithoutResult", run: testTxConcludedPlain, needs: need{begin: true}},
	{name: "ConcludedLast", run: testTxConcludedLast, needs: need{begin: true}},
	{name: "WhateverTheRunReturns", run: testTxFinal, needs: need{begin: true}},
	{name: "ConclusionRolledBack", run: testTxConclusionUndone, needs: need{begin: true}},
	{name: "AnswerOfCommitLost", run: testTxAnswerLost, needs: need{begin: true}},
	{name: "KeyLetGo", run: testTxKeyLetGo, needs: need{begin: true}},
	{name: "CancelledMeanwhile", run: testTxCancelled, needs: need{begin: true}},
	{name: "NotOwned", run: testTxNotOwned, needs: need{begin: true}},
	{name: "BegunLate", run: testTxBegunLate, needs: need{begin: true, second: true, pause: true}},
	{name: "LeaseLost", run: testTxLeaseLost, needs: need{begin: true, second: true, pause: true}},
	{name: "GivenBackAtAStop", run: testTxAbandoned, needs: need{begin: true}},
	{name: "ReachesTheParent", run: testTxParent, needs: need{begin: true, journal: true}},
	{name: "Recorded", run: testTxRecorded, needs: need{begin: true, journal: true}},
	{name: "RecordedWithoutTheLease", run: testTxRecordedLate, needs: need{begin: true, journal: true}},
	{name: "WaiterIsTold", run: testTxWaiter, needs: need{begin: true}},
	{name: "OfAnotherKind", run: testTxUnknown, needs: need{begin: true}},
	{name: "OfAnotherDatabase", run: testTxForeign, needs: need{foreign: true}},
	{name: "ManyAtOnce", run: testTxMany, needs: need{begin: true}},
}

func testTxInsert(b *bench) {
	tx, j := b.begin()
	s := b.serve([]string{"task.tx"})
	in := b.insertInto(j, b.message("task.tx"))
	b.unknown("before the commit", in.ID)
	b.must("commit", tx.Commit())
	h := s.next()
	if h.id() != in.ID {
		b.Errorf("task %s was run, want %s", h.id(), in.ID)
	}
	h.succeed()
	b.until(in.ID, engine.StateSucceeded)
}

func testTxInsertUndone(b *bench) {
	tx, j := b.begin()
	s := b.serve([]string{"task.tx"})
	var ids []uuid.UUID
	for range 3 {
		ids = append(ids, b.insertInto(j, b.message("task.tx")).ID)
	}
	b.must("rollback", tx.Rollback())
	last := b.insert("task.tx")
	if h := s.next(); h.id() != last {
		b.Errorf("task %s of a transaction that was rolled back was run", h.id())
	} else {
		h.succeed()
	}
	for _, id := range ids {
		b.unknown("after the rollback", id)
	}
}

func testTxInsertKey(b *bench) {
	first := b.holder("at first", held(b.queue, engine.HoldActive))
	tx, j := b.begin()
	b.sameTask("in a transaction", b.insertInto(j, b.message("task.keyed", held(b.queue, engine.HoldActive))), first)
	mine := b.insertInto(j, b.message("task.keyed", held(b.queue+".mine", engine.HoldActive)))
	b.must("commit", tx.Commit())
	b.holds("after the commit", mine.ID, held(b.queue+".mine", engine.HoldActive))
	b.holds("as before", first, held(b.queue, engine.HoldActive))
}

func testTxConcluded(b *bench) {
	id := b.insert("task.tx")
	h := b.serve([]string{"task.tx"}).next()
	tx, j := b.begin()
	b.must("write a row", tx.Write())
	committed := b.conclude(j, h, engine.Outcome{Result: []byte(`{"a":[1,"x"]}`), Memo: []byte(`{"note":1}`)})
	if en := b.get(id); en.State != engine.StateRunning {
		b.Errorf("before the commit the task is %s, want running", en.State)
	}
	b.must("commit", tx.Commit())
	committed()
	en := b.until(id, engine.StateSucceeded)
	if !sameJSON(en.Result, []byte(`{"a":[1,"x"]}`)) {
		b.Errorf("the result is %s", en.Result)
	}
	b.memoIs("the task that has ended", en.Memo, `{"note":1}`)
	if en.EndedAt.IsZero() || en.Reason != "" || en.Attempt != 0 {
		b.Errorf("the entry is %+v", en)
	}
	h.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: []byte(`{"a":[1,"x"]}`), Memo: []byte(`{"note":1}`)})
}

func testTxConcludedPlain(b *bench) {
	id := b.insert("task.tx")
	s := b.serve([]string{"task.tx"}, slots(1))
	h := s.next()
	tx, j := b.begin()
	committed := b.conclude(j, h, engine.Outcome{})
	b.must("commit", tx.Commit())
	committed()
	h.succeed()
	if en := b.until(id, engine.StateSucceeded); len(en.Result) != 0 {
		b.Errorf("the result is %s, want none", en.Result)
	}
	b.insert("task.tx")
	s.next().succeed() // the slot is free
	s.mustStop()
}

// testTxParent: the end of a child in a transaction is in its parent's journal, and
// wakes it, once that has committed.
func testTxParent(b *bench) {
	s := b.serve([]string{"task.parent", "task.child"}, slots(2))
	b.insert("task.parent")
	h := s.nextNamed("task.parent")
	parent := h.id()
	h.record(h.child("undone", "task.child"))
	c := s.nextNamed("task.child")
	h.suspend(engine.Wait{Need: 1}, 0)
	b.until(parent, engine.StateWaiting)
	undone, j := b.begin()
	b.conclude(j, c, engine.Outcome{Result: []byte(`1`)})
	b.must("rollback", undone.Rollback())
	if en := b.get(parent); en.State != engine.StateWaiting {
		b.Errorf("after the rollback of the child's end the parent is %s, want waiting", en.State)
	}
	tx, j := b.begin()
	committed := b.conclude(j, c, engine.Outcome{Result: []byte(`2`)})
	b.must("commit", tx.Commit())
	committed()
	c.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: []byte(`2`)})
	h = s.nextNamed("task.parent")
	if e := b.named(h.read(), "undone"); e.State != engine.StateSucceeded || !sameJSON(e.Result, []byte(`2`)) || e.Came != 1 {
		b.Errorf("the entry of the child is %+v", e)
	}
	h.succeed()
	b.until(parent, engine.StateSucceeded)
}

// testTxConcludedLast: what the program writes after Conclude is in it as well.
func testTxConcludedLast(b *bench) {
	id := b.insert("task.tx")
	h := b.serve([]string{"task.tx"}).next()
	tx, j := b.begin()
	committed := b.conclude(j, h, engine.Outcome{})
	more := b.insertInto(j, b.message("task.more"))
	b.must("write a row", tx.Write())
	b.must("commit", tx.Commit())
	committed()
	h.succeed()
	b.until(id, engine.StateSucceeded)
	b.get(more.ID)
}

func testTxFinal(b *bench) {
	for _, o := range []engine.Outcome{
		{Kind: engine.OutcomeRetry, Reason: "late", After: time.Millisecond},
		{Kind: engine.OutcomeFail, Reason: "late"},
		{Kind: engine.OutcomeRelease},
		{Kind: engine.OutcomeCancel, Reason: "late"},
	} {
		id := b.insert("task.tx")
		s := b.serve([]string{"task.tx"})
		h := s.next()
		tx, j := b.begin()
		committed := b.conclude(j, h, engine.Outcome{Result: number(1)})
		b.must("commit", tx.Commit())
		committed()
		h.conclude(o)
		s.mustStop()
		if en := b.get(id); en.State != engine.StateSucceeded || en.Reason != "" || !sameJSON(en.Result, number(1)) {
			b.Errorf("after outcome %d the task is %s with reason %q and result %s", o.Kind, en.State, en.Reason, en.Result)
		}
		select {
		case r := <-s.refused:
			b.Errorf("outcome %d of a task whose success is committed was refused", r.o.Kind)
		default:
		}
	}
}

func testTxConclusionUndone(b *bench) {
	id := b.insert("task.tx")
	h := b.serve([]string{"task.tx"}).next()
	tx, j := b.begin()
	b.conclude(j, h, engine.Outcome{Result: number(1)})
	b.must("rollback", tx.Rollback())
	if en := b.get(id); en.State != engine.StateRunning {
		b.Errorf("after the rollback the task is %s, want running", en.State)
	}
	h.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: number(2)})
	if en := b.until(id, engine.StateSucceeded); !sameJSON(en.Result, number(2)) {
		b.Errorf("the result is %s, want that of the run", en.Result)
	}
}

func testTxWaiter(b *bench) {
	w, ok := engine.As[engine.Waiter](b.e)
	if !ok {
		b.Skip("the engine is no Waiter")
	}
	id := b.insert("task.tx")
	h := b.serve([]string{"task.tx"}).next()
	ended := make(chan error, 1)
	ctx := b.ctx()
	go func() {
		en, err := w.Wait(ctx, id)
		if err == nil && (en.State != engine.StateSucceeded || !sameJSON(en.Result, number(7))) {
			err = errors.New("it is " + string(en.State) + " with " + string(en.Result))
		}
		ended <- err
	}()
	tx, j := b.begin()
	committed := b.conclude(j, h, engine.Outcome{Result: number(7)})
	b.must("commit", tx.Commit())
	committed()
	b.must("Wait", <-ended) // while it runs
	h.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: number(7)})
}

func testTxUnknown(b *bench) {
	t, _ := engine.As[engine.Transactor](b.e)
	for _, tx := range []any{nil, 1, struct{}{}, b} {
		_, err := t.Join(b.ctx(), tx)
		b.is("Join of what is no transaction", err, engine.ErrUnsupported)
	}
}

func testTxForeign(b *bench) {
	t, _ := engine.As[engine.Transactor](b.e)
	for what, begin := range b.o.Foreign {
		tx := begin(b)
		b.must("write a row", tx.Write())
		_, err := t.Join(b.ctx(), tx.Tx)
		b.is("Join of a transaction on "+what, err, engine.ErrUnsupported)
		b.must("write another row on "+what, tx.Write())
		b.must("commit on "+what, tx.Commit())
	}
}

// testTxMany: concurrent transactions, some rolled back, each with a batch of
// tasks.
func testTxMany(b *bench) {
	const parents = 40
	var all []uuid.UUID
	for range parents {
		all = append(all, b.insert("task.tx"))
	}
	s := b.serve([]string{"task.tx"}, slots(4))
	children := make(chan uuid.UUID, 2*parents)
	done := make(chan error, parents)
	for i := range parents {
		h := s.next()
		go func() { done <- b.txTask(h, i%3 == 0, children) }()
	}
	for range parents {
		b.must("a task in its transaction", <-done)
	}
	for _, id := range all {
		b.until(id, engine.StateSucceeded)
	}
	close(children)
	for id := range children {
		b.get(id)
	}
	s.mustStop()
}
