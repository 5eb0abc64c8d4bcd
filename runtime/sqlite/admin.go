package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.NowRunner = (*Engine)(nil)

// find returns the parts of a task's row that an operation needs. It does not
// find records that are kept no longer.
func (t *txn) find(id uuid.UUID) (*row, error) {
	st := t.db.find
	st.BindBlob(1, id[:])
	defer st.Reset()
	ok, err := st.Step()
	if err != nil {
		return nil, err
	}
	r := &row{msg: new(engine.Message)}
	if ok {
		_ = scanRow(st, make(names), r) // the options do not matter here
	}
	if !ok || r.overKept(t.now) {
		return nil, engine.ErrNotFound
	}
	return r, nil
}

func (r *row) overKept(now int64) bool {
	keep := r.keep
	if r.state != succeeded && r.keepFailed > 0 {
		keep = r.keepFailed
	}
	return r.final() && add(r.ended, time.Duration(keep)) <= now
}

// Cancel implements [engine.Engine].
func (e *Engine) Cancel(ctx context.Context, id uuid.UUID, reason string) error {
	var r *row
	return e.run(ctx, func(t *txn) (err error) {
		if r, err = t.find(id); err != nil || r.final() {
			return err
		}
		if r.state != running {
			return t.cancelWaiting(r, reason)
		}
		return t.askToStop(r.seq, reason)
	}, func(*txn) {
		if r.state == running {
			e.stop(r.lease, reason)
		} else {
			e.waiters.tell(id, nil)
		}
	})
}

// cancelWaiting ends a task that does not run as cancelled.
func (t *txn) cancelWaiting(r *row, reason string) error {
	if err := t.endWaiting(r.seq, cancelled, reason, r.keepFailed); err != nil {
		return err
	}
	if err := t.journalEnd(r.seq, r.msg, cancelled, nil, reason); err != nil {
		return err
	}
	return t.letGo(r.msg)
}

// askToStop notes that a running task is to be cancelled.
func (t *txn) askToStop(seq int64, reason string) error {
	t.db.addStop.BindInt(1, seq)
	t.db.addStop.BindText(2, clean(reason))
	return t.db.addStop.Run()
}

// Retry implements [engine.Engine].
func (e *Engine) Retry(ctx context.Context, id uuid.UUID) error {
	return e.run(ctx, func(t *txn) error {
		r, err := t.find(id)
		if err != nil {
			return err
		}
		if r.state != failed && r.state != cancelled {
			return fmt.Errorf("%w: it is %s", engine.ErrState, publicState(r.state, r.attempt, r.due, t.now))
		}
		if err := t.takeKeyAgain(r); err != nil {
			return err
		}
		if err := t.dropStop(r.seq); err != nil {
			return err
		}
		if err := t.forgetFailed(r.seq); err != nil {
			return err
		}
		t.db.setState.BindInt(1, dueAgain)
		t.db.setState.BindInt(2, t.now)
		t.db.setState.BindInt(3, r.seq)
		t.offer(r.msg.Queue)
		if err := t.db.setState.Run(); err != nil || r.msg.Limits == nil {
			return err
		}
		return t.enterAgain(r)
	}, nil)
}

// RunNow implements [engine.NowRunner].
func (e *Engine) RunNow(ctx context.Context, id uuid.UUID) error {
	return e.run(ctx, func(t *txn) error {
		r, err := t.find(id)
		if err != nil {
			return err
		}
		state := r.state
		switch state {
		case scheduled:
			state = pending
		case retrying:
			state = dueAgain
		case aside, asideAgain: // those that wait for their turn need not be due
		case pending, dueAgain, parked:
			return nil
		default:
			return fmt.Errorf("%w: it is %s", engine.ErrState, publicState(r.state, r.attempt, r.due, t.now))
		}
		if r.due <= t.now {
			return nil
		}
		t.db.setState.BindInt(1, int64(state))
		t.db.setState.BindInt(2, t.now)
		t.db.setState.BindInt(3, r.seq)
		if state != r.state {
			t.offer(r.msg.Queue)
		}
		return t.db.setState.Run()
	}, nil)
}

// Delete implements [engine.Engine].
func (e *Engine) Delete(ctx context.Context, id uuid.UUID) error {
	return e.run(ctx, func(t *txn) error {
		r, err := t.find(id)
		if err != nil {
			return err
		}
		if r.state == running {
			return engine.ErrRunning
		}
		t.db.forget.BindInt(1, r.seq)
		if err := t.db.forget.Run(); err != nil {
			return err
		}
		if err := t.leavePlaces(r.seq); err != nil {
			return err
		}
		if !r.final() {
			if err := t.childEnded(r.msg, engine.StateDeleted, nil, engine.ReasonDeleted); err != nil {
				return err
			}
		}
		return t.letGo(r.msg)
	}, func(*txn) { e.waiters.tell(id, nil) })
}
