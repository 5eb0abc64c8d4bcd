package web

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/internal/bulk"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

const (
	// countMost is up to how many tasks a filter's tasks are counted, and
	// countTime how long.
	countMost = 10_000
	countTime = time.Second
	// countSoon is after which time a page has counted enough, and countLong if that is
	// not more than countLeast: who is to agree wants to know.
	countSoon, countLong = 40 * time.Millisecond, 5 * time.Second
	countLeast           = 1000
	// bulkTime is how long one request goes on acting. The answer says how to
	// continue.
	bulkTime = 4 * time.Second
	// maxIDs bounds how many tasks a request may name.
	maxIDs = 1000
)

// bulkIn asks for an action on many tasks: those named, or all that the filter
// selects.
type bulkIn struct {
	filter
	IDs    []uuid.UUID `json:"ids,omitempty" doc:"these tasks, instead of a filter"`
	All    bool        `json:"all,omitempty" doc:"needed when there is neither a filter nor ids"`
	Limit  int         `json:"limit,omitempty" doc:"at most so many tasks; 0 is all"`
	Cursor string      `json:"cursor,omitempty" doc:"what the answer before had as next"`
	Why    string      `json:"why,omitempty" doc:"the reason of a cancellation"`
}

// bulkOut counts the tasks that a bulk action changed, and those it could not.
type bulkOut struct {
	Done   int         `json:"done"`
	Failed int         `json:"failed"`
	Errors []bulkError `json:"errors,omitempty"` // of the first that failed
	// Next is the cursor to go on with, empty when all was done.
	Next string `json:"next,omitempty"`
}

type bulkError struct {
	ID    uuid.UUID `json:"id"`
	Error string    `json:"error"`
}

// countOut is how many tasks a filter selects.
type countOut struct {
	Tasks int `json:"tasks"`
	// More: the count ended after a second, or at 10,000.
	More bool `json:"more,omitempty"`
}

// count counts the tasks that a filter selects.
func (q *request) count(in *filter) (countOut, error) {
	rq, err := in.query(q.now)
	if err != nil {
		return countOut{}, err
	}
	s, err := q.survey(rq)
	return countOut{s.Tasks, s.More}, err
}

func (q *request) survey(rq engine.Query) (bulk.Survey, error) {
	ctx, cancel := q.store()
	defer cancel()
	return bulk.Count(ctx, q.h.app, rq, countMost, countTime)
}

// bulk acts on many tasks, for some seconds at most.
func (q *request) bulk(a Action, in *bulkIn) (out bulkOut, err error) {
	defer func() {
		q.h.audit(q.Request, a, err, "filter", in.values().Encode(), "ids", len(in.IDs), "done", out.Done, "failed", out.Failed)
	}()
	switch {
	case len(in.IDs) > maxIDs:
		return out, badRequest("there are %d ids, want at most %d", len(in.IDs), maxIDs)
	case len(in.IDs) > 0 && !in.empty():
		return out, badRequest("there are both ids and a filter")
	case len(in.IDs) == 0 && in.empty() && !in.All:
		return out, badRequest("there is neither a filter nor ids: set all to act on every task")
	case in.Limit < 0:
		return out, badRequest("limit is negative")
	}
	ctx, cancel := context.WithTimeout(q.Context(), bulkTime+storeTimeout)
	defer cancel()
	var r bulk.Result
	if len(in.IDs) > 0 {
		err = bulk.Each(ctx, q.h.app, bulk.Action(a), in.IDs, in.Why, &r)
		return bulkOutOf(r), err
	}
	rq, err := in.query(q.now)
	if err != nil {
		return out, err
	}
	rq, some := bulk.Action(a).Narrow(rq)
	if !some {
		return out, nil
	}
	rq.Cursor = in.Cursor
	r, err = bulk.Act(ctx, q.h.app, bulk.Action(a), rq, bulk.Options{Limit: in.Limit, Within: bulkTime, Reason: in.Why})
	if err != nil && r.Done > 0 { // what was done must be told
		q.h.cfg.Logger.WarnContext(ctx, "web: the store does not answer", "error", err.Error(), "path", q.URL.Path)
		err = nil
	}
	return bulkOutOf(r), err
}

func bulkOutOf(r bulk.Result) bulkOut {
	out := bulkOut{Done: r.Done, Failed: r.Failed, Next: r.Next}
	for _, e := range r.Errors {
		out.Errors = append(out.Errors, bulkError{e.ID, clean(e.Err.Error(), maxLine)})
	}
	return out
}

// confirmPage asks whether to act on many tasks, and says on how many.
type confirmPage struct {
	Action   Action
	Verb     string
	Count    string
	About    string // by the engine's count, where not all were counted
	Words    []string
	Groups   []countedGroup
	Rows     []row
	Hidden   []field
	Limit    int
	Back     string
	Possible bool
}

type countedGroup struct {
	Name  string
	State engine.State
	Count string
}

// field is a hidden field of a form.
type field struct{ Name, Value string }

// confirmIn is the input of the page that asks: an action, and a filter or ids.
type confirmIn struct {
	filter
	Do  string   `query:"do"`
	IDs []string `query:"id"`
	All string   `query:"all"` // of the box that chooses all of a page
}

// confirmPage asks. It changes nothing.
func (q *request) confirmPage() (*view, error) {
	in := new(confirmIn)
	if err := q.decode(in); err != nil {
		return nil, err
	}
	a := Action(in.Do)
	if !slices.Contains(taskActions, a) {
		return nil, badRequest("there is no action %q", clean(in.Do, maxName))
	}
	if err := q.h.allow(q.Request, a); err != nil {
		return nil, err
	}
	p := &confirmPage{Action: a, Back: in.link(), Hidden: []field{{"do", in.Do}}}
	var s bulk.Survey
	var err error
	if len(in.IDs) > 0 {
		p.Words = []string{"chosen by hand"}
		s, err = q.chosen(a, in.IDs, p)
	} else {
		s, err = q.filtered(a, &in.filter, p)
	}
	if err != nil {
		return nil, err
	}
	p.Possible = s.Tasks > 0
	p.Count = many(int64(s.Tasks), "task")
	if s.More {
		p.Count = "more than " + p.Count
	} else {
		p.Limit = s.Tasks
	}
	for g, n := range s.Groups {
		p.Groups = append(p.Groups, countedGroup{clean(g.Name, maxName), g.State, number(int64(n))})
	}
	slices.SortFunc(p.Groups, func(x, y countedGroup) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.State, y.State))
	})
	if len(p.Groups) > 20 {
		p.Groups = p.Groups[:20]
	}
	for _, r := range s.Sample {
		p.Rows = append(p.Rows, rowOf(sound(r), q.now))
	}
	p.Verb = verbs[a]
	title := p.Verb + " " + p.Count + "?"
	if a == Run {
		title = p.Verb + " " + p.Count + " now?"
	}
	return &view{Title: title, Nav: "tasks", Template: "confirm", Data: p}, nil
}

// taskActions are what is done with tasks, one or many.
var taskActions = []Action{Retry, Run, Cancel, Delete}

var verbs = map[Action]string{Retry: "Retry", Run: "Run", Cancel: "Cancel", Delete: "Delete"}

// offers reports whether a page offers an action: it is allowed, and the engine can.
func (q *request) offers(a Action) bool {
	if a == Run {
		if _, ok := engine.As[engine.NowRunner](q.h.app.Engine()); !ok {
			return false
		}
	}
	return q.h.allow(q.Request, a) == nil
}

// filtered surveys the tasks of a filter that the action is possible for.
func (q *request) filtered(a Action, f *filter, p *confirmPage) (bulk.Survey, error) {
	narrow, some := f.narrowed(a)
	p.Words = narrow.words()
	if !some {
		return bulk.Survey{}, nil
	}
	for name, values := range narrow.values() {
		for _, v := range values {
			p.Hidden = append(p.Hidden, field{name, v})
		}
	}
	slices.SortFunc(p.Hidden, func(x, y field) int { return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Value, y.Value)) })
	rq, err := narrow.query(q.now)
	if err != nil {
		return bulk.Survey{}, err
	}
	ctx, cancel := q.store()
	defer cancel()
	s, err := bulk.CountWhile(ctx, q.h.app, rq, func(tasks int) bool {
		took := time.Since(q.now)
		return tasks < countMost && (took < countSoon || tasks <= countLeast && took < countLong)
	})
	if err == nil && s.More {
		p.About = q.about(&narrow)
	}
	return s, err
}

// about is how many tasks the engine counts for a filter of states and a queue, empty
// for other filters.
func (q *request) about(f *filter) string {
	rest := *f
	rest.State, rest.Queue = nil, ""
	if !rest.empty() {
		return ""
	}
	s := q.h.peek()
	if s == nil {
		return ""
	}
	var all int64
	for _, c := range s.counts {
		if (f.Queue == "" || c.Queue == f.Queue) && slices.Contains(f.State, string(c.State)) {
			all += c.Tasks
		}
	}
	return many(all, "task")
}

// chosen is the survey of tasks that were chosen one by one.
func (q *request) chosen(a Action, ids []string, p *confirmPage) (s bulk.Survey, err error) {
	if len(ids) > maxIDs {
		return s, badRequest("there are %d ids, want at most %d", len(ids), maxIDs)
	}
	ctx, cancel := q.store()
	defer cancel()
	for _, text := range ids {
		id, err := uuid.Parse(text)
		if err != nil {
			return s, badRequest("%q is not the id of a task", clean(text, maxName))
		}
		r, err := q.h.app.Lookup(ctx, id)
		if errors.Is(err, runtime.ErrNotFound) {
			continue
		}
		if err != nil {
			return s, err
		}
		if bulk.Action(a).Possible(r.State) {
			s.Add(r)
			p.Hidden = append(p.Hidden, field{"id", id.String()})
		}
	}
	return s, nil
}

// bulkPageData is the page after a bulk action.
type bulkPageData struct {
	Action   Action
	Verb     string
	Done     string
	Failed   int
	Errors   []bulkError
	Continue []field // the form that goes on, nil when all was done
	Back     string
}

// bulkForm acts on many tasks, as the question's form asks.
func (q *request) bulkForm() (*view, error) {
	f := q.PostForm
	a := Action(f.Get("do"))
	if !slices.Contains(taskActions, a) {
		return nil, badRequest("there is no action %q", clean(f.Get("do"), maxName))
	}
	in, err := bulkInput(f)
	if err != nil {
		return nil, err
	}
	before, failedBefore := atoi(f.Get("done")), atoi(f.Get("failed"))
	ran, err := q.run(a, func() (any, error) { return q.bulk(a, in) })
	if err != nil {
		return nil, err
	}
	out := ran.(bulkOut)
	p := &bulkPageData{
		Action: a, Verb: verbs[a], Done: many(int64(before+out.Done), "task"), Failed: failedBefore + out.Failed,
		Errors: out.Errors, Back: in.link(),
	}
	if out.Next != "" {
		in.Cursor = out.Next
		if in.Limit > 0 {
			in.Limit -= out.Done + out.Failed
		}
		p.Continue = continued(a, in, before+out.Done, p.Failed)
	}
	return &view{Title: verbs[a], Nav: "tasks", Template: "bulk", Data: p}, nil
}

func bulkInput(f url.Values) (*bulkIn, error) {
	in := &bulkIn{
		filter: filter{
			State: f["state"], Name: f.Get("name"), Queue: f.Get("queue"), Priority: f.Get("priority"),
			Tag: f.Get("tag"), Reason: f.Get("reason"),
			Worker: f.Get("worker"), Parent: f.Get("parent"), Root: f.Get("root"), Since: f.Get("since"), Until: f.Get("until"),
		},
		Limit: atoi(f.Get("limit")), Cursor: f.Get("cursor"), Why: f.Get("why"),
	}
	for _, text := range f["id"] {
		id, err := uuid.Parse(text)
		if err != nil {
			return nil, badRequest("%q is not the id of a task", clean(text, maxName))
		}
		in.IDs = append(in.IDs, id)
	}
	return in, nil
}

// continued are the fields of the form that goes on.
func continued(a Action, in *bulkIn, done, failed int) []field {
	fs := []field{
		{"do", string(a)}, {"cursor", in.Cursor}, {"done", strconv.Itoa(done)}, {"failed", strconv.Itoa(failed)},
		{"limit", strconv.Itoa(in.Limit)}, {"why", in.Why},
	}
	for name, values := range in.values() {
		for _, v := range values {
			fs = append(fs, field{name, v})
		}
	}
	return fs
}

// atoi is a number that is not negative, 0 for anything else.
func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
