package sqlite

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// LoadMemo implements [engine.Memo].
func (d *delivery) LoadMemo(context.Context) (json.RawMessage, error) {
	d.s.memos.Lock()
	defer d.s.memos.Unlock()
	return d.memo, nil
}

// saveWithin bounds how long a run waits for its memo to be written.
const saveWithin = time.Second

// SaveMemo implements [engine.Memo]. When the file is locked for more than a
// second, it gives up.
func (d *delivery) SaveMemo(ctx context.Context, memo json.RawMessage) error {
	ctx, cancel := context.WithTimeout(ctx, saveWithin)
	defer cancel()
	memo = slices.Clone(memo)
	lost := false
	err := d.s.e.run(ctx, func(t *txn) error {
		if lost = d.s.running[d.lease] != d; lost {
			return nil
		}
		st := t.db.saveMemo
		st.BindTextBytes(1, memo)
		st.BindInt(2, d.seq)
		st.BindInt(3, d.lease)
		err := st.Run()
		lost = err == nil && t.db.c.Changes() == 0
		return err
	}, nil)
	switch {
	case err != nil:
		return err
	case lost:
		return engine.ErrLeaseLost
	}
	d.s.memos.Lock()
	d.memo = memo
	d.s.memos.Unlock()
	return nil
}
