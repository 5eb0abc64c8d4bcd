package web

import (
	"cmp"
	"slices"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/inspect"
)

// schedulesOut are the schedules of this process, and those whose tasks are found.
type schedulesOut struct {
	Schedules []scheduleInfo `json:"schedules"`
	// More says that not all tasks were looked at, for want of time: the newest were.
	More bool `json:"more,omitempty"`
}

// scheduleInfo is a schedule, and the newest task of it that was found.
type scheduleInfo struct {
	inspect.ScheduleInfo
	// Here says that this process has the schedule, and can run its task.
	Here bool `json:"here"`
	// Paused says that its ticks are left out.
	Paused bool            `json:"paused,omitempty"`
	Last   *runtime.Record `json:"last,omitempty"`
}

// schedules returns the schedules of this process, and those that tags of kept tasks
// name, each with the newest task that was found.
func (q *request) schedules() (schedulesOut, error) {
	out := schedulesOut{Schedules: []scheduleInfo{}}
	at := make(map[string]int)
	for _, s := range q.h.app.Schedules() {
		at[s.Name] = len(out.Schedules)
		out.Schedules = append(out.Schedules, scheduleInfo{ScheduleInfo: s, Here: true})
	}
	ctx, cancel := q.store()
	defer cancel()
	see := func(page []*runtime.Record, next string) bool {
		out.More = next != ""

		for _, r := range page {
			name := r.Tags.Get(runtime.TagEvery)
			i, ok := at[name]
			if !ok {
				i = len(out.Schedules)
				at[name] = i
				out.Schedules = append(out.Schedules, scheduleInfo{ScheduleInfo: inspect.ScheduleInfo{Name: name, Task: r.Name}})
			}
			if s := &out.Schedules[i]; s.Last == nil || r.EnqueuedAt.After(s.Last.EnqueuedAt) {
				s.Last = sound(r)
			}
		}
		return !q.late() && len(out.Schedules) < maxPage
	}
	_, err := q.each(ctx, engine.Query{Tag: runtime.TagEvery, Newest: true}, see)
	if isUnsupported(err) {
		_, err = q.each(ctx, engine.Query{Tag: runtime.TagEvery}, see)
	}
	if paused, perr := q.h.app.PausedSchedules(ctx); err == nil && perr == nil {
		for i := range out.Schedules {
			out.Schedules[i].Paused = slices.Contains(paused, out.Schedules[i].Name)
		}
	} else if err == nil && !isUnsupported(perr) {
		err = perr
	}
	slices.SortFunc(out.Schedules, func(x, y scheduleInfo) int { return cmp.Compare(x.Name, y.Name) })
	return out, err
}

// runIn names a schedule to run now.
type runIn struct {
	Name string `json:"name" doc:"name of the schedule"`
}

// runSchedule enqueues the task of a schedule, and logs who did.
func (q *request) runSchedule(in *runIn) (out enqueueOut, err error) {
	defer func() {
		q.h.audit(q.Request, Enqueue, err, "schedule", clean(in.Name, maxName), "task", out.ID.String())
	}()
	ctx, cancel := q.store()
	defer cancel()
	out.ID, err = q.h.app.RunSchedule(ctx, in.Name)
	return out, err
}

// scheduleRow is a schedule as a page shows it.
type scheduleRow struct {
	Name, Label, Task string // Name is empty if it is too long for a form
	Next              moment
	Here, Paused      bool
	Last              *row
	Tasks             string // relative URL of all its tasks
}

type schedulesPage struct {
	Rows   []scheduleRow
	Pauses bool // the engine can pause
	More   bool // not all tasks were looked at
}

func (q *request) schedulesPage() (*view, error) {
	if err := q.decode(&none{}); err != nil {
		return nil, err
	}
	out, err := q.schedules()
	if err != nil {
		return nil, err
	}
	_, pauses := engine.As[engine.Pauser](q.h.app.Engine())
	p := &schedulesPage{Pauses: pauses, More: out.More}
	for _, s := range out.Schedules {
		r := scheduleRow{
			Label: clean(s.Name, maxName), Task: clean(s.Task, maxName), Next: at(s.Next, q.now), Here: s.Here, Paused: s.Paused,
			Tasks: filterLink(filter{Tag: runtime.TagEvery + ":" + s.Name}),
		}
		if len(s.Name) <= maxLink {
			r.Name = s.Name
		}
		if s.Last != nil {
			last := rowOf(s.Last, q.now)
			r.Last = &last
		}
		if p.Rows = append(p.Rows, r); len(p.Rows) == maxPage {
			break
		}
	}
	return &view{Title: "Schedules", Nav: "schedules", Template: "schedules", Live: q.h.allEvents(), Data: p}, nil
}

// runScheduleForm runs a schedule now, and shows its task.
func (q *request) runScheduleForm() (*view, error) {
	in := &runIn{Name: q.PostForm.Get("name")}
	out, err := q.run(Enqueue, func() (any, error) { return q.runSchedule(in) })
	if err != nil {
		return nil, err
	}
	if id := out.(enqueueOut).ID; id != uuid.Nil {
		redirect(q.w, q.root+"tasks/"+id.String()+"?did=enqueue")
	}
	return nil, nil
}
