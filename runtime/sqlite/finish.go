package sqlite

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// delivery is one run of a task. It is also the operation that records the
// run's outcome.
type delivery struct {
	engine.Delivery
	msg engine.Message
	row
	s         *server
	outcome   engine.Outcome
	abandoned atomic.Bool // its outcome is not recorded any more
	recorded  atomic.Bool // a transaction of the task has committed its success

	// Owned by the writer.
	stopped bool // a Cancel of this process asked it to stop
	refused bool // the outcome came too late
	final   int  // the state in which the task ended, 0 if it did not
	reason  string
	// setbacks counts how often the row did not take the outcome.
	setbacks int
}

// apply implements op.
func (d *delivery) apply(t *txn) error {
	if d.recorded.Load() {
		d.refused, d.final = false, 0
		d.s.ending++
		return t.leavePlaces(d.seq)
	}
	d.refused, d.final = d.s.running[d.lease] != d, 0
	if d.refused {
		return nil
	}
	d.s.ending++
	o := &d.outcome
	d.reason = o.Reason
	if o.Kind == engine.OutcomeSucceed && o.Result == nil && o.Memo == nil {
		d.reason = ""
		t.successes = append(t.successes, d)
		return nil
	}
	w := ending{result: o.Result, memo: o.Memo}
	switch o.Kind {
	case engine.OutcomeSucceed:
		w.state, d.reason = succeeded, ""
	case engine.OutcomeFail:
		w.state = failed
	case engine.OutcomeCancel:
		w.state = cancelled
	case engine.OutcomeRetry, engine.OutcomeDelay:
		if w.state, w.due = retrying, add(t.now, o.After); o.After <= 0 {
			w.state = dueAgain
		}
		if o.Kind == engine.OutcomeRetry {
			w.attempts = 1
		}
	case engine.OutcomeSuspend:
		if stop, err := t.stopOf(d.seq); err != nil {
			return err
		} else if stop == nil {
			return t.suspend(d)
		} else {
			w.state, d.reason = cancelled, *stop
		}
	default:
		ok, err := t.giveBack(d, o.Memo)
		d.refused = !ok
		return err
	}
	if w.state == dueAgain || w.state == retrying {
		if stop, err := t.stopOf(d.seq); err != nil {
			return err
		} else if stop != nil {
			w.state, w.due, w.attempts, d.reason = cancelled, 0, 0, *stop
		}
	}
	return d.finish(t, &w)
}

// ending is the columns that the end of a run writes.
type ending struct {
	state         int
	attempts, due int64 // added; set unless 0
	result, memo  json.RawMessage
}

// succeed is finish for the many tasks that end well without a result, all of
// t.successes at once.
func (t *txn) succeed() error {
	all := t.successes
	defer func() {
		clear(all)
		t.successes = all[:0]
	}()
	slices.SortFunc(all, func(a, b *delivery) int { return cmp.Compare(a.seq, b.seq) })
	st := t.db.succeed
	for ds := range runsOf(all) {
		st.BindInt(1, t.now)
		st.BindInt(2, ds[0].seq)
		st.BindInt(3, ds[len(ds)-1].seq)
		st.BindInt(4, ds[0].lease-ds[0].seq)
		if err := st.Run(); err != nil {
			return err
		}
		every := t.db.c.Changes() == int64(len(ds))
		for _, d := range ds {
			owned := every
			if !every {
				var err error
				if owned, err = t.hasSucceeded(d); err != nil {
					return err
				}
			}
			if err := d.finished(t, succeeded, owned); err != nil {
				return err
			}
		}
	}
	return nil
}

// hasSucceeded reports whether the success of a run is in the file.
func (t *txn) hasSucceeded(d *delivery) (bool, error) {
	t.db.hasSucceeded.BindInt(1, d.seq)
	t.db.hasSucceeded.BindInt(2, d.lease)
	_, ok, err := one(t.db.hasSucceeded)
	return ok, err
}

// finish writes the end of a run, if it still owns the task.
func (d *delivery) finish(t *txn, w *ending) error {
	ended := int64(never)
	if isFinal(w.state) {
		ended = t.now
	}
	st := t.db.finish
	st.BindInt(1, int64(w.state))
	st.BindInt(2, w.attempts)
	if st.BindNull(3); w.due != 0 {
		st.BindInt(3, w.due)
	}
	st.BindInt(4, ended)
	st.BindTextBytes(5, w.result)
	if st.BindNull(6); d.reason != "" {
		st.BindText(6, clean(d.reason))
	}
	st.BindTextBytes(7, w.memo)
	if w.state == failed || w.state == cancelled {
		d.keepFailed = t.keepBadFor(d.keepFailed)
	}
	st.BindInt(8, d.keepFailed)
	st.BindInt(9, d.seq)
	st.BindInt(10, d.lease)
	if err := st.Run(); err != nil {
		return err
	}
	switch w.state {
	case dueAgain:
		t.offer(d.msg.Queue)
	case retrying:
		t.plan.due.min(w.due)
	}
	return d.finished(t, w.state, t.db.c.Changes() > 0)
}

// finished follows the write of an outcome, if the run still owned the task.
func (d *delivery) finished(t *txn, state int, owned bool) error {
	if !owned {
		d.refused = true
		return nil
	}
	if isFinal(state) {
		d.final = state
		keep, err := t.keepWithKey(d, state)
		if err != nil {
			return err
		}
		t.end(d.seq, keep)
		if d.msg.Meta.Version >= engine.WireDurable || d.outcome.Durable {
			if err := t.journalEnd(d.seq, &d.msg, state, d.outcome.Result, d.reason); err != nil {
				return err
			}
		}
	}
	if err := d.leave(t, state); err != nil {
		return err
	}
	if d.stopped || state == cancelled {
		return t.dropStop(d.seq)
	}
	return nil
}

// leave gives up the places of a run that has ended.
func (d *delivery) leave(t *txn, state int) error {
	switch {
	case d.msg.Limits == nil:
		return nil
	case isFinal(state):
		return t.leaveEnded(d.seq, d.msg.Limits)
	}
	return t.leavePlaces(d.seq)
}

// settle implements op.
func (d *delivery) settle(t *txn, err error) {
	s := d.s
	if t == nil && err != nil { // the engine is closed, and this may be any goroutine
		s.refuse(d)
		return
	}
	if rowFault(err) && d.setback(err) {
		s.e.complain("cannot record what became of a task, and give it up", "id", d.msg.Meta.ID, "error", err)
		d.refused = true
	} else if err != nil && !fatal(err) {
		s.e.deferOutcome(d, err)
		return
	}
	if d.refused || err != nil {
		s.refuse(d)
	}
	if s.running[d.lease] == d {
		delete(s.running, d.lease)
	}
	if err == nil && !d.refused && d.final != 0 {
		s.e.waiters.tell(d.msg.Meta.ID, func() *engine.Entry { return d.entry(t.now) })
	}
	s.checkDrained()
}

// maxSetbacks is how often an outcome is tried if its row does not take it.
const maxSetbacks = 3

// setback handles an outcome that the row of its task does not take: from now
// on the task fails with the reason. It reports whether that was tried often
// enough.
func (d *delivery) setback(err error) (enough bool) {
	d.setbacks++
	d.outcome = engine.Outcome{
		Kind: engine.OutcomeFail, Reason: "cannot record the outcome: " + err.Error(),
	}
	return d.setbacks > maxSetbacks
}

// entry returns the task as this run ended it.
func (d *delivery) entry(now int64) *engine.Entry {
	memo, _ := d.LoadMemo(context.Background())
	if d.outcome.Memo != nil {
		memo = d.outcome.Memo
	}
	return &engine.Entry{
		ID: d.msg.Meta.ID, Message: &d.msg, State: publicState(d.final, 0, 0, 0), Attempt: d.attempt,
		Due: timeOf(d.due), StartedAt: timeOf(d.started), EndedAt: timeOf(now), Worker: d.s.w.ID,
		Result: d.outcome.Result, Reason: d.reason, Memo: memo,
	}
}

// refuse reports to the worker that an outcome came too late.
func (s *server) refuse(d *delivery) {
	if s.w.Refused == nil {
		return
	}
	s.refusals.Go(func() { s.w.Refused(&d.Delivery, d.outcome) })
}

// deferOutcome keeps an unwritten outcome, to try again: the task has run, and
// must not run again.
func (e *Engine) deferOutcome(d *delivery, err error) {
	if len(e.deferred) == 0 {
		e.plan.retry = time.Now().Add(100 * time.Millisecond)
		e.complain("cannot record what became of tasks, and try again", "error", err)
	}
	e.deferred = append(e.deferred, d)
}

// giveBack makes a running task wait again as it was, or end if it was
// cancelled. It reports whether the delivery still owned it.
func (t *txn) giveBack(d *delivery, memo json.RawMessage) (bool, error) {
	stop, err := t.stopOf(d.seq)
	if err != nil {
		return false, err
	}
	if stop != nil {
		d.reason = *stop
		err := d.finish(t, &ending{state: cancelled, memo: memo})
		return !d.refused, err
	}
	state := pending
	if d.attempt > 0 {
		state = dueAgain
	}
	st := t.db.release
	st.BindInt(1, int64(state))
	st.BindTextBytes(2, memo)
	st.BindInt(3, d.seq)
	st.BindInt(4, d.lease)
	if err := st.Run(); err != nil {
		return false, err
	}
	t.offer(d.msg.Queue)
	owned := t.db.c.Changes() > 0
	if d.msg.Limits != nil {
		return owned, t.leavePlaces(d.seq)
	}
	return owned, nil
}

// stopOf returns the reason with which a running task was cancelled, nil if it
// was not.
func (t *txn) stopOf(seq int64) (*string, error) {
	st := t.db.stopOf
	st.BindInt(1, seq)
	defer st.Reset()
	ok, err := st.Step()
	if err != nil || !ok {
		return nil, err
	}
	reason := st.Text(0)
	return &reason, nil
}

func (t *txn) dropStop(seq int64) error {
	t.db.dropStop.BindInt(1, seq)
	return t.db.dropStop.Run()
}

// keepBadFor returns how long a task is kept that fails or is cancelled now.
func (t *txn) keepBadFor(keepFailed int64) int64 {
	if keepFailed <= 0 {
		return int64(t.keepBad)
	}
	return keepFailed
}

// end notes that a task ended in this transaction, and how long it is kept.
func (t *txn) end(seq, keep int64) {
	if t.ended == nil {
		t.ended = make(map[int64][]int64)
	}
	at := add(t.now, time.Duration(keep))
	t.ended[at] = append(t.ended[at], seq)
}

// recordEnds ends what the ends of tasks have begun: the counts of their parents,
// and until when they are kept, which is one row for all of them, since an index
// over all ended tasks costs as much as the rest of a task's end.
func (t *txn) recordEnds() error {
	if err := t.countEnds(); err != nil {
		return err
	}
	for at, seqs := range t.ended {
		t.plan.purge.min(at)
		var b strings.Builder
		b.Grow(10 * len(seqs))
		for i, seq := range seqs {
			b.WriteByte("[,"[min(i, 1)])
			b.WriteString(strconv.FormatInt(seq, 10))
		}
		b.WriteByte(']')
		st := t.db.addPurge
		st.BindInt(1, at)
		st.BindInt(2, slices.Min(seqs))
		st.BindText(3, b.String())
		if err := st.Run(); err != nil {
			return err
		}
	}
	return nil
}

// clean makes a text fit for a TEXT column, to hold and to show.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
