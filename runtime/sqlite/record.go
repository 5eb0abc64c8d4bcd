package sqlite

import (
	"context"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Record implements [engine.Journal].
func (d *delivery) Record(ctx context.Context, entries []engine.NewEntry) ([]engine.JournalEntry, error) {
	e := d.s.e
	extras := make([][]byte, len(entries))
	for i, n := range entries {
		if n.Spawn == nil {
			continue
		}
		err := e.Check(n.Spawn)
		if err == nil {
			extras[i], err = encodeExtra(n.Spawn)
		}
		if err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var r recording
	c := &call{done: make(chan error, 1), do: func(t *txn) error {
		r = recording{t: t, d: d, extras: extras, out: make([]engine.JournalEntry, len(entries))}
		if r.lost = d.s.running[d.lease] != d; r.lost {
			return nil
		}
		return r.record(entries)
	}}
	if len(entries) > 1 || !e.doNow(c) {
		e.do(c)
	}
	switch err := c.wait(ctx, c.done); {
	case err != nil:
		return nil, err
	case r.lost:
		return nil, engine.ErrLeaseLost
	}
	return r.out, nil
}

// recording is one Record in a transaction.
type recording struct {
	t      *txn
	d      *delivery
	extras [][]byte
	out    []engine.JournalEntry
	lost   bool
	fresh  []int // the places of entries that are not there yet
	again  map[int]int
}

func (r *recording) record(entries []engine.NewEntry) error {
	t, d := r.t, r.d
	own := t.db.journal.ownRun
	own.BindInt(1, d.seq)
	own.BindInt(2, d.lease)
	if _, ok, err := one(own); err != nil || !ok {
		r.lost = err == nil
		return err
	}
	if err := r.look(entries); err != nil {
		return err
	}
	if len(r.fresh) > 0 {
		if err := r.write(entries); err != nil {
			return err
		}
	}
	for i, first := range r.again {
		r.out[i] = r.out[first]
	}
	return nil
}

// look finds which entries are there already, and whether the others can be
// written. It writes nothing.
func (r *recording) look(entries []engine.NewEntry) error {
	t := r.t
	r.again = make(map[int]int)
	names, keys := make(map[string]int, len(entries)), make(map[string]uuid.UUID)
	spawns := false
	for i, n := range entries {
		if first, ok := names[n.Name]; ok {
			r.again[i] = first
			continue
		}
		names[n.Name] = i
		st := t.db.journal.entry
		st.BindInt(1, r.d.seq)
		st.BindText(2, n.Name)
		ok, err := st.Step()
		if ok {
			r.out[i] = scanJournalEntry(st)
		}
		st.Reset()
		if err != nil {
			return err
		}
		if ok {
			continue
		}
		r.fresh = append(r.fresh, i)
		r.out[i] = engine.JournalEntry{Name: n.Name, Kind: n.Kind, Value: n.Value, Attempt: r.d.attempt}
		m := n.Spawn
		if m == nil {
			continue
		}
		spawns = true
		r.out[i].Child = newID(m)
		if m.Key == "" {
			continue
		}
		holder, held := keys[m.Key]
		if !held {
			h, found, err := t.holder(m.Key)
			if err != nil {
				return err
			}
			holder, held = h.task, found && !h.free(t.now)
		}
		if held {
			return &engine.KeyHeldError{Entry: n.Name, Holder: holder}
		}
		keys[m.Key] = r.out[i].Child
	}
	if spawns {
		t.added = true
		return t.checkSize()
	}
	return nil
}

// write writes the entries that are not there yet, and their children.
func (r *recording) write(entries []engine.NewEntry) error {
	t, seq := r.t, r.d.seq
	if err := t.addHead(seq); err != nil {
		return err
	}
	var others, bytes int64
	for _, i := range r.fresh {
		n := entries[i]
		en := newEntry{kind: n.Kind, name: n.Name, attempt: r.d.attempt, value: n.Value, child: r.out[i].Child}
		if m := n.Spawn; m != nil {
			en.orphan = m.Meta.Orphan
			if m.Key != "" {
				if err := t.takeKey(m, en.child, add(t.now, m.KeyFor)); err != nil {
					return err
				}
			}
			if err := t.insertTask(m, en.child, r.extras[i]); err != nil {
				return err
			}
		}
		if err := t.addEntry(seq, en); err != nil {
			return err
		}
		if n.Kind != engine.EntryChild {
			others++
		}
		bytes += int64(len(n.Name) + len(n.Value))
	}
	return t.countEntries(seq, 0, others, bytes)
}
