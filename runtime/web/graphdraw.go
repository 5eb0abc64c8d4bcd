package web

import (
	"fmt"
	"slices"
)

const (
	boxWidth, boxHeight = 190, 44
	boxGapX, boxGapY    = 70, 14
	// boxText is how many characters of a name fit into a box.
	boxText = 24
	// graphDepth is how many columns of tasks there are at most.
	graphDepth = 5
)

// draw lays the graph out: queues in the first column, then tasks that no other
// enqueues, then those that they enqueue, and so on.
func (p *graphPage) draw(out *graphOut) {
	depth := out.depths()
	columns := make([]int, graphDepth+1) // how many boxes each has
	place := func(column int) (x, y int) {
		y = 8 + columns[column]*(boxHeight+boxGapY)
		columns[column]++
		return 8 + column*(boxWidth+boxGapX), y
	}
	type spot struct{ x, y int }
	queues, tasks := make(map[string]spot), make(map[string]spot)
	for _, queue := range out.queues() {
		x, y := place(0)
		queues[queue] = spot{x, y}
		p.box(x, y, "g-queue", queue, "queue", filterLink(filter{Queue: queue}))
	}
	for column := range graphDepth {
		for i := range out.Names {
			n := &out.Names[i]
			if depth[n.Name] != column {
				continue
			}
			x, y := place(column + 1)
			tasks[n.Name] = spot{x, y}
			note, class := many(int64(n.tasks()), "task"), "g-task"
			if len(n.Schedules) > 0 {
				note += ", scheduled"
			}
			if n.Workers == 0 && !n.Here {
				class, note = "g-task g-gone", note+", no worker"
			}
			p.box(x, y, class, n.Name, note, filterLink(filter{Name: n.Name}))
		}
	}
	for i := range out.Names {
		n := &out.Names[i]
		for queue := range n.Queues {
			p.line(queues[queue].x, queues[queue].y, tasks[n.Name].x, tasks[n.Name].y, "g-of", queue+" → "+n.Name)
		}
	}
	for _, e := range out.Edges {
		from, ok := tasks[e.From]
		to, ok2 := tasks[e.To]
		if ok && ok2 {
			p.line(from.x, from.y, to.x, to.y, "g-calls", fmt.Sprintf("%s → %s: %s", e.From, e.To, many(int64(e.Tasks), "task")))
		}
	}
	slices.SortFunc(p.Lines, func(x, y graphLine) int { // the same at each look
		if x.Path < y.Path {
			return -1
		}
		return 1
	})
	most, used := 0, 1
	for i, n := range columns {
		if most = max(most, n); n > 0 {
			used = i + 1
		}
	}
	p.Width, p.Height = 16+used*(boxWidth+boxGapX)-boxGapX, 16+max(most, 1)*(boxHeight+boxGapY)-boxGapY
}

// queues are the queues of the names that are shown.
func (out *graphOut) queues() (queues []string) {
	for i := range out.Names {
		for queue := range out.Names[i].Queues {
			queues = append(queues, queue)
		}
	}
	slices.Sort(queues)
	return slices.Compact(queues)
}

// depths are how far each task is from one that no other enqueues, along the
// shortest way.
func (out *graphOut) depths() map[string]int {
	depth := make(map[string]int, len(out.Names))
	called := make(map[string]bool)
	for _, e := range out.Edges {
		if e.From != e.To {
			called[e.To] = true
		}
	}
	var next []string
	for i := range out.Names {
		if name := out.Names[i].Name; !called[name] {
			depth[name], next = 0, append(next, name)
		}
	}
	for len(next) > 0 {
		name := next[0]
		next = next[1:]
		for _, e := range out.Edges {
			if _, seen := depth[e.To]; e.From == name && !seen {
				depth[e.To], next = min(depth[name]+1, graphDepth-1), append(next, e.To)
			}
		}
	}
	return depth // those of a circle are at 0
}

func (p *graphPage) box(x, y int, class, name, note, link string) {
	label := clean(name, maxName)
	if r := []rune(label); len(r) > boxText {
		label = string(r[:boxText-1]) + "…"
	}
	p.Boxes = append(p.Boxes, graphBox{
		X: x, Y: y, Width: boxWidth, Height: boxHeight, TextX: x + 14, TextY: y + 19, NoteY: y + 35, Class: class,
		Label: label, Note: note, Title: clean(name, maxName), Link: link,
	})
}

func (p *graphPage) line(x1, y1, x2, y2 int, class, title string) {
	y1, y2 = y1+boxHeight/2, y2+boxHeight/2
	x1 += boxWidth
	path := fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, x1+boxGapX/2, y1, x2-boxGapX/2, y2, x2, y2)
	if x2 <= x1-boxWidth { // back, or to itself: around below
		path = fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, x1+boxGapX/2, y1+boxHeight, x2-boxGapX/2, y2+boxHeight, x2, y2)
	}
	p.Lines = append(p.Lines, graphLine{Path: path, Class: class, Title: clean(title, maxLine)})
}
