package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/taskctx/taskctx/runtime"
)

// pageSize is the size of a page when a query does not say.
const pageSize = 100

// pageBytes bounds the arguments, results and memos on a page.
const pageBytes = 4 << 20

// List implements [runtime.Engine]. The lock is held for the time of a page.
func (e *Engine) List(_ context.Context, q runtime.Query) ([]*runtime.Entry, string, error) {
	after := uint64(0)
	if q.Cursor != "" {
		var err error
		if after, err = strconv.ParseUint(q.Cursor, 36, 64); err != nil {
			return nil, "", fmt.Errorf("cursor %q is not one that List returned", q.Cursor)
		}
	}
	e.lock()
	defer e.unlock()
	if e.closed {
		return nil, "", runtime.ErrClosed
	}
	p := page{limit: positive(q.Limit, pageSize), query: q, now: e.now()}
	e.listPast(&p, after)
	e.listTasks(&p, after)
	entries := make([]*runtime.Entry, 0, len(p.rows))
	bytes := 0
	for i, row := range p.rows {
		en := row.entry
		if q.Brief {
			brief(en)
		}
		bytes += len(en.Message.Args) + len(en.Result) + len(en.Memo)
		if bytes > pageBytes && i > 0 {
			p.rows, p.more = p.rows[:i], true
			break
		}
		entries = append(entries, en)
	}
	if !p.more {
		return entries, "", nil
	}
	return entries, strconv.FormatUint(p.rows[len(p.rows)-1].seq, 36), nil
}

// brief leaves out what may be large.
func brief(en *runtime.Entry) {
	m := *en.Message
	m.Args = nil
	en.Message, en.Result, en.Memo = &m, nil, nil
}

// page collects the first entries of those that a query selects.
type page struct {
	limit int
	query runtime.Query
	now   time.Time
	rows  []row // the oldest so far, in the order of insertion
	more  bool  // others were found too
}

type row struct {
	seq   uint64
	entry *runtime.Entry
}

// wants reports whether a task of the sequence number may be on the page.
func (p *page) wants(seq uint64) bool {
	return len(p.rows) < p.limit || !p.more || seq < p.rows[len(p.rows)-1].seq
}

// add puts an entry on the page if the query selects it.
func (p *page) add(seq uint64, en *runtime.Entry) {
	if !p.query.Matches(en) {
		return
	}
	i, _ := slices.BinarySearchFunc(p.rows, seq, func(r row, seq uint64) int { return cmp.Compare(r.seq, seq) })
	p.rows = slices.Insert(p.rows, i, row{seq, en})
	if len(p.rows) > p.limit {
		p.rows = p.rows[:p.limit]
		p.more = true
	}
}

// listTasks adds tasks after the sequence number, but not those in the archive.
func (e *Engine) listTasks(p *page, after uint64) {
	now := stamp(p.now.UnixNano())
	for t := range e.tasks.all() {
		if t.seq > after && p.wants(t.seq) && !e.overKept(t, now) {
			p.add(t.seq, t.entry(p.now))
		}
	}
}

// listPast adds tasks after the sequence number that are in the archive, which
// is in the order of their end.
func (e *Engine) listPast(p *page, after uint64) {
	a := &e.past
	if len(p.query.States) > 0 && !slices.Contains(p.query.States, runtime.StateSucceeded) {
		return
	}
	now := stamp(p.now.UnixNano())
	for pos := a.head; pos < a.tail; pos++ {
		r, c := a.record(pos)
		if r.dead || r.seq <= after || !p.wants(r.seq) || e.overKeptPast(r, now) {
			continue
		}
		if a.kinds.all[r.kind].selected(p.query) {
			p.add(r.seq, a.entry(r, c))
		}
	}
}

// selected reports whether the query may select tasks of the kind.
func (k *kind) selected(q runtime.Query) bool {
	return (q.Name == "" || q.Name == k.Name) && (q.Queue == "" || q.Queue == k.Queue)
}
