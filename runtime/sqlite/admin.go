package sqlite

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// pageLen is the size of a page of List when a query does not say.
const pageLen = 100

// find returns what an operation needs of a task's row. It does not find what
// is kept no longer.
func (t *txn) find(id uuid.UUID) (*row, error) {
	st := t.db.find
	st.BindBlob(1, id[:])
	defer st.Reset()
	ok, err := st.Step()
	if err != nil {
		return nil, err
	}
	r := &row{msg: new(runtime.Message)}
	if ok {
		_ = scanRow(st, make(names), r) // the options do not matter here
	}
	if !ok || r.overKept(t.now) {
		return nil, fmt.Errorf("task %s: %w", id, runtime.ErrNotFound)
	}
	return r, nil
}

func (r *row) overKept(now int64) bool {
	return r.state >= succeeded && r.ended+r.keep <= now
}

// Cancel implements [runtime.Engine].
func (e *Engine) Cancel(ctx context.Context, id uuid.UUID, reason string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var r *row
	return e.run(func(t *txn) (err error) {
		if r, err = t.find(id); err != nil || r.state >= succeeded {
			return err
		}
		if r.state != running {
			return t.endWaiting(r.seq, cancelled, reason, r.keep)
		}
		t.db.addStop.BindInt(1, r.seq)
		t.db.addStop.BindText(2, clean(reason))
		return t.db.addStop.Run()
	}, func(*txn) {
		if r.state == running {
			e.stop(r.lease, reason)
		} else {
			e.waiters.tell(id, nil)
		}
	})
}

// Retry implements [runtime.Engine].
func (e *Engine) Retry(ctx context.Context, id uuid.UUID) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return e.run(func(t *txn) error {
		r, err := t.find(id)
		if err != nil {
			return err
		}
		if r.state != failed && r.state != cancelled {
			return fmt.Errorf("retry task %s, which is %s: %w",
				id, publicState(r.state, r.attempt, r.due, t.now), runtime.ErrState)
		}
		if err := t.dropStop(r.seq); err != nil {
			return err
		}
		t.db.setState.BindInt(1, dueAgain)
		t.db.setState.BindInt(2, t.now)
		t.db.setState.BindInt(3, r.seq)
		t.offer(r.msg.Queue)
		return t.db.setState.Run()
	}, nil)
}

// Delete implements [runtime.Engine].
func (e *Engine) Delete(ctx context.Context, id uuid.UUID) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return e.run(func(t *txn) error {
		r, err := t.find(id)
		if err != nil {
			return err
		}
		if r.state == running {
			return fmt.Errorf("delete task %s: %w", id, runtime.ErrRunning)
		}
		t.db.forget.BindInt(1, r.seq)
		return t.db.forget.Run()
	}, func(*txn) { e.waiters.tell(id, nil) })
}

// selectEntry reads whole tasks.
const selectEntry = `SELECT ` + rowColumns + `, result, reason,
	(SELECT w.name FROM workers w WHERE w.id = tasks.lease >> 36) FROM tasks`

// scanEntry reads a row of selectEntry.
func scanEntry(s *lite.Stmt, now int64) (*runtime.Entry, *row) {
	r := row{msg: new(runtime.Message)}
	_ = scanRow(s, make(names), &r) // a task whose options cannot be read is shown without them
	return &runtime.Entry{
		ID: r.msg.Meta.ID, Message: r.msg, State: publicState(r.state, r.attempt, r.due, now), Attempt: r.attempt,
		Due: timeOf(r.due), StartedAt: timeOf(r.started), EndedAt: timeOf(r.ended), Worker: s.Text(23),
		Result: s.Bytes(21), Reason: s.Text(22), Memo: r.memo,
	}, &r
}

// Get implements [runtime.Engine].
func (e *Engine) Get(ctx context.Context, id uuid.UUID) (*runtime.Entry, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r, err := e.readers.get()
	if err != nil {
		return nil, e.explain(err)
	}
	defer e.readers.put(r)
	return e.read(r, id)
}

func (e *Engine) read(r *reader, id uuid.UUID) (*runtime.Entry, error) {
	r.one.BindBlob(1, id[:])
	defer r.one.Reset()
	ok, err := r.one.Step()
	if err != nil {
		return nil, e.explain(err)
	}
	now := nanos(e.now())
	if ok {
		if entry, row := scanEntry(r.one, now); !row.overKept(now) {
			return entry, nil
		}
	}
	return nil, fmt.Errorf("task %s: %w", id, runtime.ErrNotFound)
}

// List implements [runtime.Engine].
func (e *Engine) List(ctx context.Context, q runtime.Query) ([]*runtime.Entry, string, error) {
	if ctx.Err() != nil {
		return nil, "", context.Cause(ctx)
	}
	after := int64(0)
	if q.Cursor != "" {
		var err error
		if after, err = strconv.ParseInt(q.Cursor, 36, 64); err != nil {
			return nil, "", fmt.Errorf("cursor %q is not one that List returned: %w", q.Cursor, err)
		}
	}
	limit := q.Limit
	if limit <= 0 {
		limit = pageLen
	}
	r, err := e.readers.get()
	if err != nil {
		return nil, "", e.explain(err)
	}
	defer e.readers.put(r)
	now := nanos(e.now())
	st, err := listStmt(r.c, q, after, now)
	if err != nil {
		return nil, "", e.explain(err)
	}
	defer st.Close()
	var found []*runtime.Entry
	for {
		ok, err := st.Step()
		if err != nil {
			return nil, "", e.explain(err)
		}
		if !ok {
			return found, "", nil
		}
		if len(found) == limit {
			return found, strconv.FormatInt(after, 36), nil
		}
		entry, row := scanEntry(st, now)
		if !q.Matches(entry) { // two words of the same meaning, decided in one place
			continue
		}
		found, after = append(found, entry), row.seq
	}
}

// filed are the states of the file that may be each public state.
var filed = map[runtime.State]string{
	runtime.StateScheduled: "6", runtime.StatePending: "2,5,6", runtime.StateRunning: "4",
	runtime.StateRetrying: "3,5,7", runtime.StateSucceeded: "8", runtime.StateFailed: "9",
	runtime.StateCancelled: "10",
}

// listStmt makes the query for a page. It may find more than q asks for.
func listStmt(c *lite.Conn, q runtime.Query, after, now int64) (*lite.Stmt, error) {
	where := []string{"seq > ?1", "NOT (state >= 8 AND ended_at + keep <= ?2)"}
	if len(q.States) > 0 {
		in := "-1"
		for _, s := range q.States {
			if codes := filed[s]; codes != "" {
				in += "," + codes
			}
		}
		where = append(where, "state IN ("+in+")")
	}
	if q.Name != "" {
		where = append(where, "name = ?3")
	}
	if q.Queue != "" {
		where = append(where, "queue = ?4")
	}
	if q.Tag != "" {
		where = append(where,
			"EXISTS (SELECT 1 FROM json_each(extra, '$.tags') j WHERE j.key = ?5 AND (?6 = '' OR j.value = ?6))")
	}
	st, err := c.Prepare(selectEntry + " WHERE " + strings.Join(where, " AND ") + " ORDER BY seq")
	if err != nil {
		return nil, err
	}
	st.BindInt(1, after)
	st.BindInt(2, now)
	for i, v := range []string{q.Name, q.Queue, q.Tag, q.TagValue} {
		st.BindText(i+3, v) // out of range if the query has no such parameter
	}
	return st, nil
}
