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

// begin begins a transaction on the database of the engine.
func (b *bench) begin() (Transaction, joined) {
	b.Helper()
	tx := b.o.Begin(b, b.e)
	b.Cleanup(func() { _ = tx.Rollback() })
	return tx, b.join(tx)
}

// joined is the Inserter of Join.
type joined interface {
	engine.Inserter
	engine.Concluder
}

func (b *bench) join(tx Transaction) joined {
	b.Helper()
	t, ok := engine.As[engine.Transactor](b.e)
	if !ok {
		b.Fatal("Options.Begin is set, and the engine is no Transactor")
	}
	j, err := t.Join(b.ctx(), tx.Tx)
	if err != nil {
		b.Fatalf("Join of a transaction on the engine's own database: %v", err)
	}
	c, ok := j.(joined)
	if !ok {
		b.Fatal("what Join returns is no Concluder")
	}
	return c
}

func (b *bench) must(what string, err error) {
	b.Helper()
	if err != nil {
		b.Fatalf("%s: %v", what, err)
	}
}

// conclude writes the success of a run in the transaction.
func (b *bench) conclude(j joined, h *handed, o engine.Outcome) (committed func()) {
	b.Helper()
	o.Kind = engine.OutcomeSucceed
	committed, err := j.Conclude(b.ctx(), h.d, o)
	b.must("Conclude", err)
	return committed
}

func (b *bench) unknown(when string, id uuid.UUID) {
	b.Helper()
	if _, err := b.e.Get(b.ctx(), id); !errors.Is(err, engine.ErrNotFound) {
		b.Errorf("Get %s: %v, want ErrNotFound", when, err)
	}
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

// testTxRecorded: an entry of a journal is there with the transaction.
func testTxRecorded(b *bench) {
	id := b.insert("task.tx")
	s := b.serve([]string{"task.tx"})
	h := s.next()
	step := []engine.NewEntry{{Name: "step", Kind: engine.EntryStep, Value: []byte(`{"n":12345678901234567890}`)}}
	for _, commit := range []bool{false, true} {
		tx, j := b.begin()
		b.must("write a row", tx.Write())
		out, err := j.(engine.Recorder).Record(b.ctx(), h.d, step)
		b.must("Record", err)
		if len(out) != 1 || out[0].Name != "step" || string(out[0].Value) != string(step[0].Value) {
			b.Errorf("Record answered with %+v", out)
		}
		if es := b.journal(id); len(es) != 0 {
			b.Errorf("before the commit the journal is %+v, want nothing", es)
		}
		if commit {
			b.must("commit", tx.Commit())
			continue
		}
		b.must("rollback", tx.Rollback())
	}
	if es := h.read(); len(es) != 1 || es[0].Name != "step" || !exactJSON(es[0].Value, step[0].Value) {
		b.Errorf("after the commit the journal is %+v", es)
	}
	h.record(engine.NewEntry{Name: "more", Kind: engine.EntryStep})
	h.succeed()
	s.mustStop()
}

func testTxRecordedLate(b *bench) {
	id := b.insert("task.tx")
	s := b.serve([]string{"task.tx"})
	h := s.next()
	h.succeed()
	b.until(id, engine.StateSucceeded)
	s.mustStop()
	_, j := b.begin()
	_, err := j.(engine.Recorder).Record(b.ctx(), h.d, []engine.NewEntry{{Name: "step", Kind: engine.EntryStep}})
	b.is("Record of a run that was concluded", err, engine.ErrLeaseLost)
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

// txTask is a run that is concluded in its transaction, at the second try if undo.
func (b *bench) txTask(h *handed, undo bool, children chan<- uuid.UUID) error {
	t, _ := engine.As[engine.Transactor](b.e)
	for {
		tx := b.o.Begin(b, b.e)
		err := func() error {
			defer func() { _ = tx.Rollback() }()
			if err := tx.Write(); err != nil {
				return err
			}
			in, err := t.Join(b.ctx(), tx.Tx)
			if err != nil {
				return err
			}
			j := in.(joined)
			ins, err := j.Insert(b.ctx(), []*engine.Message{b.message("task.child"), b.message("task.child")})
			if err != nil {
				return err
			}
			committed, err := j.Conclude(b.ctx(), h.d, engine.Outcome{Kind: engine.OutcomeSucceed})
			if err != nil || undo {
				return err
			}
			if err := tx.Commit(); err != nil {
				return err
			}
			committed()
			for _, in := range ins {
				children <- in.ID
			}
			return nil
		}()
		if err != nil || !undo {
			h.succeed()
			return err
		}
		undo = false
	}
}
