package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// Check implements [engine.Engine]. This engine can honour every option.
func (e *Engine) Check(m *engine.Message) error {
	return m.CheckPriority()
}

// insertOp stores messages, all or none.
type insertOp struct {
	ms     []*engine.Message
	extras [][]byte
	out    []engine.Inserted
	done   chan error
	claimable

	// Room for the one message that most inserts have.
	oneMessage  [1]*engine.Message
	oneExtra    [1][]byte
	oneInserted [1]engine.Inserted
}

var insertOps = sync.Pool{New: func() any { return &insertOp{done: make(chan error, 1)} }}

// Insert implements [engine.Engine].
func (e *Engine) Insert(ctx context.Context, ms []*engine.Message) ([]engine.Inserted, error) {
	if len(ms) == 0 {
		return nil, nil
	}
	o := newInsertOp(ms)
	if err := e.insert(ctx, o); err != nil {
		return nil, err
	}
	return o.out, nil
}

func newInsertOp(ms []*engine.Message) *insertOp {
	return &insertOp{
		ms: ms, extras: make([][]byte, len(ms)), out: make([]engine.Inserted, len(ms)), done: make(chan error, 1),
	}
}

// InsertOne implements [engine.SingleInserter].
func (e *Engine) InsertOne(ctx context.Context, m *engine.Message) (engine.Inserted, error) {
	o := insertOps.Get().(*insertOp)
	o.oneMessage[0] = m
	o.ms, o.extras, o.out = o.oneMessage[:], o.oneExtra[:], o.oneInserted[:]
	err := e.insert(ctx, o)
	in := o.out[0]
	if !o.withdrawn() { // the writer has no more use for it
		o.oneMessage[0], o.oneExtra[0], o.oneInserted[0] = nil, nil, engine.Inserted{}
		o.state.Store(waiting)
		insertOps.Put(o)
	}
	if err != nil {
		return engine.Inserted{}, err
	}
	return in, nil
}

func (e *Engine) insert(ctx context.Context, o *insertOp) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := o.prepare(e); err != nil {
		return err
	}
	if len(o.ms) > 1 || !e.doNow(o) {
		e.do(o)
	}
	return o.wait(ctx, o.done)
}

// prepare checks and encodes the messages.
func (o *insertOp) prepare(e *Engine) error {
	for i, m := range o.ms {
		if err := e.Check(m); err != nil {
			return err
		}
		var err error
		if o.extras[i], err = encodeExtra(m); err != nil {
			return err
		}
		o.out[i].ID = newID(m)
	}
	return nil
}

// newID returns the id of the message's task.
func newID(m *engine.Message) uuid.UUID {
	if m.Meta.ID != uuid.Nil {
		return m.Meta.ID
	}
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.New()
	}
	return id
}

func (o *insertOp) apply(t *txn) error {
	if !o.take() {
		return nil
	}
	t.added = true
	if err := t.checkSize(); err != nil {
		return err
	}
	for i, m := range o.ms {
		in := &o.out[i]
		if in.Existing { // of a transaction that was undone
			*in = engine.Inserted{ID: newID(m)}
		}
		if m.Key != "" {
			held, err := t.holdKey(m, in)
			if err != nil {
				return err
			}
			if held {
				continue
			}
		}
		if err := t.insertTask(m, in.ID, o.extras[i]); err != nil {
			return err
		}
	}
	return nil
}

func (o *insertOp) settle(_ *txn, err error) {
	if o.withdrawn() {
		return
	}
	o.done <- err
}

// insertTask adds a task's row.
func (t *txn) insertTask(m *engine.Message, id uuid.UUID, extra []byte) error {
	state, due := pending, t.now
	if !m.Due.IsZero() {
		if due = nanos(m.Due); due > t.now {
			state = scheduled
		}
	}
	keep := m.Keep
	if keep <= 0 {
		keep = t.keepFor
	}
	filed, wait := state, -1
	if m.Limits != nil {
		var err error
		if wait, err = t.enter(m, state == pending); err != nil {
			return err
		}
		if wait >= 0 {
			filed = aside
		}
	}
	s := t.db.insert
	s.BindInt(1, int64(filed))
	s.BindInt(2, int64(m.Priority))
	s.BindInt(3, due)
	s.BindInt(4, int64(keep))
	s.BindBlob(5, id[:])
	s.BindText(6, m.Name)
	s.BindText(7, m.Queue)
	s.BindTextBytes(8, m.Args)
	s.BindInt(9, int64(m.Meta.Version))
	s.BindText(10, m.Meta.Signature)
	s.BindInt(11, int64(m.Meta.Retries))
	s.BindInt(12, nanos(m.Meta.EnqueuedAt))
	bindID(s, 13, m.Meta.Parent)
	bindID(s, 14, m.Meta.Root)
	s.BindTextBytes(15, extra)
	s.BindInt(16, int64(max(m.KeepFailed, 0)))
	if err := s.Run(); err != nil {
		if lite.Code(err) == lite.Constraint {
			return fmt.Errorf("insert task %s: the id is taken: %w", id, err)
		}
		return err
	}
	if m.Limits != nil {
		seq := t.db.c.LastID()
		if err := t.entered(seq, m, wait, due, turnOf(seq)); err != nil || wait >= 0 {
			return err
		}
	}
	if state == pending {
		t.offer(m.Queue)
	} else {
		t.plan.due.min(due)
	}
	return nil
}

// checkSize answers ErrFull when the file has its largest size.
func (t *txn) checkSize() error {
	if t.maxSize == 0 {
		return nil
	}
	pages, _, err := one(t.db.pageCount)
	free, _, ferr := one(t.db.freePages)
	if err := errors.Join(err, ferr); err != nil {
		return err
	}
	if (pages-free)*t.db.pageSize >= t.maxSize {
		return fmt.Errorf("sqlite %s: %w", t.path, ErrFull)
	}
	return nil
}
