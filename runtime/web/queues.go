package web

import (
	"cmp"
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// queueInfo is a queue at one moment.
type queueInfo struct {
	Queue string `json:"queue"`
	// Tasks are the numbers of tasks in each state that has some.
	Tasks map[engine.State]int64 `json:"tasks"`
	// Estimated are the states whose numbers are estimates.
	Estimated []engine.State `json:"estimated,omitempty"`
	// Oldest is since when the pending task that is due longest has been due, if
	// the engine tells.
	Oldest time.Time `json:"oldest,omitzero"`
	// Workers is how many workers serve the queue, if the engine tells.
	Workers *int `json:"workers,omitempty"`
	// Paused is since when the queue is paused.
	Paused *time.Time `json:"paused,omitempty"`
}

// queuesOut are all queues with tasks or workers.
type queuesOut struct {
	Queues []queueInfo `json:"queues"`
}

// queues returns the queues of a snapshot, by name.
func (s *snapshot) queues() []queueInfo {
	all := make(map[string]*queueInfo)
	at := func(queue string) *queueInfo {
		i := all[queue]
		if i == nil {
			i = &queueInfo{Queue: queue, Tasks: make(map[engine.State]int64)}
			if s.known {
				i.Workers = new(int)
			}
			all[queue] = i
		}
		return i
	}
	for _, c := range s.counts {
		i := at(c.Queue)
		i.Tasks[c.State] = c.Tasks
		if c.Estimated {
			i.Estimated = append(i.Estimated, c.State)
		}
		if !c.Oldest.IsZero() && (i.Oldest.IsZero() || c.Oldest.Before(i.Oldest)) {
			i.Oldest = c.Oldest
		}
	}
	for _, w := range s.workers {
		if w.Lost {
			continue
		}
		for _, queue := range w.Queues {
			*at(queue).Workers++
		}
	}
	for _, p := range s.paused {
		if p.Name == "" {
			at(p.Queue).Paused = &p.Since
		}
	}
	list := make([]queueInfo, 0, len(all))
	for _, i := range all {
		list = append(list, *i)
	}
	slices.SortFunc(list, func(x, y queueInfo) int { return cmp.Compare(x.Queue, y.Queue) })
	return list
}

// queueRow is a queue as a page shows it.
type queueRow struct {
	Name, Link string
	Cells      []countCell
	Oldest     moment
	Late       string // a class, if the oldest task is late
	Workers    string
	Unserved   bool
	Paused     moment
	IsPaused   bool
	Queue      string // as it is, for forms; empty if that is too long
}

// countCell is a number that leads to the tasks it counts.
type countCell struct {
	State engine.State
	Text  string // empty for none
	Link  string
}

// How long a due task may wait before it is called late, and very late.
const (
	late     = time.Minute
	veryLate = 10 * time.Minute
)

func (i *queueInfo) row(now time.Time) queueRow {
	r := queueRow{Name: clean(i.Queue, maxName), Link: filterLink(filter{Queue: i.Queue}), Oldest: at(i.Oldest, now)}
	for _, s := range engine.States() {
		c := countCell{State: s}
		if n := i.Tasks[s]; n > 0 {
			c.Text, c.Link = tally(n, slices.Contains(i.Estimated, s)), filterLink(filter{Queue: i.Queue, State: []string{string(s)}})
		}
		r.Cells = append(r.Cells, c)
	}
	switch waits := now.Sub(i.Oldest); {
	case i.Oldest.IsZero():
	case waits > veryLate:
		r.Late = "bad"
	case waits > late:
		r.Late = "warn"
	}
	if len(i.Queue) <= maxLink {
		r.Queue = i.Queue
	}
	if i.Paused != nil {
		r.IsPaused, r.Paused, r.Late = true, at(*i.Paused, now), ""
	}
	if i.Workers != nil {
		r.Workers = number(int64(*i.Workers))
		r.Unserved = *i.Workers == 0 && i.Tasks[engine.StatePending] > 0
	}
	return r
}

// tally writes a number of tasks, and that it is a guess.
func tally(n int64, estimated bool) string {
	if estimated {
		return "≈ " + number(n)
	}
	return number(n)
}

// queuesPage shows all queues.
type queuesPage struct {
	Queues  []queueRow
	States  []engine.State
	Workers bool
	Pauses  bool         // the engine can pause
	Names   []pausedName // that are paused
	Known   []string     // names to choose from
}

// pausedName is a name of tasks that is paused.
type pausedName struct {
	Name, Label string
	Since       moment
}

func (q *request) queuesPage() (*view, error) {
	s, err := q.snapshot()
	if err != nil {
		return nil, err
	}
	p := &queuesPage{States: engine.States(), Workers: s.known, Pauses: s.pauses}
	for _, pause := range s.paused {
		if pause.Name != "" && len(pause.Name) <= maxLink {
			p.Names = append(p.Names, pausedName{pause.Name, clean(pause.Name, maxName), at(pause.Since, q.now)})
		}
	}
	_, p.Known = q.known()
	for _, i := range s.queues() {
		if p.Queues = append(p.Queues, i.row(q.now)); len(p.Queues) == maxPage {
			break
		}
	}
	return &view{Title: "Queues", Nav: "queues", Template: "queues", Live: q.h.allEvents(), Data: p}, nil
}
