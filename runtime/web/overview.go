package web

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime"
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

// problem is something that somebody should look at.
type problem struct {
	Level  string // "bad" or "warn"
	Title  string
	Text   string
	Since  moment
	Links  []labelled
	weight int
}

type labelled struct{ Label, Link string }

// overviewPage is the first page.
type overviewPage struct {
	Problems []problem
	Ended    *plot // of the last hour, if workers count
	Tiles    []countCell
	Queues   []queueRow
	More     int // queues that are not shown
	States   []engine.State
	Failed   []causeRow
	Retrying []causeRow
	Running  []row
	Workers  string
	Empty    bool
}

// maxQueues is how many queues the overview shows.
const maxQueues = 12

// snapshot returns what the pages without parameters show.
func (q *request) snapshot() (*snapshot, error) {
	if err := q.decode(&struct{}{}); err != nil {
		return nil, err
	}
	ctx, cancel := q.store()
	defer cancel()
	return q.h.snapshot(ctx)
}

func (q *request) overviewPage() (*view, error) {
	s, err := q.snapshot()
	if err != nil {
		return nil, err
	}
	p := &overviewPage{States: engine.States(), Empty: len(s.counts) == 0}
	for _, state := range engine.States() {
		n, estimated := s.total(state)
		p.Tiles = append(p.Tiles, countCell{state, tally(n, estimated), "tasks?state=" + string(state)})
	}
	infos := s.queues()
	p.Problems = queueProblems(infos, q.now)
	slices.SortStableFunc(infos, func(x, y queueInfo) int { return cmp.Compare(y.urgency(q.now), x.urgency(q.now)) })
	for i := range infos {
		if i == maxQueues {
			p.More = len(infos) - maxQueues
			break
		}
		p.Queues = append(p.Queues, infos[i].row(q.now))
	}
	if s.known {
		p.Workers = many(int64(len(s.workers)), "worker")
	}
	past, err := q.history(&historyIn{Range: "hour"})
	if err != nil && !isUnsupported(err) {
		return nil, err
	}
	failing := past.failing()
	if failing.known {
		p.Ended = past.endedPlot(q.now)
	}
	if err := q.addCauses(p, s, failing); err != nil {
		return nil, err
	}
	if n, _ := s.total(engine.StateRunning); n > 0 {
		if p.Running, err = q.longest(10); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(p.Problems, func(x, y problem) int { return cmp.Compare(y.weight, x.weight) })
	return &view{Title: "Overview", Nav: "overview", Template: "overview", Live: q.h.allEvents(), Data: p}, nil
}

// urgency orders queues: what waits longest first, then what has most to do.
func (i *queueInfo) urgency(now time.Time) int64 {
	n := i.Tasks[engine.StatePending] + i.Tasks[engine.StateRunning] + i.Tasks[engine.StateFailed]
	if !i.Oldest.IsZero() {
		n += int64(max(now.Sub(i.Oldest), 0) / time.Millisecond)
	}
	return n
}

// queueProblems are what is wrong with queues.
func queueProblems(infos []queueInfo, now time.Time) []problem {
	var ps []problem
	for i := range infos {
		info := &infos[i]
		name, waiting := clean(info.Queue, maxName), info.Tasks[engine.StatePending]
		show := []labelled{{"Show them", filterLink(filter{Queue: info.Queue, State: []string{string(engine.StatePending)}})}}
		switch waits := now.Sub(info.Oldest); {
		case info.Paused != nil:
			ps = append(ps, problem{
				Level: "warn", Title: fmt.Sprintf("The queue %s is paused", name), Since: at(*info.Paused, now), Links: []labelled{{"Queues", "queues"}}, weight: 60,
				Text: many(waiting, "task") + " wait until somebody ends the pause.",
			})
		case waiting > 0 && info.Workers != nil && *info.Workers == 0:
			ps = append(ps, problem{
				Level: "bad", Title: fmt.Sprintf("No worker serves the queue %s", name), Since: at(info.Oldest, now), Links: show, weight: 100,
				Text: many(waiting, "task") + " wait there. Start a worker that serves this queue, or look why there is none.",
			})
		case info.Oldest.IsZero() || waits <= late:
		case waits > veryLate:
			ps = append(ps, problem{
				Level: "bad", Title: fmt.Sprintf("The queue %s is far behind", name), Since: at(info.Oldest, now), Links: show, weight: 80,
				Text: many(waiting, "task") + " wait, the oldest for " + span(coarse(waits)) + ". More workers help, if those there are all busy.",
			})
		default:
			ps = append(ps, problem{
				Level: "warn", Title: fmt.Sprintf("The queue %s is behind", name), Since: at(info.Oldest, now), Links: show, weight: 40,
				Text: many(waiting, "task") + " wait, the oldest for " + span(coarse(waits)) + ".",
			})
		}
	}
	if len(ps) > 5 {
		rest := len(ps) - 4
		ps = append(ps[:4], problem{
			Level: "warn", Title: many(int64(rest), "more queue") + " are behind or without workers", Links: []labelled{{"All queues", "queues"}}, weight: 39,
		})
	}
	return ps
}

// How long ago a failure is news.
const fresh = time.Hour

// addCauses adds why tasks fail, and are retried.
func (q *request) addCauses(p *overviewPage, s *snapshot, failing pace) error {
	if n, estimated := s.total(engine.StateFailed); n > 0 {
		out, err := q.causes(&causesIn{})
		if err != nil {
			return err
		}
		for i := range out.Causes {
			if i < 5 {
				p.Failed = append(p.Failed, out.Causes[i].shown(engine.StateFailed, out.Tasks, q.now))
			}
		}
		p.Problems = append(p.Problems, failures(out, tally(n, estimated), failing, q.now)...)
	}
	if n, _ := s.total(engine.StateRetrying); n > 0 {
		out, err := q.causes(&causesIn{filter{State: []string{string(engine.StateRetrying)}}})
		if err != nil {
			return err
		}
		for i := range out.Causes {
			if i < 5 {
				p.Retrying = append(p.Retrying, out.Causes[i].shown(engine.StateRetrying, out.Tasks, q.now))
			}
		}
		if out.Tasks > 0 {
			p.Problems = append(p.Problems, problem{
				Level: "warn", Title: many(n, "task") + " will be retried", weight: 30,
				Text:  "Most often: " + clean(out.Causes[0].text(), maxLine),
				Links: []labelled{{"Show them", "tasks?state=retrying"}},
			})
		}
	}
	return nil
}

// failures is the problem that tasks fail, if they did of late.
func failures(out causesOut, all string, failing pace, now time.Time) []problem {
	var first, last time.Time
	recent := 0
	var worst *cause
	for i := range out.Causes {
		c := &out.Causes[i]
		if now.Sub(c.Last) > fresh {
			continue
		}
		recent++
		if worst == nil {
			worst = c
		}
		if first.IsZero() || c.First.Before(first) {
			first = c.First
		}
		if c.Last.After(last) {
			last = c.Last
		}
	}
	if recent == 0 {
		return nil
	}
	if !failing.known {
		failing = out.pace
	}
	text := clean(worst.Name, maxName) + ": " + clean(worst.text(), maxLine) + " (" + many(int64(worst.Tasks), "time") + ", last " + at(last, now).Rel + ")."
	if often := failing.text(); often != "" {
		text = "Now " + often + ". " + text
	}
	links := []labelled{{"Show the causes", "failed"}}
	links = append(links, labelled{"Show these tasks", worst.shown(engine.StateFailed, 0, now).Show})
	return []problem{{
		Level: "bad", Title: "Tasks fail: " + all + " for " + many(int64(recent), "cause"), Since: at(first, now), Links: links, weight: 90,
		Text: text,
	}}
}

// longest are the tasks that have been running longest.
func (q *request) longest(n int) ([]row, error) {
	ctx, cancel := q.store()
	defer cancel()
	var all []*runtime.Record
	began := time.Now()
	_, err := q.each(ctx, engine.Query{States: []engine.State{engine.StateRunning}}, func(page []*runtime.Record, _ string) bool {
		all = append(all, page...)
		return len(all) < countMost && time.Since(began) < fillTime
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(x, y *runtime.Record) int { return x.StartedAt.Compare(y.StartedAt) })
	rows := make([]row, 0, n)
	for _, r := range all[:min(n, len(all))] {
		rows = append(rows, rowOf(sound(r), q.now))
	}
	return rows, nil
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
