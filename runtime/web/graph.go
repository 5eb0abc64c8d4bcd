package web

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/inspect"
)

const (
	// graphTasks is of how many of the newest tasks the graph tells who enqueued
	// them, and graphParents how many of their parents are looked up.
	graphTasks, graphParents = 2000, 100
	// graphNames bounds the names that are shown.
	graphNames = 60
)

// graphOut is which queues have which tasks, and which tasks enqueue which, as the
// newest tasks tell.
type graphOut struct {
	// Tasks is how many of the newest tasks were looked at. More says that there
	// are others.
	Tasks int         `json:"tasks"`
	More  bool        `json:"more,omitempty"`
	Names []graphName `json:"names"`
	Edges []graphEdge `json:"edges"`
	// Contexts are the context types of this process, with the tasks that get them,
	// and their values.
	Contexts []inspect.ContextInfo `json:"contexts"`
}

// graphName is a task of the graph.
type graphName struct {
	Name   string         `json:"name"`
	Queues map[string]int `json:"queues"` // how many of the newest tasks are in each
	// Here says that this process knows the task, and Workers how many live workers
	// do.
	Here    bool `json:"here,omitempty"`
	Workers int  `json:"workers,omitempty"`
	// Schedules are the schedules that enqueue it.
	Schedules []string `json:"schedules,omitempty"`
}

// graphEdge says that tasks of one name have enqueued tasks of another.
type graphEdge struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Tasks int    `json:"tasks"`
}

// graphed is the graph while it is made.
type graphed struct {
	names map[string]*graphName
	edges map[[2]string]int
}

func (g *graphed) name(name string) *graphName {
	n := g.names[name]
	if n == nil {
		n = &graphName{Name: name, Queues: make(map[string]int)}
		g.names[name] = n
	}
	return n
}

// graph reads the graph of tasks.
func (q *request) graph() (graphOut, error) {
	ctx, cancel := q.store()
	defer cancel()
	s, err := q.h.snapshot(ctx)
	if err != nil {
		return graphOut{}, err
	}
	g := graphed{names: make(map[string]*graphName), edges: make(map[[2]string]int)}
	for _, t := range q.h.app.Tasks() {
		n := g.name(t.Name)
		n.Here, n.Queues[t.Queue] = true, 0
	}
	for _, w := range s.workers {
		for _, name := range w.Names {
			if !w.Lost {
				g.name(name).Workers++
			}
		}
	}
	for _, p := range q.h.app.Schedules() {
		n := g.name(p.Task)
		n.Schedules = append(n.Schedules, p.Name)
	}
	out := graphOut{Names: []graphName{}, Edges: []graphEdge{}, Contexts: q.h.app.Contexts()}
	records, err := q.newest(ctx, &out)
	if err != nil {
		return out, err
	}
	g.add(records, q.parents(ctx, records))
	for _, n := range g.names {
		out.Names = append(out.Names, *n)
	}
	slices.SortFunc(out.Names, func(x, y graphName) int { return cmp.Compare(x.Name, y.Name) })
	for e, n := range g.edges {
		out.Edges = append(out.Edges, graphEdge{e[0], e[1], n})
	}
	slices.SortFunc(out.Edges, func(x, y graphEdge) int { return cmp.Or(cmp.Compare(x.From, y.From), cmp.Compare(x.To, y.To)) })
	return out, nil
}

// newest are the newest tasks, for as long as a page may take.
func (q *request) newest(ctx context.Context, out *graphOut) (records []*runtime.Record, err error) {
	see := func(page []*runtime.Record, next string) bool {
		records = append(records, page...)
		out.Tasks, out.More = len(records), next != ""
		return len(records) < graphTasks && !q.late()
	}
	_, err = q.each(ctx, engine.Query{Newest: true}, see)
	if isUnsupported(err) {
		_, err = q.each(ctx, engine.Query{}, see)
	}
	return records, err
}

// parents returns names of tasks by id: of the records, and of some parents of theirs
// that it looks up.
func (q *request) parents(ctx context.Context, records []*runtime.Record) map[uuid.UUID]string {
	names := make(map[uuid.UUID]string, len(records))
	for _, r := range records {
		names[r.ID] = r.Name
	}
	left := graphParents
	for _, r := range records {
		if _, known := names[r.ParentID]; known || r.ParentID == uuid.Nil || left == 0 || q.late() {
			continue
		}
		left--
		names[r.ParentID] = "" // it is asked for once
		if p, err := q.h.app.Lookup(ctx, r.ParentID); err == nil {
			names[r.ParentID] = p.Name
		}
	}
	return names
}

func (g *graphed) add(records []*runtime.Record, names map[uuid.UUID]string) {
	for _, r := range records {
		g.name(r.Name).Queues[r.Queue]++
		if parent := names[r.ParentID]; parent != "" && r.ParentID != uuid.Nil {
			g.name(parent)
			g.edges[[2]string{parent, r.Name}]++
		}
	}
}

// graphPage shows the graph.
type graphPage struct {
	Tasks     string
	More      bool
	Picture   drawing // of queues and tasks
	Needs     drawing // of contexts and what is in them
	Rows      []graphRow
	Contexts  []contextRow
	Providers []providerRow
	Hidden    int
}

// drawing is a graph as a picture.
type drawing struct {
	Width, Height int
	Boxes         []graphBox
	Lines         []graphLine
}

// graphBox is what a picture has lines between, such as a queue or a task.
type graphBox struct {
	X, Y, Width, Height int
	TextX, TextY, NoteY int
	Class               string
	Label, Note, Title  string
}

// graphLine leads from one box to another.
type graphLine struct {
	Path, Class string
	Title       string
}

// graphRow is a task in words.
type graphRow struct {
	Name, Link     string
	Queues         []labelled
	By, Enqueues   []labelled
	Schedules      []string
	Here           bool
	Workers, Tasks string
}

func (q *request) graphPage() (*view, error) {
	if err := q.decode(&none{}); err != nil {
		return nil, err
	}
	out, err := q.graph()
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	p := &graphPage{Tasks: many(int64(out.Tasks), "task"), More: out.More}
	if p.Hidden = len(out.Names) - graphNames; p.Hidden > 0 {
		slices.SortStableFunc(out.Names, func(x, y graphName) int { return cmp.Compare(y.tasks(), x.tasks()) })
		out.Names = out.Names[:graphNames]
	}
	p.Picture = out.draw()
	for i := range out.Names {
		p.Rows = append(p.Rows, out.row(&out.Names[i]))
	}
	shown := out.Contexts[:min(len(out.Contexts), graphNames)]
	for i := range shown {
		p.Contexts = append(p.Contexts, contextOf(&shown[i]))
	}
	p.Needs = drawContexts(shown)
	providers := providersOf(out.Contexts)
	p.Providers = providers[:min(len(providers), graphNames)]
	return &view{Title: "Graph", Nav: "graph", Template: "graph", Data: p}, nil
}

// tasks is how many of the newest tasks have the name.
func (n *graphName) tasks() (all int) {
	for _, tasks := range n.Queues {
		all += tasks
	}
	return all
}

func (out *graphOut) row(n *graphName) graphRow {
	r := graphRow{
		Name: clean(n.Name, maxName), Link: filterLink(filter{Name: n.Name}), Here: n.Here,
		Workers: number(int64(n.Workers)), Tasks: number(int64(n.tasks())),
	}
	for queue := range n.Queues {
		r.Queues = append(r.Queues, labelled{clean(queue, maxName), filterLink(filter{Name: n.Name, Queue: queue})})
	}
	slices.SortFunc(r.Queues, func(x, y labelled) int { return cmp.Compare(x.Label, y.Label) })
	for _, s := range n.Schedules {
		r.Schedules = append(r.Schedules, clean(s, maxName))
	}
	for _, e := range out.Edges {
		if e.To == n.Name {
			r.By = append(r.By, labelled{clean(e.From, maxName), filterLink(filter{Name: e.From})})
		}
		if e.From == n.Name {
			r.Enqueues = append(r.Enqueues, labelled{clean(e.To, maxName), filterLink(filter{Name: e.To})})
		}
	}
	return r
}
