package web

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// workersOut are the workers that are alive.
type workersOut struct {
	Workers []engine.WorkerInfo `json:"workers"`
}

// workers returns the workers that the engine knows.
func (q *request) workers() (workersOut, error) {
	ctx, cancel := q.store()
	defer cancel()
	s, err := q.h.snapshot(ctx)
	if err != nil {
		return workersOut{}, err
	}
	if !s.known {
		return workersOut{}, runtime.ErrUnsupported
	}
	return workersOut{Workers: append([]engine.WorkerInfo{}, s.workers...)}, nil
}

// workerRow is a worker as a page shows it.
type workerRow struct {
	ID, Short, Link string
	Host            string
	Started, Seen   moment
	Silent          bool // it was not seen for long
	Running, Slots  int
	Full            bool
	Queues          []labelled
	Names           []string
	MoreNames       int
	Tasks           []row
	MoreTasks       int
}

type workersPage struct {
	Rows  []workerRow
	Known bool
}

const (
	// workerTasks and workerNames are how much of a worker a page shows.
	workerTasks, workerNames = 10, 12
	// maxWorkers is how many workers a page shows.
	maxWorkers = 200
	// silence is after which time without a sign a worker is marked.
	silence = time.Minute
)

// workersPage lists the workers with the tasks that they run.
func (q *request) workersPage() (*view, error) {
	s, err := q.snapshot()
	if err != nil {
		return nil, err
	}
	running, err := q.longest(s, countMost)
	if err != nil {
		return nil, err
	}
	by := make(map[string][]row)
	for _, r := range running {
		by[r.Worker] = append(by[r.Worker], r)
	}
	p := &workersPage{Known: s.known}
	for _, w := range s.workers {
		p.Rows = append(p.Rows, workerOf(&w, by[w.ID], q.now))
		delete(by, w.ID)
	}
	for id, rows := range by { // whose engine does not tell, or that are gone
		w := engine.WorkerInfo{ID: id, Running: len(rows)}
		p.Rows = append(p.Rows, workerOf(&w, rows, q.now))
	}
	slices.SortStableFunc(p.Rows, func(x, y workerRow) int { return cmp.Compare(y.Running, x.Running) })
	p.Rows = p.Rows[:min(len(p.Rows), maxWorkers)]
	return &view{Title: "Workers", Nav: "workers", Template: "workers", Live: q.h.allEvents(), Data: p}, nil
}

// shortWorker is the beginning of a worker's id, which is random.
func shortWorker(id string) string {
	if _, err := uuid.Parse(id); err == nil {
		return id[:8]
	}
	return clean(id, 40)
}

func workerOf(w *engine.WorkerInfo, running []row, now time.Time) workerRow {
	r := workerRow{
		ID: clean(w.ID, maxName), Short: shortWorker(w.ID), Link: filterLink(filter{Worker: w.ID}), Host: clean(w.Host, maxName),
		Started: at(w.StartedAt, now), Seen: at(w.SeenAt, now), Running: max(w.Running, len(running)), Slots: w.Slots,
		Silent: !w.SeenAt.IsZero() && now.Sub(w.SeenAt) > silence,
	}
	r.Full = r.Slots > 0 && r.Running >= r.Slots
	for _, queue := range w.Queues[:min(len(w.Queues), 20)] {
		r.Queues = append(r.Queues, labelled{clean(queue, maxName), filterLink(filter{Queue: queue})})
	}
	for _, name := range w.Names[:min(len(w.Names), workerNames)] {
		r.Names = append(r.Names, clean(name, maxName))
	}
	r.MoreNames = len(w.Names) - len(r.Names)
	r.Tasks = running[:min(len(running), workerTasks)]
	r.MoreTasks = len(running) - len(r.Tasks)
	return r
}

// known are names of queues and tasks to choose from.
func (q *request) known() (queues, names []string) {
	ctx, cancel := q.store()
	defer cancel()
	add := func(list *[]string, s string) {
		if s != "" && len(s) <= maxName && len(*list) < 200 {
			*list = append(*list, s)
		}
	}
	for _, t := range q.h.app.Tasks() {
		add(&names, t.Name)
	}
	s, err := q.h.snapshot(ctx)
	if err == nil { // without it there is less to choose from
		for _, i := range s.queues() {
			add(&queues, i.Queue)
		}
		for _, w := range s.workers {
			for _, name := range w.Names {
				add(&names, name)
			}
		}
	}
	slices.Sort(names)
	return queues, slices.Compact(names)
}
