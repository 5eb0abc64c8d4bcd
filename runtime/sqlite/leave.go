package sqlite

import "github.com/taskctx/taskctx/runtime/engine"

// leavePlaces gives up the places of a task, as its state wants it, and lets others
// in: all of one that has ended or is gone, and of one that does not run those of
// limits that keep no order.
func (t *txn) leavePlaces(seq int64) error {
	if !t.limited {
		return nil
	}
	t.db.places.task.BindInt(1, seq)
	n, ok, err := one(t.db.places.task)
	if err != nil {
		return err
	}
	state := int(n)
	if ok && (state == running || state == aside || state == asideAgain) {
		return nil
	}
	over := !ok || isFinal(state)
	var keys []string
	var drop []int64
	st := t.db.places.of
	st.BindInt(1, seq)
	if err := st.Each(func() bool {
		if over || st.Int(2) == 0 {
			drop = append(drop, st.Int(0))
			keys = append(keys, st.Text(1))
		}
		return true
	}); err != nil {
		return err
	}
	for i, n := range drop {
		if err := t.dropPlace(seq, n); err != nil {
			return err
		}
		if err := t.letIn(keys[i]); err != nil {
			return err
		}
	}
	return nil
}

// leaveEnded is leavePlaces for a task with limits whose run has ended it. Under a rate it
// holds no place any more.
func (t *txn) leaveEnded(seq int64, limits []engine.Limit) error {
	if !t.limited {
		return nil
	}
	t.db.places.dropAll.BindInt(1, seq)
	if err := t.db.places.dropAll.Run(); err != nil {
		return err
	}
	for i := range limits {
		if limits[i].Per > 0 {
			continue
		}
		if err := t.letIn(limits[i].Key); err != nil {
			return err
		}
	}
	return nil
}
