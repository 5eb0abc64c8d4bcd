package sqlite

import (
	"time"

	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// Statements are made for rows of any shape. If one fails all the same, for
// instance by a trigger of another program, its row is set aside for a while,
// so that no other task waits for it.

// distrustFor is how long an unchangeable row is set aside.
const distrustFor = time.Minute

// maxDistrusted bounds the rows that are set aside.
const maxDistrusted = 10_000

// rowFault reports that a statement failed because of the row, not because of
// the file or its disk.
func rowFault(err error) bool {
	switch lite.Code(err) {
	case lite.Constraint, lite.TooBig, lite.Mismatch, lite.Generic:
		return true
	}
	return false
}

// distrusts reports whether the row is set aside.
func (e *Engine) distrusts(seq int64) bool {
	if len(e.distrusted) == 0 {
		return false
	}
	until, ok := e.distrusted[seq]
	if ok && time.Now().After(until) {
		delete(e.distrusted, seq)
		return false
	}
	return ok
}

// distrust sets a row aside for which a statement failed.
func (t *txn) distrust(seq int64, err error) {
	if t.distrusted == nil || len(t.distrusted) >= maxDistrusted {
		t.distrusted = make(map[int64]time.Time)
	}
	t.distrusted[seq] = time.Now().Add(distrustFor)
	t.complain("cannot change the row of a task, and go on without it", "seq", seq, "error", err)
}

// runFor runs a statement that changes the row, or sets the row aside.
func (t *txn) runFor(seq int64, st *lite.Stmt) error {
	err := st.Run()
	if !rowFault(err) {
		return err
	}
	t.distrust(seq, err)
	if t.db.c.InTransaction() {
		return nil
	}
	return err // the transaction was undone: the next one goes without the row
}

// claimRun writes the claims of consecutive tasks. If a task's row cannot be
// changed, it parks the task with the reason, if it can.
func (c *claimOp) claimRun(t *txn, ds []*delivery) error {
	st := t.db.claim
	st.BindInt(1, ds[0].lease-ds[0].seq)
	st.BindInt(2, t.now)
	st.BindInt(3, ds[0].seq)
	st.BindInt(4, ds[len(ds)-1].seq)
	err := st.Run()
	if !rowFault(err) {
		return err
	}
	if len(ds) == 1 || !t.db.c.InTransaction() {
		c.s.single = true // to find the bad one, if the transaction was undone
		if len(ds) > 1 {
			return err
		}
		ds[0].refused = true
		t.distrust(ds[0].seq, err)
		if !t.db.c.InTransaction() {
			return err
		}
		t.db.park.BindText(1, clean("cannot claim the task: "+err.Error()))
		t.db.park.BindInt(2, ds[0].seq)
		return t.runFor(ds[0].seq, t.db.park)
	}
	for i := range ds {
		if err := c.claimRun(t, ds[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}
