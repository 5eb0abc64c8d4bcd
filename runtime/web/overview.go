package web

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

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

// snapshot returns the engine's snapshot for a page without parameters.
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
	if err := q.readFor(s); err != nil {
		return nil, err
	}
	if err := q.addCauses(p, s, failing); err != nil {
		return nil, err
	}
	if p.Running, err = q.longest(s, 10); err != nil {
		return nil, err
	}
	slices.SortStableFunc(p.Problems, func(x, y problem) int { return cmp.Compare(y.weight, x.weight) })
	return &view{Title: "Overview", Nav: "overview", Template: "overview", Live: q.h.allEvents(), Data: p}, nil
}

// readFor reads causes and running tasks for a snapshot concurrently, since each may
// take all the time that a page has.
func (q *request) readFor(s *snapshot) error {
	var wg sync.WaitGroup
	var errs [3]error
	for i, state := range []engine.State{engine.StateFailed, engine.StateRetrying} {
		if n, _ := s.total(state); n > 0 {
			wg.Go(func() { _, errs[i] = q.causesOf(s, state) })
		}
	}
	wg.Go(func() { _, errs[2] = q.longest(s, 0) })
	wg.Wait()
	return errors.Join(errs[:]...)
}

// urgency orders queues: by the wait of their oldest task, then by their tasks.
func (i *queueInfo) urgency(now time.Time) int64 {
	n := i.Tasks[engine.StatePending] + i.Tasks[engine.StateRunning] + i.Tasks[engine.StateFailed]
	if !i.Oldest.IsZero() {
		n += int64(max(now.Sub(i.Oldest), 0) / time.Millisecond)
	}
	return n
}

// queueProblems returns the queues that are paused, behind or without workers.
func queueProblems(infos []queueInfo, now time.Time) []problem {
	var ps []problem
	for i := range infos {
		info := &infos[i]
		name, waiting := clean(info.Queue, maxName), info.Tasks[engine.StatePending]
		show := []labelled{{"Show them", filterLink(filter{Queue: info.Queue, State: []string{string(engine.StatePending)}})}}
		switch waits := now.Sub(info.Oldest); {
		case info.Paused != nil:
			ps = append(ps, problem{
				Level: "warn", Title: fmt.Sprintf("The queue %s is paused", name), Since: at(*info.Paused, now),
				Links: []labelled{{"Queues", "queues"}}, weight: 60,
				Text: many(waiting, "task") + " wait until somebody ends the pause.",
			})
		case waiting > 0 && info.Workers != nil && *info.Workers == 0:
			ps = append(ps, problem{
				Level: "bad", Title: fmt.Sprintf("No worker serves the queue %s", name), Since: at(info.Oldest, now),
				Links: show, weight: 100,
				Text: many(waiting, "task") + " wait there. Start a worker that serves this queue, or look why there is none.",
			})
		case info.Oldest.IsZero() || waits <= late:
		case waits > veryLate:
			ps = append(ps, problem{
				Level: "bad", Title: fmt.Sprintf("The queue %s is far behind", name), Since: at(info.Oldest, now), Links: show, weight: 80,
				Text: many(waiting, "task") + " wait, the oldest for " + span(coarse(waits)) +
					". More workers help, if those there are all busy.",
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
			Level: "warn", Title: many(int64(rest), "more queue") + " are behind or without workers",
			Links: []labelled{{"All queues", "queues"}}, weight: 39,
		})
	}
	return ps
}

// How long ago a failure is news.
const fresh = time.Hour

// addCauses adds why tasks fail, and are retried.
func (q *request) addCauses(p *overviewPage, s *snapshot, failing pace) error {
	if n, estimated := s.total(engine.StateFailed); n > 0 {
		out, err := q.causesOf(s, engine.StateFailed)
		if err != nil {
			return err
		}
		for i := range out.Causes {
			if i < 5 {
				p.Failed = append(p.Failed, q.causeRow(&out.Causes[i], engine.StateFailed, out.Tasks))
			}
		}
		p.Problems = append(p.Problems, failures(out, tally(n, estimated), failing, q.now)...)
	}
	if n, _ := s.total(engine.StateRetrying); n > 0 {
		out, err := q.causesOf(s, engine.StateRetrying)
		if err != nil {
			return err
		}
		for i := range out.Causes {
			if i < 5 {
				p.Retrying = append(p.Retrying, q.causeRow(&out.Causes[i], engine.StateRetrying, out.Tasks))
			}
		}
		if out.Tasks > 0 {
			links := []labelled{{"Show them", "tasks?state=retrying"}}
			if q.offers(Run) {
				links = append(links, labelled{"Run them now…", "confirm?do=run&state=retrying"})
			}
			p.Problems = append(p.Problems, problem{
				Level: "warn", Title: many(n, "task") + " will be retried", weight: 30,
				Text:  "Most often: " + clean(out.Causes[0].text(), maxLine),
				Links: links,
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
	text := clean(worst.Name, maxName) + ": " + clean(worst.text(), maxLine) +
		" (" + many(int64(worst.Tasks), "time") + ", last " + at(last, now).Rel + ")."
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
