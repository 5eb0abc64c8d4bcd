package web

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/internal/bulk"
	"github.com/taskctx/taskctx/internal/timetext"
	"github.com/taskctx/taskctx/runtime/engine"
)

// filter selects tasks, as URLs and bodies of requests say it. Empty fields
// select all.
type filter struct {
	State []string `json:"state,omitempty" query:"state" doc:"states; several are alternatives"`
	Name  string   `json:"name,omitempty" query:"name" doc:"name of the task"`
	Queue string   `json:"queue,omitempty" query:"queue" doc:"queue"`
	// Priority is text, as URLs have it.
	Priority string `json:"priority,omitempty" query:"priority" doc:"priorities, from 0 to 3; several with commas between"`
	Tag      string `json:"tag,omitempty" query:"tag" doc:"tag, as KEY or KEY:VALUE"`
	Reason   string `json:"reason,omitempty" query:"reason" doc:"text in the reason; * stands for any text"`
	Worker   string `json:"worker,omitempty" query:"worker" doc:"id of the worker that runs the task or ran it last"`
	Parent   string `json:"parent,omitempty" query:"parent" doc:"id of the task that enqueued them"`
	Root     string `json:"root,omitempty" query:"root" doc:"id of the first task of their tree, which is none of them"`
	//nolint:lll // a tag is one literal, and its text is in the document of the API
	Since string `json:"since,omitempty" query:"since" doc:"ended, begun or else enqueued from then on: a time, or a duration such as 2h for so long ago"`
	Until string `json:"until,omitempty" query:"until" doc:"ended, begun or else enqueued before: a time, or a duration"`
}

// empty reports whether the filter selects all tasks.
func (f *filter) empty() bool {
	return len(f.State) == 0 && f.Name+f.Queue+f.Priority+f.Tag+f.Reason+f.Worker+f.Parent+f.Root+f.Since+f.Until == ""
}

// query returns the filter as a query of the engine.
func (f *filter) query(now time.Time) (engine.Query, error) {
	q := engine.Query{Name: f.Name, Queue: f.Queue, Reason: f.Reason, Worker: f.Worker}
	for _, names := range f.State {
		for name := range strings.FieldsFuncSeq(names, func(r rune) bool { return r == ',' }) {
			s := engine.State(name)
			if !slices.Contains(engine.States(), s) {
				return q, badRequest("there is no state %q", clean(name, maxName))
			}
			if !slices.Contains(q.States, s) {
				q.States = append(q.States, s)
			}
		}
	}
	var err error
	if q.Priorities, err = bulk.Priorities(f.Priority); err != nil {
		return q, badRequest("priority: %s", clean(err.Error(), maxName))
	}
	q.Tag, q.TagValue, _ = strings.Cut(f.Tag, ":")
	for _, id := range []struct {
		text string
		to   *uuid.UUID
	}{{f.Parent, &q.Parent}, {f.Root, &q.Root}} {
		if id.text == "" {
			continue
		}
		parsed, err := uuid.Parse(id.text)
		if err != nil || parsed == uuid.Nil {
			return q, badRequest("%q is not the id of a task", clean(id.text, maxName))
		}
		*id.to = parsed
	}
	if q.Since, err = parseTime(f.Since, now); err != nil {
		return q, err
	}
	q.Until, err = parseTime(f.Until, now)
	return q, err
}

// parseTime reads a time, or a duration before now.
func parseTime(s string, now time.Time) (time.Time, error) {
	t, err := timetext.Parse(s, now)
	if err != nil {
		return t, badRequest("%s", clean(err.Error(), maxLine))
	}
	return t, nil
}

// values are the filter as the query of a URL.
func (f *filter) values() url.Values {
	v := make(url.Values)
	for _, s := range f.State {
		v.Add("state", s)
	}
	for name, s := range map[string]string{
		"name": f.Name, "queue": f.Queue, "priority": f.Priority, "tag": f.Tag, "reason": f.Reason,
		"worker": f.Worker, "parent": f.Parent, "root": f.Root, "since": f.Since, "until": f.Until,
	} {
		if s != "" {
			v.Set(name, s)
		}
	}
	return v
}

// link is the filter as a relative URL of the page of tasks.
func (f *filter) link() string {
	if v := f.values().Encode(); v != "" {
		return "tasks?" + v
	}
	return "tasks"
}

// narrowed is the filter for those of its tasks that the action is possible for,
// false if there are none.
func (f *filter) narrowed(a Action) (filter, bool) {
	own, all := *f, strings.Join(f.State, ",")
	own.State = nil
	for _, s := range engine.States() {
		if bulk.Action(a).Possible(s) && (all == "" || slices.Contains(strings.Split(all, ","), string(s))) {
			own.State = append(own.State, string(s))
		}
	}
	return own, len(own.State) > 0
}

// words describes the filter in English, a phrase for each field.
func (f *filter) words() []string {
	var w []string
	if len(f.State) > 0 {
		w = append(w, strings.Join(f.State, " or "))
	}
	for _, p := range []struct{ label, value string }{
		{"named ", f.Name}, {"in queue ", f.Queue}, {"of priority ", f.Priority}, {"with tag ", f.Tag}, {"with reason ", f.Reason},
		{"of worker ", f.Worker}, {"enqueued by ", f.Parent}, {"under ", f.Root}, {"since ", f.Since}, {"until ", f.Until},
	} {
		if p.value != "" {
			w = append(w, p.label+clean(p.value, maxName))
		}
	}
	return w
}
