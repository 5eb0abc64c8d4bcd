package sqlite

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// suspend writes the outcome that makes the task wait for its journal, unless
// its wait is over.
func (t *txn) suspend(d *delivery) error {
	o := &d.outcome
	var w engine.Wait
	if o.Wait != nil {
		w = *o.Wait
	}
	end := ending{state: suspended, memo: o.Memo}
	switch {
	case o.After > 0:
		end.due = add(t.now, o.After)
	case w.Need > 0:
		end.due = never
	default:
		end.state = pending
	}
	if end.state == suspended {
		h, _, err := t.head(d.seq)
		if err != nil {
			return err
		}
		named, err := t.named(d.seq, w.Name)
		if err != nil {
			return err
		}
		if w.Met(h.came, h.failed, named) {
			end.state, end.due = pending, 0
		}
	}
	if err := d.finish(t, &end); err != nil || d.refused {
		return err
	}
	if end.state == pending {
		t.offer(d.msg.Queue)
		return nil
	}
	t.plan.due.min(end.due)
	if err := t.addHead(d.seq); err != nil {
		return err
	}
	st := t.db.journal.wait
	st.BindInt(1, d.seq)
	st.BindInt(2, d.due)
	st.BindInt(3, w.Seen)
	st.BindInt(4, w.Need)
	if st.BindNull(5); w.FailFast {
		st.BindInt(5, w.Failed)
	}
	if st.BindNull(6); w.Name != "" {
		st.BindText(6, w.Name)
	}
	return st.Run()
}

// named returns the greatest Came of the entries with a name.
func (t *txn) named(seq int64, name string) (int64, error) {
	if name == "" {
		return 0, nil
	}
	st := t.db.journal.entryNames
	st.BindInt(1, seq)
	st.BindText(2, name)
	n, _, err := one(st)
	return n, err
}

// arrived wakes a task if its wait is over with an entry of the name.
func (t *txn) arrived(seq int64, queue, name string) error {
	h, found, err := t.head(seq)
	if err != nil || !found || !h.waits {
		return err
	}
	named := int64(0)
	if h.wait.Name == name {
		named = h.came
	}
	if !h.wait.Met(h.came, h.failed, named) {
		return nil
	}
	return t.wake(seq, queue)
}

// wake makes a suspended task due again.
func (t *txn) wake(seq int64, queue string) error {
	j := &t.db.journal
	j.wake.BindInt(1, seq)
	if err := t.runFor(seq, j.wake); err != nil {
		return err
	}
	if t.db.c.Changes() > 0 {
		t.offer(queue)
	}
	j.stayDue.BindInt(1, seq)
	return j.stayDue.Run()
}

// endedAt follows the end, by other ways than a run's outcome, of the task at seq.
func (t *txn) endedAt(seq int64, state int, reason string) error {
	j := &t.db.journal
	j.childOf.BindInt(1, seq)
	ok, err := j.childOf.Step()
	m := new(engine.Message)
	if ok {
		m.Meta.Version = versionOf(j.childOf.Int(0))
		copy(m.Meta.Parent[:], j.childOf.View(1))
		copy(m.Meta.ID[:], j.childOf.View(3))
		if x := j.childOf.View(2); x != nil && m.Meta.Version >= engine.WireDurable {
			_ = decodeExtra(x, m) // options that cannot be read are those of no child
		}
	}
	j.childOf.Reset()
	if err != nil || !ok {
		return err
	}
	return t.journalEnd(seq, m, state, nil, reason)
}

// journalEnd follows the end of a task that may be a child, and have children. A durable
// one may be of a producer to whom it was not.
func (t *txn) journalEnd(seq int64, m *engine.Message, state int, result json.RawMessage, reason string) error {
	if state != succeeded {
		if err := t.markBereft(seq, state); err != nil {
			return err
		}
	}
	return t.childEnded(m, publicState(state, 0, 0, 0), result, reason)
}

// wakeDue wakes suspended tasks whose time has come. It looks for ends that
// nobody wrote down before.
func (t *txn) wakeDue() error {
	type task struct {
		seq   int64
		queue string
	}
	var tasks []task
	st := t.db.journal.waitingDue
	if err := st.Each(func() bool {
		if due := st.Int(1); due > t.now || len(tasks) == maxSteps {
			t.plan.due.min(due)
			return false
		}
		if !t.distrusts(st.Int(0)) {
			tasks = append(tasks, task{st.Int(0), st.Text(2)})
		}
		return true
	}); err != nil {
		return err
	}
	for _, k := range tasks {
		if err := t.lookForEnds(k.seq, k.queue); err != nil {
			return err
		}
		if err := t.wake(k.seq, k.queue); err != nil {
			return err
		}
	}
	return nil
}

// lookForEnds writes down the ends of children that a program which knows no
// journals, or a person, has ended or deleted.
func (t *txn) lookForEnds(seq int64, queue string) error {
	var ends []childEnd
	st := t.db.journal.unseenEnds
	st.BindInt(1, seq)
	if err := st.Each(func() bool {
		c := childEnd{name: st.Text(0), state: engine.StateDeleted, reason: engine.ReasonDeleted}
		copy(c.child[:], st.View(1))
		if !st.Null(2) {
			c.state, c.result, c.reason = publicState(int(st.Int(2)), 0, 0, 0), st.Bytes(3), st.Text(4)
		}
		ends = append(ends, c)
		return true
	}); err != nil {
		return err
	}
	if len(ends) == 0 {
		return nil
	}
	if err := t.endsIn(uuid.Nil, seq, queue); err != nil {
		return err
	}
	for _, c := range ends {
		if err := t.writeEnd(c); err != nil {
			return err
		}
	}
	return t.countEnds()
}

// lookAtSleepers looks, at some suspended tasks a call, for ends that nobody wrote
// down: those that wait for ever would not notice otherwise.
func (t *txn) lookAtSleepers() error {
	if t.plan.sleeper < 0 {
		if time.Since(t.plan.slept) < sleepersEvery {
			return nil
		}
		t.plan.sleeper, t.plan.slept = 0, time.Now()
	}
	type task struct {
		seq   int64
		queue string
	}
	var tasks []task
	st := t.db.journal.sleepers
	st.BindInt(1, t.plan.sleeper)
	if err := st.Each(func() bool {
		tasks = append(tasks, task{st.Int(0), st.Text(1)})
		return true
	}); err != nil {
		return err
	}
	for _, k := range tasks {
		if err := t.lookForEnds(k.seq, k.queue); err != nil {
			return err
		}
		t.plan.sleeper = k.seq
	}
	if len(tasks) == 0 {
		t.plan.sleeper = -1
	}
	return nil
}

// sleepersEvery is how often tasks that wait are looked at for ends that nobody
// wrote down.
const sleepersEvery = time.Hour
