package web

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// plot is a history as a page draws it: bars of several parts, or lines.
type plot struct {
	Title         string
	Width, Height int
	Parts         []plotPart
	Lines         []plotLine
	Hovers        []hover // what each step was, for the pointer
	Label         string  // for those who do not see it
	From          moment
	Most          string // at the upper edge
	Step          string
}

// plotPart is a part of a bar.
type plotPart struct {
	X, Y, Height int
	Class        string
}

// plotLine is a line through the steps that have a value.
type plotLine struct{ Class, Points string }

// hover is the text of a step.
type hover struct {
	X     int
	Title string
}

const (
	// plotHeight is how high a plot is, and plotStep how wide a step of it.
	plotHeight, plotStep = 120, 10
)

func (out *historyOut) plot(title string, now time.Time) *plot {
	step := time.Duration(out.Step) * time.Second
	return &plot{
		Title: title, Width: plotStep * max(len(out.Points), 1), Height: plotHeight, From: at(out.From, now), Step: span(step),
	}
}

// stamp is when a step begins.
func (out *historyOut) stamp(i int) string {
	return out.From.Add(time.Duration(i*out.Step) * time.Second).Format("2006-01-02 15:04 UTC")
}

// endedPlot draws how many tasks ended, and how.
func (out *historyOut) endedPlot(now time.Time) *plot {
	p := out.plot("Tasks that ended", now)
	var most, all, failed int64
	for i := range out.Points {
		most, all, failed = max(most, out.Points[i].ended()), all+out.Points[i].ended(), failed+out.Points[i].Failed
	}
	p.Most = number(most)
	p.Label = fmt.Sprintf("%s tasks ended since %s, %s of them failed; at most %s in %s",
		number(all), out.stamp(0), number(failed), p.Most, p.Step)
	for i := range out.Points {
		point := &out.Points[i]
		if point.ended() == 0 {
			continue
		}
		y := plotHeight
		for _, part := range []struct {
			class string
			n     int64
		}{{"succeeded", point.Succeeded}, {"cancelled", point.Cancelled}, {"failed", point.Failed}} {
			if part.n == 0 {
				continue
			}
			h := max(int(plotHeight*part.n/most), 2)
			y = max(y-h, 0)
			p.Parts = append(p.Parts, plotPart{plotStep * i, y, h, "p-" + part.class})
		}
		p.Hovers = append(p.Hovers, hover{plotStep * i, fmt.Sprintf("%s: %s succeeded, %s failed, %s cancelled",
			out.stamp(i), number(point.Succeeded), number(point.Failed), number(point.Cancelled))})
	}
	return p
}

// timesPlot draws the medians and the 95th percentiles of times.
func (out *historyOut) timesPlot(title string, now time.Time, of func(p *historyPoint) (p50, p95 float64)) *plot {
	p := out.plot(title, now)
	most := 0.0
	for i := range out.Points {
		_, p95 := of(&out.Points[i])
		most = max(most, p95)
	}
	p.Most = milliseconds(most)
	p.Label = title + " since " + out.stamp(0) + ": for nineteen of twenty at most " + p.Most
	if most == 0 {
		return p
	}
	lines := [...]struct {
		class  string
		points strings.Builder
	}{{class: "p-95"}, {class: "p-50"}} // the lower one is drawn over the higher
	flush := func() {
		for i := range lines {
			if l := &lines[i]; l.points.Len() > 0 {
				p.Lines = append(p.Lines, plotLine{l.class, strings.TrimSpace(l.points.String())})
				l.points.Reset()
			}
		}
	}
	for i := range out.Points {
		p50, p95 := of(&out.Points[i])
		if p95 == 0 {
			flush()
			continue
		}
		for k, v := range [...]float64{p95, p50} {
			y := strconv.Itoa(plotHeight - int((plotHeight-4)*v/most) - 1)
			for _, x := range []int{plotStep * i, plotStep*i + plotStep} { // a step of it, so that one alone is seen
				lines[k].points.WriteString(strconv.Itoa(x) + "," + y + " ")
			}
		}
		p.Hovers = append(p.Hovers, hover{
			plotStep * i, out.stamp(i) + ": half within " + milliseconds(p50) + ", 95% within " + milliseconds(p95),
		})
	}
	flush()
	return p
}

// milliseconds writes a time of a history.
func milliseconds(ms float64) string {
	if ms > 0 && ms < 1 {
		return "under 1 ms"
	}
	return span(time.Duration(ms * float64(time.Millisecond)))
}
