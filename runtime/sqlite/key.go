package sqlite

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// holderColumns are the columns of a holder.
const holderColumns = `k.task, k.until, k.hold, coalesce(t.state, -1), coalesce(t.started_at, 0),
	coalesce(t.ended_at, 0), coalesce(t.keep, 0), coalesce(t.keep_failed, 0), k.key
	FROM @keys k LEFT JOIN @tasks t ON t.id = k.task`

// holder is the file's record of a key: the task that has it, and that task's
// state.
type holder struct {
	task  uuid.UUID
	until int64
	hold  engine.KeyHold
	gone  bool // the task cannot be looked up any more
	begun bool
	state engine.State
}

func scanHolder(s *lite.Stmt, now int64) holder {
	h := holder{until: s.Int(1), hold: engine.KeyHold(s.Int(2))}
	copy(h.task[:], s.View(0))
	r := row{
		state: int(s.Int(3)), started: s.Int(4), ended: s.Int(5), keep: s.Int(6), keepFailed: s.Int(7),
	}
	h.gone = r.state < 0 || r.overKept(now)
	h.begun = r.started != never
	h.state = publicState(r.state, 0, 0, now)
	return h
}

// free reports whether another task may take the key.
func (h *holder) free(now int64) bool {
	if h.gone && h.hold != engine.HoldTick {
		return true
	}
	return h.hold.Free(h.state, h.begun, time.Unix(0, h.until), time.Unix(0, now))
}

// holder returns the file's record of a key, and whether there is one.
func (t *txn) holder(key string) (h holder, found bool, err error) {
	s := t.db.keyHolder
	s.BindText(1, key)
	found, err = s.Step()
	if found {
		h = scanHolder(s, t.now)
	}
	s.Reset()
	return h, found, err
}

// holdKey gives the message's key to it, or returns the task that holds it.
func (t *txn) holdKey(m *engine.Message, in *engine.Inserted) (held bool, err error) {
	h, found, err := t.holder(m.Key)
	if err != nil {
		return false, err
	}
	if found && !h.free(t.now) {
		in.Existing, in.ID = true, h.task
		if m.Replace && h.hold == engine.HoldWaiting && !h.begun {
			return true, t.replace(h.task, m)
		}
		return true, nil
	}
	return false, t.takeKey(m, in.ID, add(t.now, m.KeyFor))
}

// replace gives a task that has never begun the content of the message.
func (t *txn) replace(id uuid.UUID, m *engine.Message) error {
	r, err := t.find(id)
	if err != nil || r.msg.Name != m.Name {
		return err
	}
	own := m.Replacing(r.msg)
	extra, err := encodeExtra(own)
	if err != nil {
		return err
	}
	t.db.forget.BindInt(1, r.seq)
	if err := t.db.forget.Run(); err != nil {
		return err
	}
	if err := t.leavePlaces(r.seq); err != nil {
		return err
	}
	return t.insertTask(own, id, extra)
}

// takeKey records that the task has the message's key.
func (t *txn) takeKey(m *engine.Message, id uuid.UUID, until int64) error {
	if m.KeyHold == engine.HoldActive || m.KeyHold == engine.HoldWaiting {
		until = never
	}
	s := t.db.holdKey
	s.BindText(1, m.Key)
	s.BindBlob(2, id[:])
	s.BindInt(3, until)
	s.BindInt(4, int64(m.KeyHold))
	return s.Run()
}

// takeKeyAgain gives a task that is retried by hand its key, if it would still
// hold it. If another task holds the key by now, the error is
// [engine.ErrState].
func (t *txn) takeKeyAgain(r *row) error {
	m := r.msg
	if m.Key == "" {
		return nil
	}
	until := add(nanos(m.Meta.EnqueuedAt), m.KeyFor)
	if m.Meta.EnqueuedAt.IsZero() {
		until = t.now
	}
	if m.KeyHold.Free(engine.StateRetrying, r.started != never, time.Unix(0, until), time.Unix(0, t.now)) {
		return nil
	}
	h, found, err := t.holder(m.Key)
	switch {
	case err != nil:
		return err
	case found && h.task == m.Meta.ID:
		return nil
	case found && !h.free(t.now):
		return fmt.Errorf("%w: task %s holds its key by now", engine.ErrState, h.task)
	}
	return t.takeKey(m, m.Meta.ID, until)
}

// letGo drops the key of a task that has ended or is deleted. A key held until
// a time is dropped when that comes.
func (t *txn) letGo(m *engine.Message) error {
	if m.Key == "" || m.KeyHold != engine.HoldActive && m.KeyHold != engine.HoldWaiting {
		return nil
	}
	s := t.db.dropKey
	s.BindText(1, m.Key)
	s.BindBlob(2, m.Meta.ID[:])
	return s.Run()
}

// keepWithKey returns how long the record of a run that has just ended stays:
// at least as long as the task holds its key.
func (t *txn) keepWithKey(d *delivery, state int) (keep int64, err error) {
	if keep = d.keep; state != succeeded {
		keep = d.keepFailed
	}
	m := &d.msg
	if m.Key == "" {
		return keep, nil
	}
	if err := t.letGo(m); err != nil || m.KeyHold != engine.HoldTime || state != succeeded {
		return keep, err
	}
	h, found, err := t.holder(m.Key)
	if err != nil || !found || h.task != m.Meta.ID || h.until <= add(t.now, time.Duration(keep)) {
		return keep, err
	}
	keep = h.until - t.now
	t.db.keepLonger.BindInt(1, keep)
	t.db.keepLonger.BindInt(2, d.seq)
	return keep, t.db.keepLonger.Run()
}

// maxKeys bounds the keys that one sweep reads.
const maxKeys = 500

// sweepKeys drops keys that nobody holds any more: those whose time has come,
// and, some at each call, those whose task has ended or is gone.
func (t *txn) sweepKeys() error {
	t.db.dropKeys.BindInt(1, t.now)
	if err := t.db.dropKeys.Run(); err != nil {
		return err
	}
	type dead struct {
		key  string
		task []byte
	}
	var drop []dead
	n, last := 0, ""
	st := t.db.keysFrom
	st.BindText(1, t.plan.lastKey)
	if err := st.Each(func() bool {
		n, last = n+1, st.Text(8)
		if h := scanHolder(st, t.now); h.free(t.now) {
			drop = append(drop, dead{last, st.Bytes(0)})
		}
		return n < maxKeys
	}); err != nil {
		return err
	}
	if t.plan.lastKey = last; n < maxKeys {
		t.plan.lastKey = ""
	}
	for _, k := range drop {
		t.db.dropKey.BindText(1, k.key)
		t.db.dropKey.BindBlob(2, k.task)
		if err := t.db.dropKey.Run(); err != nil {
			return err
		}
	}
	return nil
}
