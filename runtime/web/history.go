package web

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// historyRange is a range of time that a history can be asked for.
type historyRange struct {
	Name, Label string
	kept        time.Duration // the step of the engine's tallies
	step        time.Duration // of the answer
	span        time.Duration
}

// historyRanges are all of them. The steps are those of charts: some dozens.
var historyRanges = []historyRange{
	{"hour", "Hour", time.Minute, time.Minute, time.Hour},
	{"day", "Day", time.Minute, 15 * time.Minute, 24 * time.Hour},
	{"weeks", "Two weeks", time.Hour, 6 * time.Hour, 14 * 24 * time.Hour},
	{"months", "Three months", 24 * time.Hour, 24 * time.Hour, 90 * 24 * time.Hour},
}

// historyIn asks for the history of a range, of one queue or of all.
type historyIn struct {
	Range string `query:"range" doc:"hour (default), day, weeks or months"`
	Queue string `query:"queue" doc:"of this queue alone, without times: kept for weeks and months"`
}

// historyOut is what became of tasks over time, as workers with
// runtime.Config.History counted it.
type historyOut struct {
	From   time.Time      `json:"from"`
	Step   int            `json:"step_s"`
	Points []historyPoint `json:"points"`
}

// historyPoint is one step of a history. Times are in milliseconds, guessed from
// classes that double.
type historyPoint struct {
	Succeeded int64   `json:"succeeded"`
	Failed    int64   `json:"failed"`
	Cancelled int64   `json:"cancelled"`
	Retried   int64   `json:"retried"`
	Ran50     float64 `json:"ran_p50_ms"`
	Ran95     float64 `json:"ran_p95_ms"`
	Waited50  float64 `json:"waited_p50_ms"`
	Waited95  float64 `json:"waited_p95_ms"`

	ran, waited map[time.Duration]int64
}

// historyAge is for how long a history that was read is shown: workers add to it
// once a minute.
const historyAge = 10 * time.Second

// histories keeps the answers of history for historyAge.
type histories struct {
	mu  sync.Mutex // guards all below
	was map[historyIn]*readHistory
}

type readHistory struct {
	until time.Time
	out   historyOut
}

// historyMost bounds the histories that are kept.
const historyMost = 50

// history reads a history, or returns one that is younger than historyAge.
func (q *request) history(in *historyIn) (historyOut, error) {
	if in.Range == "" {
		in.Range = "hour"
	}
	i := slices.IndexFunc(historyRanges, func(r historyRange) bool { return r.Name == in.Range })
	if i < 0 {
		return historyOut{}, badRequest("there is no range %q", clean(in.Range, maxName))
	}
	ranged := historyRanges[i]
	if in.Queue != "" && ranged.kept == time.Minute {
		return historyOut{}, badRequest("queues are kept for the ranges weeks and months")
	}
	h := &q.h.past
	h.mu.Lock()
	if r := h.was[*in]; r != nil && q.now.Before(r.until) {
		h.mu.Unlock()
		return r.out, nil
	}
	h.mu.Unlock()
	ctx, cancel := q.store()
	defer cancel()
	out, err := q.h.readHistory(ctx, ranged, in.Queue, q.now)
	if err != nil {
		return out, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.was == nil || len(h.was) >= historyMost {
		h.was = make(map[historyIn]*readHistory)
	}
	h.was[*in] = &readHistory{q.now.Add(historyAge), out}
	return out, nil
}

func (h *handler) readHistory(ctx context.Context, r historyRange, queue string, now time.Time) (historyOut, error) {
	n := int(r.span / r.step)
	out := historyOut{
		From: now.Truncate(r.step).Add(r.step - r.span).UTC(), Step: int(r.step / time.Second), Points: make([]historyPoint, n),
	}
	ts, err := h.app.History(ctx, engine.HistoryQuery{Step: r.kept, Since: out.From, Queue: queue})
	if err != nil {
		return out, err
	}
	for _, t := range ts {
		if i := int(t.At.Sub(out.From) / r.step); !t.At.Before(out.From) && i < n {
			out.Points[i].add(t)
		}
	}
	for i := range out.Points {
		p := &out.Points[i]
		p.Ran50, p.Ran95 = quantile(p.ran, 0.5), quantile(p.ran, 0.95)
		p.Waited50, p.Waited95 = quantile(p.waited, 0.5), quantile(p.waited, 0.95)
	}
	return out, nil
}

func (p *historyPoint) add(t engine.Tally) {
	switch t.Kind {
	case engine.HistorySucceeded:
		p.Succeeded += t.Tasks
	case engine.HistoryFailed:
		p.Failed += t.Tasks
	case engine.HistoryCancelled:
		p.Cancelled += t.Tasks
	case engine.HistoryRetried:
		p.Retried += t.Tasks
	}
	what, most, ok := engine.HistoryTimes(t.Kind)
	if !ok {
		return
	}
	to := &p.ran
	if what == engine.HistoryWaited {
		to = &p.waited
	}
	if *to == nil {
		*to = make(map[time.Duration]int64)
	}
	(*to)[most] += t.Tasks
}

func (p *historyPoint) ended() int64 { return p.Succeeded + p.Failed + p.Cancelled }

// quantile guesses, in milliseconds, which time a share of the tasks did not
// exceed, from how many there are in each class.
func quantile(classes map[time.Duration]int64, share float64) float64 {
	var all int64
	var tops []time.Duration
	for top, n := range classes {
		all += n
		tops = append(tops, top)
	}
	slices.Sort(tops)
	left := share * float64(all)
	for _, top := range tops {
		n := float64(classes[top])
		if left <= n && n > 0 {
			low := float64(top) / 2
			if top == time.Millisecond {
				low = 0
			}
			return (low + (float64(top)-low)*left/n) / float64(time.Millisecond)
		}
		left -= n
	}
	return 0
}

// pace is how often something happens now and before, in a minute.
type pace struct {
	Now, Before float64
	known       bool
}

const (
	// paceNow is the time that counts as now, and paceBefore the time before it.
	paceNow    = 10 * time.Minute
	paceBefore = 50 * time.Minute
)

// failing is how often tasks failed for good in the last minutes, and before, by
// the history.
func (out *historyOut) failing() pace {
	var p pace
	minutes := int(paceNow / time.Minute)
	for i, point := range out.Points {
		if len(out.Points)-i <= minutes {
			p.Now += float64(point.Failed) / paceNow.Minutes()
		} else {
			p.Before += float64(point.Failed) / paceBefore.Minutes()
		}
		p.known = p.known || point.ended() > 0
	}
	return p
}

// text is a pace for people.
func (p pace) text() string {
	if !p.known {
		return ""
	}
	return fmt.Sprintf("%s a minute, %s in the hour before", rate(p.Now), rate(p.Before))
}

// rate writes a number a minute.
func rate(n float64) string {
	switch {
	case n == 0:
		return "none"
	case n < 0.1:
		return "fewer than 0.1"
	case n < 10:
		return fmt.Sprintf("%.1f", n)
	}
	return number(int64(n + 0.5))
}

// historyPage draws a history.
type historyPage struct {
	Ranges []tab
	Queues []tab // where queues are counted by themselves
	Known  bool  // somebody has counted
	Totals []labelled
	Ended  *plot
	Ran    *plot
	Waited *plot
}

// historyQueues are the queues to choose from, none for a range of minutes.
func (q *request) historyQueues(in *historyIn) (queues []tab) {
	i := slices.IndexFunc(historyRanges, func(r historyRange) bool { return r.Name == in.Range })
	if i < 0 || historyRanges[i].kept == time.Minute {
		return nil
	}
	queues = append(queues, tab{"All queues", "history?range=" + in.Range, in.Queue == ""})
	names, _ := q.known()
	for _, name := range names[:min(len(names), 30)] {
		queues = append(queues, tab{clean(name, maxName), "history?" + urlQuery("range", in.Range, "queue", name), in.Queue == name})
	}
	return queues
}

func (q *request) historyPage() (*view, error) {
	in := new(historyIn)
	if err := q.decode(in); err != nil {
		return nil, err
	}
	out, err := q.history(in)
	if err != nil && !errors.Is(err, runtime.ErrUnsupported) {
		return nil, err
	}
	p := &historyPage{}
	for _, r := range historyRanges {
		p.Ranges = append(p.Ranges, tab{r.Label, "history?range=" + r.Name, r.Name == in.Range})
	}
	p.Queues = q.historyQueues(in)
	var sum historyPoint
	for _, point := range out.Points {
		sum.Succeeded, sum.Failed = sum.Succeeded+point.Succeeded, sum.Failed+point.Failed
		sum.Cancelled, sum.Retried = sum.Cancelled+point.Cancelled, sum.Retried+point.Retried
	}
	p.Known = sum.ended()+sum.Retried > 0
	p.Totals = []labelled{
		{"succeeded", number(sum.Succeeded)}, {"failed", number(sum.Failed)},
		{"retried", number(sum.Retried)}, {"cancelled", number(sum.Cancelled)},
	}
	p.Ended = out.endedPlot(q.now)
	if in.Queue != "" {
		return &view{Title: "History", Nav: "history", Template: "history", Live: q.h.allEvents(), Data: p}, nil
	}
	p.Ran = out.timesPlot("How long runs took", q.now, func(p *historyPoint) (float64, float64) { return p.Ran50, p.Ran95 })
	p.Waited = out.timesPlot("How long tasks waited for their first run", q.now,
		func(p *historyPoint) (float64, float64) { return p.Waited50, p.Waited95 })
	return &view{Title: "History", Nav: "history", Template: "history", Live: q.h.allEvents(), Data: p}, nil
}
