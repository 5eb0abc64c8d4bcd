package web

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// A cause is why tasks failed: their name, and their reason without what differs
// from task to task.

const (
	// causeTasks is of how many failed tasks the causes are told.
	causeTasks = 5000
	// maxPattern bounds the text of a cause, in bytes.
	maxPattern = 160
)

// causesIn asks for the causes of failures, or, with the state retrying, of
// retries.
type causesIn struct {
	filter
}

// causesOut are the causes, the most frequent first.
type causesOut struct {
	Causes []cause `json:"causes"`
	// Tasks is how many failed tasks were looked at, the newest. More says that
	// there are others.
	Tasks int  `json:"tasks"`
	More  bool `json:"more,omitempty"`
	// Over is how many of them ended when.
	Over *bars `json:"over,omitempty"`

	pace pace // by the tasks that are kept, if they reach back far enough
}

// cause is one cause of failures.
type cause struct {
	Name string `json:"name"`
	// Reason is the reason's first line, with * for what differs from task to
	// task, between ^ and $: it is a filter for these tasks.
	Reason string         `json:"reason"`
	Tasks  int            `json:"tasks"`
	First  time.Time      `json:"first,omitzero"` // when the first of these tasks ended, or ran
	Last   time.Time      `json:"last,omitzero"`
	Queues map[string]int `json:"queues"`
	// Over is how many of these tasks ended when, over the same time for all
	// causes.
	Over *bars `json:"over,omitempty"`
	// Example is the newest of these tasks.
	Example *runtime.Record `json:"example"`

	times []time.Time
}

// causes groups the newest failed tasks of a filter by their causes.
func (q *request) causes(in *causesIn) (causesOut, error) {
	out := causesOut{Causes: []cause{}}
	f := in.filter
	if len(f.State) == 0 {
		f.State = []string{string(engine.StateFailed)}
	}
	rq, err := f.query(q.now)
	if err != nil {
		return out, err
	}
	rq.Newest = true
	found := make(map[causeKey]*cause)
	add := func(page []*runtime.Record) {
		for _, r := range page {
			k := causeKey{r.Name, patternOf(r.Reason)}
			c := found[k]
			if c == nil {
				c = &cause{Name: r.Name, Reason: k.pattern, Queues: make(map[string]int), Example: sound(r)}
				found[k] = c
			}
			c.add(r)
		}
		out.Tasks += len(page)
	}
	ctx, cancel := q.store()
	defer cancel()
	look := func(page []*runtime.Record, next string) bool {
		add(page)
		out.More = next != ""
		return out.Tasks < causeTasks && !q.late()
	}
	_, err = q.each(ctx, rq, look)
	if isUnsupported(err) {
		rq.Newest = false
		_, err = q.each(ctx, rq, look)
	}
	if err != nil {
		return out, err
	}
	out.over(found, q.now)
	slices.SortFunc(out.Causes, func(x, y cause) int {
		return cmp.Or(cmp.Compare(y.Tasks, x.Tasks), cmp.Compare(x.Name, y.Name), cmp.Compare(x.Reason, y.Reason))
	})
	return out, nil
}

// causesOf returns the causes of a snapshot's tasks in a state, read once.
func (q *request) causesOf(s *snapshot, state engine.State) (causesOut, error) {
	l := &s.failed
	if state == engine.StateRetrying {
		l = &s.retrying
	}
	return l.get(q.Context(), func() (causesOut, error) {
		began := time.Now()
		out, err := q.causes(&causesIn{filter{State: []string{string(state)}}})
		q.h.pulse.added(s, time.Since(began))
		return out, err
	})
}

// over takes over the causes, and says how many of their tasks ended when.
func (out *causesOut) over(found map[causeKey]*cause, now time.Time) {
	var first time.Time
	for _, c := range found {
		if !c.First.IsZero() && (first.IsZero() || c.First.Before(first)) {
			first = c.First
		}
	}
	if !first.IsZero() {
		out.Over = newBars(first, now)
	}
	out.pace.known = !first.IsZero() && (!out.More || now.Sub(first) > paceNow+paceBefore)
	for _, c := range found {
		if out.Over != nil {
			c.Over = newBars(first, now)
		}
		for _, t := range c.times {
			out.Over.add(t)
			c.Over.add(t)
		}
		for _, t := range c.times {
			switch ago := now.Sub(t); {
			case ago < paceNow:
				out.pace.Now += 1 / paceNow.Minutes()
			case ago < paceNow+paceBefore:
				out.pace.Before += 1 / paceBefore.Minutes()
			}
		}
		c.times = nil
		out.Causes = append(out.Causes, *c)
	}
}

// causeKey identifies a cause: the name of its tasks, and the pattern of their reasons.
type causeKey struct{ name, pattern string }

// add counts a task.
func (c *cause) add(r *runtime.Record) {
	c.Tasks++
	if len(c.Queues) < 100 {
		c.Queues[r.Queue]++
	}
	t := r.EndedAt
	if t.IsZero() {
		t = r.StartedAt
	}
	if !t.IsZero() && t.Year() > 0 && t.Year() <= 9999 {
		if c.First.IsZero() || t.Before(c.First) {
			c.First = t
		}
		if t.After(c.Last) {
			c.Last = t
		}
		c.times = append(c.times, t)
	}
}

// text is the reason for people.
func (c *cause) text() string {
	if t := strings.TrimSuffix(strings.TrimPrefix(c.Reason, "^"), "$"); t != "" {
		return strings.ReplaceAll(t, "*", "…")
	}
	return "no reason was given"
}

// causeRow is a cause as a page shows it.
type causeRow struct {
	Name, Reason string
	Tasks        string
	Share        string // of all that were looked at, in percent, for a bar
	First, Last  moment
	Over         *chart
	Show         string // relative URL of these tasks, or of one of them
	Bulk         []bulkLink
}

// causeRow returns the row of a cause, with links to the actions that are allowed.
func (q *request) causeRow(c *cause, s engine.State, all int) causeRow {
	r := c.shown(s, all, q.now)
	r.Bulk = q.allowed(r.Bulk)
	return r
}

// shown returns the row of a cause. Its links are those of a filter, unless that is too
// long for a URL: then Show leads to one task, and there are no bulk links.
func (c *cause) shown(s engine.State, all int, now time.Time) causeRow {
	r := causeRow{
		Name: clean(c.Name, maxName), Reason: clean(c.text(), maxLine), Tasks: number(int64(c.Tasks)),
		First: at(c.First, now), Last: at(c.Last, now), Show: "tasks/" + c.Example.ID.String(),
		Over: c.Over.chart("tasks", now),
	}
	if all > 0 {
		r.Share = number(int64(max(100*c.Tasks/all, 1)))
	}
	f := filter{State: []string{string(s)}, Name: c.Name, Reason: c.Reason}
	if link := filterLink(f); link != "" {
		r.Show = link
		for _, a := range taskActions {
			if !possible(s)[string(a)] {
				continue
			}
			v := f.values()
			v.Set("do", string(a))
			r.Bulk = append(r.Bulk, bulkLink{a, "confirm?" + v.Encode()})
		}
	}
	return r
}

// failedPage lists the causes of failures.
type failedPage struct {
	Rows  []causeRow
	Tasks string
	More  bool
	All   string
	Over  *chart
}

// failures returns the causes that the page shows: of all failed tasks, those of the
// snapshot.
func (q *request) failures(in *causesIn) (causesOut, error) {
	if !in.empty() {
		return q.causes(in)
	}
	ctx, cancel := q.store()
	defer cancel()
	s, err := q.h.snapshot(ctx)
	if err != nil {
		return causesOut{}, err
	}
	return q.causesOf(s, engine.StateFailed)
}

func (q *request) failedPage() (*view, error) {
	in := new(causesIn)
	if err := q.decode(in); err != nil {
		return nil, err
	}
	out, err := q.failures(in)
	if err != nil {
		return nil, err
	}
	p := &failedPage{
		Tasks: many(int64(out.Tasks), "failed task"), More: out.More, All: "tasks?state=failed",
		Over: out.Over.chart("failures", q.now),
	}
	for i := range out.Causes[:min(len(out.Causes), 100)] {
		p.Rows = append(p.Rows, q.causeRow(&out.Causes[i], engine.StateFailed, out.Tasks))
	}
	return &view{Title: "Failed", Nav: "failed", Template: "failed", Live: q.h.allEvents(), Data: p}, nil
}
