package sqlite

import (
	"errors"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// markBereft notes that a task has failed or was cancelled, so that its children are
// to be cancelled. A task without a journal has none.
func (t *txn) markBereft(seq int64, state int) error {
	st := t.db.journal.markBereft
	st.BindInt(1, seq)
	st.BindInt(2, int64(state))
	if err := st.Run(); err != nil {
		return err
	}
	if t.db.c.Changes() > 0 {
		t.plan.bereft = true
	}
	return nil
}

// bereftLot bounds the children that one transaction cancels.
const bereftLot = 200

// cancelBereft cancels children of a task that has failed or was cancelled, as
// many as one transaction may.
func (t *txn) cancelBereft() error {
	j := &t.db.journal
	ok, err := j.bereft.Step()
	if err != nil || !ok {
		j.bereft.Reset()
		t.plan.bereft = false
		return err
	}
	parent, state, after := j.bereft.Int(0), int(j.bereft.Int(1)), j.bereft.Int(2)
	var id uuid.UUID
	copy(id[:], j.bereft.View(3))
	j.bereft.Reset()
	var children []uuid.UUID
	st := j.bereftChildren
	st.BindInt(1, parent)
	st.BindInt(2, after)
	st.BindInt(3, bereftLot)
	if err := st.Each(func() bool {
		after = st.Int(0)
		var child uuid.UUID
		copy(child[:], st.View(1))
		children = append(children, child)
		return true
	}); err != nil {
		return err
	}
	if len(children) < bereftLot {
		j.unmarkBereft.BindInt(1, parent)
		if err := j.unmarkBereft.Run(); err != nil {
			return err
		}
	} else {
		j.bereftAt.BindInt(1, parent)
		j.bereftAt.BindInt(2, after)
		if err := j.bereftAt.Run(); err != nil {
			return err
		}
	}
	reason := engine.ParentEnded(id, publicState(state, 0, 0, 0))
	for _, child := range children {
		if err := t.cancelChild(child, reason); err != nil {
			return err
		}
	}
	return nil
}

// cancelChild cancels a task as Cancel does.
func (t *txn) cancelChild(id uuid.UUID, reason string) error {
	r, err := t.find(id)
	if errors.Is(err, engine.ErrNotFound) {
		return nil
	} else if err != nil || r.final() {
		return err
	}
	if r.state != running {
		t.aside = true
		return t.cancelWaiting(r, reason)
	}
	if err := t.askToStop(r.seq, reason); err != nil {
		return err
	}
	t.stop(r.lease, reason)
	return nil
}

// forgetFailed makes the journal of a task that is to run again one without the
// children that did not succeed, are gone, or will be cancelled. A child that was
// retried by hand is as it is now.
func (t *txn) forgetFailed(seq int64) error {
	h, found, err := t.head(seq)
	if err != nil || !found {
		return err
	}
	type child struct {
		seq, state int64
		gone, stop bool
		result     []byte
	}
	var children []child
	j := &t.db.journal
	j.badChildren.BindInt(1, seq)
	if err := j.badChildren.Each(func() bool {
		st := j.badChildren
		children = append(children, child{st.Int(0), st.Int(1), st.Null(1), st.Int(2) == 1, st.Bytes(3)})
		return true
	}); err != nil {
		return err
	}
	for _, c := range children {
		switch {
		case c.gone, c.state == failed, c.state == cancelled, c.state == running && c.stop:
			j.dropEntry.BindInt(1, c.seq)
			if err := j.dropEntry.Run(); err != nil {
				return err
			}
			continue
		}
		j.redoEntry.BindInt(1, c.seq)
		j.redoEntry.BindInt(2, 0)
		j.redoEntry.BindNull(3)
		j.redoEntry.BindNull(4)
		if c.state == succeeded {
			h.came++
			j.redoEntry.BindInt(2, h.came)
			j.redoEntry.BindText(3, string(engine.StateSucceeded))
			j.redoEntry.BindTextBytes(4, c.result)
		}
		if err := j.redoEntry.Run(); err != nil {
			return err
		}
	}
	j.recount.BindInt(1, seq)
	return j.recount.Run()
}
