package web

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

const (
	// pageLen is how many tasks a page shows when the request does not say.
	pageLen = 50
	maxPage = 1000
	// fillPages and fillTime bound how much is read to fill a page: what a filter
	// selects may be far apart. All that one request reads has fillTime together, but
	// for the first part of each.
	fillPages = 40
	fillTime  = 50 * time.Millisecond
	// maxArgs bounds the arguments in a list, in bytes.
	maxArgs = 160
	// firstPart is how many tasks are asked for first, where many are read.
	firstPart = 200
)

// listIn asks for a page of tasks.
type listIn struct {
	filter
	Order  string `query:"order" json:"-" doc:"oldest (default) or newest, by when they were enqueued"`
	Limit  int    `query:"limit" json:"-" doc:"how many at most, 50 by default, up to 1000"`
	Brief  bool   `query:"brief" json:"-" doc:"leave out arguments, results, logs and errors"`
	Cursor string `query:"cursor" json:"-" doc:"what the page before had as next"`
}

// listOut is a page of tasks.
type listOut struct {
	Tasks []*runtime.Record `json:"tasks"`
	// Next is the cursor of the next page, empty after the last. A page may have
	// fewer tasks than asked for, or none, although more follow.
	Next string `json:"next,omitempty"`
}

// list reads a page of tasks.
func (q *request) list(in *listIn) (listOut, error) {
	out := listOut{Tasks: []*runtime.Record{}}
	rq, err := in.query(q.now)
	if err != nil {
		return out, err
	}
	switch in.Order {
	case "", "oldest":
	case "newest":
		rq.Newest = true
	default:
		return out, badRequest("order is %q, want oldest or newest", clean(in.Order, maxName))
	}
	if in.Limit > maxPage {
		return out, badRequest("limit is %d, want at most %d", in.Limit, maxPage)
	}
	limit := in.Limit
	if limit == 0 {
		limit = pageLen
	}
	rq.Brief, rq.Cursor = in.Brief, in.Cursor
	ctx, cancel := q.store()
	defer cancel()
	for pages := 0; ; pages++ {
		rq.Limit = limit - len(out.Tasks)
		records, next, err := q.h.app.List(ctx, rq)
		if err != nil {
			return out, err
		}
		for _, r := range records {
			out.Tasks = append(out.Tasks, sound(r))
		}
		out.Next, rq.Cursor = next, next
		if next == "" || len(out.Tasks) >= limit || pages >= fillPages || q.late() {
			return out, nil
		}
	}
}

// each calls do for the tasks of a query in brief, page by page, until do says
// that it is enough. It returns the cursor after the last page, empty at the end.
func (q *request) each(ctx context.Context, rq engine.Query, do func(page []*runtime.Record, next string) (more bool)) (string, error) {
	rq.Brief, rq.Limit = true, firstPart
	for {
		began := time.Now()
		records, next, err := q.h.app.List(ctx, rq)
		if err != nil {
			return rq.Cursor, err
		}
		if more := do(records, next); !more || next == "" {
			return next, nil
		}
		rq.Cursor, rq.Limit = next, part(rq.Limit, time.Since(began), q.left())
	}
}

// part is how many tasks to ask for next, if so many took so long: as many as half of
// the time that is left is enough for, so that a page ends in time.
func part(limit int, took, left time.Duration) int {
	return min(max(int(time.Duration(limit)*left/2/max(took, time.Microsecond)), firstPart/2), maxPage)
}

// row is a task in a list.
type row struct {
	*runtime.Record
	Short  string // the end of the id: its beginning is the time
	When   moment
	What   string // happened then
	Why    string // the first line of the reason
	Args   string // the beginning of the arguments, where they are read
	Parked bool
	Took   string // how long its last run took, or has taken
	// AttemptOf is the attempt, and how many there are.
	AttemptOf string
}

func rowOf(r *runtime.Record, now time.Time) row {
	t, what := when(r)
	return row{
		Record: r, Short: r.ID.String()[28:], When: at(t, now), What: what, Why: clean(firstLine(r.Reason), maxLine),
		Parked: parked(r), Took: took(r, now), AttemptOf: attemptOf(r),
	}
}

// attemptOf is the attempt of how many, from one. A task that was retried by hand
// may have had more than it should.
func attemptOf(r *runtime.Record) string {
	if r.Attempt > r.MaxRetries {
		return number(int64(r.Attempt) + 1)
	}
	return number(int64(r.Attempt)+1) + " of " + number(int64(r.MaxRetries)+1)
}

// took is how long the last run took, or has taken so far, empty if it is not
// known.
func took(r *runtime.Record, now time.Time) string {
	end := r.EndedAt
	if r.State == engine.StateRunning {
		end = now
	}
	if r.StartedAt.IsZero() || end.Before(r.StartedAt) {
		return ""
	}
	return span(end.Sub(r.StartedAt))
}

// parked reports whether a task waits for want of a worker that can run it.
func parked(r *runtime.Record) bool {
	return r.Reason != "" && (r.State == engine.StatePending || r.State == engine.StateScheduled)
}

// listPage is the page of tasks.
type listPage struct {
	In     *pageIn
	Rows   []row
	Next   string // relative URL of the next page
	First  string // of the first, if this is another
	Tabs   []tab
	Queues []string
	Names  []string
	Bulk   []bulkLink
	Note   string
	Plain  bool // there is no filter
	More   bool // one of the filters that are folded away is set
	// Other is the same page with arguments, or without.
	Other string
}

// pageIn asks for the page of tasks.
type pageIn struct {
	listIn
	Args string `query:"args"` // show, or empty
}

// tab is a set of states to choose.
type tab struct {
	Label, Link string
	Current     bool
}

// bulkLink leads to the question whether to do something with all that a filter
// selects.
type bulkLink struct {
	Action Action
	Link   string
}

// allowed returns the links whose actions are offered.
func (q *request) allowed(links []bulkLink) []bulkLink {
	return slices.DeleteFunc(links, func(l bulkLink) bool { return !q.offers(l.Action) })
}

var tabs = []struct{ label, states string }{
	{"All", ""}, {"Waiting", "scheduled,pending,retrying,waiting"}, {"Running", "running"}, {"Failed", "failed"},
	{"Cancelled", "cancelled"}, {"Succeeded", "succeeded"},
}

// link is the page in the order of this one, with another filter.
func (in *pageIn) link(f filter, cursor string, withArgs bool) string {
	v := f.values()
	if in.Order != "newest" {
		v.Set("order", in.Order)
	}
	if withArgs {
		v.Set("args", "show")
	}
	if cursor != "" {
		v.Set("cursor", cursor)
	}
	return "tasks?" + v.Encode()
}

// tasksPage shows tasks, the newest first where the engine can.
func (q *request) tasksPage() (*view, error) {
	in := new(pageIn)
	if err := q.decode(in); err != nil {
		return nil, err
	}
	in.Brief = in.Args != "show"
	p := &listPage{In: in, Plain: in.empty()}
	p.More = in.Priority+in.Tag+in.Since+in.Until+in.Worker+in.Parent+in.Root+in.Order != ""
	if in.Order == "" {
		in.Order = "newest"
	}
	out, err := q.list(&in.listIn)
	if isUnsupported(err) && in.Order == "newest" {
		in.Order, p.Note = "oldest", "This engine lists the oldest tasks first."
		out, err = q.list(&in.listIn)
	}
	if err != nil {
		return nil, err
	}
	for _, r := range out.Tasks {
		row := rowOf(r, q.now)
		if !in.Brief {
			row.Args = clean(string(r.Args), maxArgs)
		}
		p.Rows = append(p.Rows, row)
	}
	link := func(f filter, cursor string) string { return in.link(f, cursor, in.Args == "show") }
	if out.Next != "" {
		p.Next = link(in.filter, out.Next)
	}
	if in.Cursor != "" {
		p.First = link(in.filter, "")
	}
	for _, t := range tabs {
		f := in.filter
		f.State = nil
		if t.states != "" {
			f.State = []string{t.states}
		}
		p.Tabs = append(p.Tabs, tab{t.label, link(f, ""), t.states == strings.Join(in.State, ",")})
	}
	for _, a := range taskActions {
		if f, some := in.narrowed(a); some && len(p.Rows) > 0 {
			v := f.values()
			v.Set("do", string(a))
			p.Bulk = append(p.Bulk, bulkLink{a, "confirm?" + v.Encode()})
		}
	}
	p.Bulk = q.allowed(p.Bulk)
	p.Other = in.link(in.filter, in.Cursor, in.Args != "show")
	p.Queues, p.Names = q.known()
	return &view{Title: "Tasks", Nav: "tasks", Template: "tasks", Live: q.h.allEvents(), Data: p}, nil
}
