package web

import (
	"errors"
	"strconv"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// limitsOut are the limits that have tasks, or that were set.
type limitsOut struct {
	Limits []engine.LimitCount `json:"limits"`
}

// limits returns the limits.
func (q *request) limits() (limitsOut, error) {
	ctx, cancel := q.store()
	defer cancel()
	ls, err := q.h.app.Limits(ctx)
	return limitsOut{Limits: append([]engine.LimitCount{}, ls...)}, err
}

// limitIn sets a limit.
type limitIn struct {
	Rule string `json:"rule" doc:"the rule whose limit it is"`
	//nolint:lll // a tag is one literal, and its text is in the document of the API
	Most *int `json:"most,omitempty" doc:"how many may run at a time, for each of its keys; 0 lets none begin. Without it, each task goes by its own limit again"`
}

// setLimit sets a limit for all processes, and logs who did.
func (q *request) setLimit(in *limitIn) (out limitsOut, err error) {
	most := -1
	if in.Most != nil {
		most = *in.Most
	}
	defer func() { q.h.audit(q.Request, Limit, err, "rule", clean(in.Rule, maxName), "most", most) }()
	switch {
	case in.Rule == "" || len(in.Rule) > maxLink:
		return out, badRequest("there is no rule %q", clean(in.Rule, maxName))
	case in.Most != nil && most < 0:
		return out, badRequest("most is negative")
	}
	ctx, cancel := q.store()
	defer cancel()
	if err = q.h.app.SetLimit(ctx, in.Rule, most); err != nil {
		return out, err
	}
	q.h.stale()
	return q.limits()
}

// limitRow is a limit as a page shows it.
type limitRow struct {
	Rule, Label         string
	Keys, Held, Waiting string
	Per                 string // the time of a rate
	Set                 string // empty: each task's own
	Stopped             bool   // none may begin
	Full                bool   // tasks wait
	Show                string // relative URL of the tasks that wait
}

type limitsPage struct {
	Rows      []limitRow
	Supported bool
}

func (q *request) limitsPage() (*view, error) {
	if err := q.decode(&none{}); err != nil {
		return nil, err
	}
	p := &limitsPage{Supported: true}
	out, err := q.limits()
	if errors.Is(err, runtime.ErrUnsupported) {
		p.Supported, err = false, nil
	}
	if err != nil {
		return nil, err
	}
	for _, l := range out.Limits {
		if len(p.Rows) == maxPage {
			break
		}
		r := limitRow{
			Label: clean(l.Rule, maxName), Keys: number(int64(l.Keys)), Held: number(int64(l.Held)), Waiting: number(int64(l.Waiting)),
			Full: l.Waiting > 0, Stopped: l.Set == 0,
		}
		if len(l.Rule) <= maxLink {
			r.Rule = l.Rule
		}
		if l.Per > 0 {
			r.Per = span(l.Per)
		}
		if l.Set >= 0 {
			r.Set = strconv.Itoa(l.Set)
		}
		if l.Waiting > 0 {
			r.Show = filterLink(filter{
				State: []string{string(engine.StatePending), string(engine.StateRetrying)}, Reason: "waits for " + l.Rule,
			})
		}
		p.Rows = append(p.Rows, r)
	}
	return &view{Title: "Limits", Nav: "limits", Template: "limits", Live: q.h.allEvents(), Data: p}, nil
}

// limitForm sets a limit, or with nothing in its field undoes that.
func (q *request) limitForm() (*view, error) {
	in := &limitIn{Rule: q.PostForm.Get("rule")}
	if text := q.PostForm.Get("most"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, badRequest("%q is not a number of tasks", clean(text, maxName))
		}
		in.Most = &n
	}
	if _, err := q.run(Limit, func() (any, error) { return q.setLimit(in) }); err != nil {
		return nil, err
	}
	redirect(q.w, q.root+"limits")
	return nil, nil
}
