package memory

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

const (
	// pageSize is the size of a page when a query names none.
	pageSize = 100
	// pageBytes bounds the arguments, results and memos on a page.
	pageBytes = 4 << 20
	// pageRows bounds the tasks looked at for a page.
	pageRows = 4_096
	// lotRows is how many are looked at with the lock held: others take it in
	// between.
	lotRows = 256
)

// List implements [engine.Engine]. It looks at no more than 4,096 tasks and
// returns no more than 4 MiB of bodies, except for a single larger task. It
// frees the engine's lock again and again.
func (e *Engine) List(ctx context.Context, q engine.Query) ([]*engine.Entry, string, error) {
	p := page{limit: min(positive(q.Limit, pageSize), pageRows), query: &q}
	if q.Newest {
		p.after = math.MaxUint64
	}
	if q.Cursor != "" {
		var err error
		if p.after, err = strconv.ParseUint(q.Cursor, 36, 64); err != nil {
			return nil, "", fmt.Errorf("cursor %q: %w", q.Cursor, engine.ErrCursor)
		}
	}
	p.rows = make([]orderRow, 0, lotRows)
	p.entries = make([]*engine.Entry, 0, min(p.limit, pageSize))
	for looked := 0; ; looked += lotRows {
		more, err := e.listLot(&p)
		switch {
		case err != nil:
			return nil, "", err
		case !more:
			return p.entries, "", nil
		case p.full || looked+lotRows > pageRows:
			return p.entries, strconv.FormatUint(p.after, 36), nil
		case ctx.Err() != nil:
			return nil, "", context.Cause(ctx)
		}
	}
}

// page collects the entries that a query selects.
type page struct {
	query   *engine.Query
	limit   int
	after   uint64 // the sequence number of the last task that was looked at
	rows    []orderRow
	few     []orderRow // the rest of the tasks to look at, if they are few
	isFew   bool
	sought  bool // whether they are few is known
	entries []*engine.Entry
	bytes   int
	full    bool
}

// listLot looks at some of the following tasks, and reports whether there are
// more.
func (e *Engine) listLot(p *page) (more bool, err error) {
	e.lock()
	defer e.unlock()
	if e.closed {
		return false, engine.ErrClosed
	}
	now := e.now()
	rows, more := e.following(p)
	for i, r := range rows {
		en := e.selected(r, p.query, now)
		if en == nil {
			p.after = r.seq
			continue
		}
		size := len(en.Message.Args) + len(en.Result) + len(en.Memo)
		if p.bytes+size > pageBytes && len(p.entries) > 0 {
			p.full = true
			return true, nil
		}
		p.after = r.seq
		p.bytes += size
		p.entries = append(p.entries, en)
		if len(p.entries) == p.limit {
			p.full = true
			return more || i+1 < len(rows), nil
		}
	}
	return more, nil
}

// following returns some of the tasks to look at next, and whether there are more.
func (e *Engine) following(p *page) (rows []orderRow, more bool) {
	if !p.sought {
		p.sought = true
		p.few, p.isFew = e.few(p)
	}
	if p.isFew {
		n := min(len(p.few), lotRows)
		rows, p.few = p.few[:n], p.few[n:]
		return rows, len(p.few) > 0
	}
	next := e.order.after
	if p.query.Newest {
		next = e.order.before
	}
	return next(p.after, p.rows[:0])
}

// selected returns the entry of the row's task if the query selects it.
func (e *Engine) selected(row orderRow, q *engine.Query, now time.Time) *engine.Entry {
	f, err := e.find(row.id, now)
	if err != nil {
		return nil
	}
	if f.t != nil {
		if !matches(q, f.t.msg, f.t.publicState(now)) {
			return nil
		}
		en := f.t.glimpse(now)
		if !q.Matches(en) {
			return nil
		}
		if q.Brief {
			m := *en.Message
			m.Args = nil
			en.Message, en.Result, en.Memo = &m, nil, nil
		} else {
			en.Result, en.Memo = bytes.Clone(en.Result), bytes.Clone(en.Memo)
		}
		return en
	}
	k := &e.past.kinds.all[f.r.kind]
	if len(q.States) > 0 && !slices.Contains(q.States, engine.StateSucceeded) ||
		q.Name != "" && q.Name != k.Name || q.Queue != "" && q.Queue != k.Queue ||
		len(q.Priorities) > 0 && !slices.Contains(q.Priorities, k.Priority) {
		return nil
	}
	if q.Tag == "" && q.Worker == "" && q.Reason == "" && q.Since.IsZero() && q.Until.IsZero() &&
		q.Parent == uuid.Nil && q.Root == uuid.Nil {
		return e.past.entry(f.r, f.c, q.Brief)
	}
	if !q.MatchesWhen(f.r.ended.time()) {
		return nil
	}
	en := e.past.entry(f.r, f.c, true)
	if !q.Matches(en) {
		return nil
	}
	if q.Brief {
		return en
	}
	return e.past.entry(f.r, f.c, false)
}
