package sqlite

import (
	"encoding/json"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// childEnd is the end of a child, for its parent's journal.
type childEnd struct {
	name   string
	child  uuid.UUID
	state  engine.State
	result json.RawMessage
	reason string
}

// family is the parent of the children whose ends a transaction is writing. What
// they add to its counts is written for all of them at once, by countEnds, since
// children mostly end together.
type family struct {
	parent uuid.UUID // Nil while there is none
	seq    int64     // 0 if its record is gone
	queue  string
	head   // as read, with the ends that were added since
	named  int64
	ends   int64 // how many are not counted yet, and
	bad    int64 // those that did not succeed,
	size   int64 // and their bytes
}

// childEnded writes the end of a child into its parent's journal, and wakes the
// parent if it waits for that. Once, and only while the parent's record is there.
func (t *txn) childEnded(m *engine.Message, state engine.State, result json.RawMessage, reason string) error {
	if m.Meta.Entry == "" || m.Meta.Parent == uuid.Nil {
		return nil
	}
	if t.family.parent != m.Meta.Parent {
		j := &t.db.journal
		j.parentOf.BindBlob(1, m.Meta.Parent[:])
		ok, err := j.parentOf.Step()
		seq, queue := j.parentOf.Int(0), ""
		if ok {
			queue = j.parentOf.Text(1)
		}
		j.parentOf.Reset()
		if err != nil {
			return err
		}
		if err := t.endsIn(m.Meta.Parent, seq, queue); err != nil {
			return err
		}
	}
	return t.writeEnd(childEnd{m.Meta.Entry, m.Meta.ID, state, result, clean(reason)})
}

// endsIn makes a task the parent of the ends that are written next.
func (t *txn) endsIn(parent uuid.UUID, seq int64, queue string) error {
	h, found, err := t.head(seq)
	if err != nil {
		return err
	}
	if !found {
		seq = 0
	}
	t.family = family{parent: parent, seq: seq, queue: queue, head: h}
	return nil
}

// writeEnd writes the end of a child of t.family.
func (t *txn) writeEnd(c childEnd) error {
	f := &t.family
	if f.seq == 0 {
		return nil
	}
	st := t.db.journal.endEntry
	st.BindInt(1, f.seq)
	st.BindText(2, c.name)
	st.BindBlob(3, c.child[:])
	st.BindInt(4, f.came+1)
	st.BindText(5, string(c.state))
	st.BindTextBytes(6, c.result)
	if st.BindNull(7); c.reason != "" {
		st.BindText(7, c.reason)
	}
	if err := st.Run(); err != nil || t.db.c.Changes() == 0 {
		return err
	}
	f.came++
	f.ends++
	f.size += int64(len(c.result) + len(c.reason))
	if c.state != engine.StateSucceeded {
		f.failed++
		f.bad++
	}
	if c.name == f.wait.Name {
		f.named = f.came
	}
	return nil
}

// countEnds counts the ends that were written, and wakes the parent if its wait is
// over with them. Whatever reads or changes a journal's head comes after it.
func (t *txn) countEnds() error {
	f := t.family
	t.family = family{}
	if f.ends == 0 {
		return nil
	}
	st := t.db.journal.countEnds
	st.BindInt(1, f.seq)
	st.BindInt(2, f.ends)
	st.BindInt(3, f.bad)
	st.BindInt(4, f.size)
	if err := st.Run(); err != nil {
		return err
	}
	if !f.waits || !f.wait.Met(f.came, f.failed, f.named) {
		return nil
	}
	return t.wake(f.seq, f.queue)
}
