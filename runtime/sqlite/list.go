package sqlite

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// pageLen is the size of a page of List when a query names none.
const pageLen = 100

// selectEntry reads whole tasks.
const selectEntry = `SELECT ` + rowColumns + `, result, reason,
	(SELECT w.name FROM @workers w WHERE w.id = @tasks.lease >> 36) FROM @tasks`

// scanEntry reads a row of selectEntry.
func scanEntry(s *lite.Stmt, now int64) (*engine.Entry, *row) {
	r := row{msg: new(engine.Message)}
	_ = scanRow(s, make(names), &r) // a task whose options cannot be read is shown without them
	return &engine.Entry{
		ID: r.msg.Meta.ID, Message: r.msg, State: publicState(r.state, r.attempt, r.due, now), Attempt: r.attempt,
		Due: timeOf(r.due), StartedAt: timeOf(r.started), EndedAt: timeOf(r.ended), Worker: s.Text(24),
		Result: s.Bytes(22), Reason: s.Text(23), Memo: r.memo,
	}, &r
}

// Get implements [engine.Engine].
func (e *Engine) Get(ctx context.Context, id uuid.UUID) (*engine.Entry, error) {
	r, err := e.reader(ctx)
	if err != nil {
		return nil, err
	}
	defer e.readers.put(r)
	return e.read(r, id)
}

func (e *Engine) read(r *reader, id uuid.UUID) (*engine.Entry, error) {
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
	return nil, engine.ErrNotFound
}

// Bounds of a page of List: it looks at maxLook tasks at most, and ends with
// the task that makes its bodies more than maxBodies bytes.
const (
	maxLook   = 5000
	maxBodies = 4 << 20
)

// List implements [engine.Engine]. It looks at 5,000 tasks a page at most, and
// a page ends with the task that makes its arguments, results and memos more
// than 4 MiB.
func (e *Engine) List(ctx context.Context, q engine.Query) ([]*engine.Entry, string, error) {
	after := int64(math.MinInt64)
	if q.Newest {
		after = math.MaxInt64
	}
	if q.Cursor != "" {
		n, err := strconv.ParseUint(q.Cursor, 36, 64)
		if err != nil {
			return nil, "", fmt.Errorf("cursor %q: %w", q.Cursor, engine.ErrCursor)
		}
		after = int64(n - 1<<63)
	}
	limit := q.Limit
	if limit <= 0 {
		limit = pageLen
	}
	r, err := e.reader(ctx)
	if err != nil {
		return nil, "", err
	}
	defer e.readers.put(r)
	now := nanos(e.now())
	if few, ok, err := r.few(q.States); err != nil {
		return nil, "", e.explain(err)
	} else if ok {
		return e.listFew(r, q, after, limit, now, few)
	}
	last, more, err := r.window(after, q.Newest)
	if err != nil {
		return nil, "", e.explain(err)
	}
	st, err := listStmt(r.c, q, after, last, now)
	if err != nil {
		return nil, "", e.explain(err)
	}
	defer st.Close()
	var found []*engine.Entry
	for bodies := 0; ; {
		ok, err := st.Step()
		if err != nil {
			return nil, "", e.explain(err)
		}
		if !ok && more {
			after = last
		}
		if !ok && !more {
			return found, "", nil
		}
		if !ok || len(found) == limit || bodies > maxBodies {
			return found, strconv.FormatUint(uint64(after)+1<<63, 36), nil
		}
		entry, row := scanEntry(st, now)
		if !q.Matches(entry) { // two words of the same meaning, decided in one place
			continue
		}
		found, after = append(found, entry), row.seq
		bodies += len(entry.Message.Args) + len(entry.Result) + len(entry.Memo)
	}
}

// window returns the last of the maxLook tasks after one, or before it, and
// whether there may be more beyond it.
func (r *reader) window(after int64, newest bool) (last int64, more bool, err error) {
	where, end := "seq > ? ORDER BY seq", int64(math.MaxInt64)
	if newest {
		where, end = "seq < ? ORDER BY seq DESC", math.MinInt64
	}
	st, err := r.c.Prepare(fmt.Sprintf("SELECT seq FROM @tasks WHERE %s LIMIT 1 OFFSET %d", where, maxLook-1))
	if err != nil {
		return 0, false, err
	}
	defer st.Close()
	st.BindInt(1, after)
	if more, err = st.Step(); err != nil || !more {
		return end, false, err
	}
	return st.Int(0), true, nil
}

// filed are, for each public state, the states of the file that may mean it.
var filed = map[engine.State]string{
	engine.StateScheduled: "6", engine.StatePending: "2,5,6,12", engine.StateRunning: "4",
	engine.StateRetrying: "3,5,7", engine.StateSucceeded: "8", engine.StateFailed: "9",
	engine.StateCancelled: "10",
	engine.StateWaiting:   "11",
}

// briefEntry is selectEntry without the large columns.
var briefEntry = func() string {
	text := strings.Replace(selectEntry, " args,", " NULL,", 1)
	text = strings.Replace(text, " memo,", " NULL,", 1)
	return strings.Replace(text, " result,", " NULL,", 1)
}()

// happened is the time of the last event of a task, as in engine.Entry.When.
var happened = fmt.Sprintf(`CASE WHEN ended_at < %[1]d THEN ended_at WHEN started_at < %[1]d THEN started_at
	WHEN enqueued_at < %[1]d THEN enqueued_at ELSE 0 END`, int64(never))

// listStmt makes the query for a page of the tasks after one, up to last, or down
// to it. It may find more than q asks for.
func listStmt(c *lite.Conn, q engine.Query, after, last, now int64) (*lite.Stmt, error) {
	where, order := []string{"seq > ?2", "seq <= ?3", "NOT (" + overKept + ")"}, " ORDER BY seq"
	if q.Newest {
		where[0], where[1], order = "seq < ?2", "seq >= ?3", " ORDER BY seq DESC"
	}
	var texts []string // bound from ?4 on
	text := func(condition, value string) {
		texts = append(texts, value)
		where = append(where, fmt.Sprintf(condition, len(texts)+3))
	}
	if len(q.States) > 0 {
		where = append(where, stateCondition(q.States))
	}
	if q.Name != "" {
		text("name = ?%d", q.Name)
	}
	if q.Queue != "" {
		text("queue = ?%d", q.Queue)
	}
	if len(q.Priorities) > 0 {
		in := make([]string, len(q.Priorities))
		for i, p := range q.Priorities {
			in[i] = strconv.Itoa(int(p))
		}
		where = append(where, "priority IN ("+strings.Join(in, ",")+")")
	}
	if q.Worker != "" {
		text("lease >> 36 IN (SELECT id FROM @workers WHERE name = ?%d)", q.Worker)
	}
	for column, id := range map[string]uuid.UUID{"parent": q.Parent, "root": q.Root} {
		if id != uuid.Nil {
			where = append(where, fmt.Sprintf("%s = x'%x'", column, id[:]))
		}
	}
	// What follows finds too much: q.Matches looks at it closely.
	if q.Tag != "" { // in rows of any shape
		where = append(where, "extra IS NOT NULL")
	}
	if part := q.ReasonPart(); part != "" {
		text("instr(reason, ?%d) > 0", part)
	}
	if !q.Since.IsZero() {
		where = append(where, fmt.Sprintf("%s >= %d", happened, nanos(q.Since)))
	}
	if !q.Until.IsZero() {
		where = append(where, fmt.Sprintf("%s < %d", happened, nanos(q.Until)))
	}
	columns := selectEntry
	if q.Brief {
		columns = briefEntry
	}
	st, err := c.Prepare(columns + " WHERE " + strings.Join(where, " AND ") + order)
	if err != nil {
		return nil, err
	}
	st.BindInt(1, now)
	st.BindInt(2, after)
	st.BindInt(3, last)
	for i, v := range texts {
		st.BindText(i+4, v)
	}
	return st, nil
}

// stateCondition finds the tasks that may be in one of the states.
func stateCondition(states []engine.State) string {
	in := "-1"
	for _, s := range states {
		if codes := filed[s]; codes != "" {
			in += "," + codes
		}
	}
	if slices.Contains(states, engine.StateRetrying) { // also what is no state of ours
		in += ") OR state NOT IN (2,4,5,6,8,9,10,11,12"
	}
	return "(state IN (" + in + "))"
}
