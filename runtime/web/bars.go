package web

import (
	"fmt"
	"time"
)

// bars are numbers of tasks over time.
type bars struct {
	From time.Time `json:"from"`
	// Step is how long each number is of, in seconds.
	Step   int   `json:"step_s"`
	Counts []int `json:"counts"`
}

// maxBars is how many numbers there are at most.
const maxBars = 48

// steps are the lengths of time that a number may be of.
var steps = []time.Duration{
	time.Second, 5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour,
	6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 31 * 24 * time.Hour, 366 * 24 * time.Hour,
}

// newBars returns empty bars from a time to now.
func newBars(from, now time.Time) *bars {
	if from.After(now) {
		from = now
	}
	step := steps[len(steps)-1]
	for _, s := range steps {
		if now.Sub(from.Truncate(s)) < maxBars*s {
			step = s
			break
		}
	}
	b := &bars{From: from.Truncate(step).UTC(), Step: int(step / time.Second)}
	n := int(now.Sub(b.From)/step) + 1
	b.Counts = make([]int, min(max(n, 12), maxBars+1))
	return b
}

// add counts a task, if its time is among them.
func (b *bars) add(t time.Time) {
	if i := int(t.Sub(b.From) / (time.Duration(b.Step) * time.Second)); !t.Before(b.From) && i < len(b.Counts) {
		b.Counts[i]++
	}
}

// chart is bars as a page draws them.
type chart struct {
	Width  int
	Bars   []bar
	Label  string
	From   moment
	Most   string
	Step   string
	Height int
}

// bar is one of them.
type bar struct {
	X, Y, Height int
	Title        string
}

// chartHeight is how high the highest bar is drawn.
const chartHeight = 40

func (b *bars) chart(what string, now time.Time) *chart {
	if b == nil {
		return nil
	}
	most, all := 0, 0
	for _, n := range b.Counts {
		most, all = max(most, n), all+n
	}
	step := time.Duration(b.Step) * time.Second
	c := &chart{
		Width: 10 * len(b.Counts), Height: chartHeight, From: at(b.From, now), Most: number(int64(most)), Step: span(step),
		Label: fmt.Sprintf("%s %s since %s, at most %s in %s",
			number(int64(all)), what, b.From.Format("2006-01-02 15:04:05 UTC"), number(int64(most)), span(step)),
	}
	for i, n := range b.Counts {
		if n == 0 {
			continue
		}
		h := max(chartHeight*n/most, 1)
		c.Bars = append(c.Bars, bar{
			X: 10 * i, Y: chartHeight - h, Height: h,
			Title: number(int64(n)) + " from " + b.From.Add(time.Duration(i)*step).Format("2006-01-02 15:04:05 UTC"),
		})
	}
	return c
}
