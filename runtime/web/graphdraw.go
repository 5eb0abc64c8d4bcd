package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const (
	boxWidth, boxHeight = 190, 44
	boxGapX, boxGapY    = 70, 14
	// laneHeight is the room of a line that passes a column.
	laneHeight = 12
	// boxText is how many characters of a name fit into a box, boxNote of what is below.
	boxText, boxNote = 24, 29
	// graphDepth is how many columns of tasks there are at most, graphLanes how many
	// lines pass columns between boxes: more go behind them.
	graphDepth, graphLanes = 5, 200
	// graphSweeps is how often columns are put into an order with fewer crossings.
	graphSweeps = 4
)

// slot is a place in a column: of a box, or of a line that passes.
type slot struct {
	column, y   int
	height      int
	before      []*slot // in the column before, that lines come from
	after       []*slot // in the column after, that lines go to
	place       int     // in its column
	near        float64 // where its neighbours are, in their column
	class, name string  // of a box, else empty
	note        string
}

// way is a line from one slot to another.
type way struct {
	slots        []*slot
	class, title string
}

// sketch is a graph while it is laid out.
type sketch struct {
	columns [graphDepth + 1][]*slot
	ways    []way
	lanes   int
}

func (k *sketch) add(s *slot) *slot {
	k.columns[s.column] = append(k.columns[s.column], s)
	return s
}

// connect leads a line from a slot to another: to one in a later column through a lane
// in each column between them.
func (k *sketch) connect(from, to *slot, class, title string) {
	w := way{[]*slot{from}, class, title}
	if between := to.column - from.column - 1; between > 0 && k.lanes+between <= graphLanes {
		for c := from.column + 1; c < to.column; c++ {
			w.slots = append(w.slots, k.add(&slot{column: c, height: laneHeight}))
		}
		k.lanes += between
	}
	w.slots = append(w.slots, to)
	if from.column < to.column {
		for i, s := range w.slots[1:] {
			w.slots[i].after, s.before = append(w.slots[i].after, s), append(s.before, w.slots[i])
		}
	}
	k.ways = append(k.ways, w)
}

// order puts each column into the order of its neighbours, back and forth.
func (k *sketch) order() {
	for _, column := range k.columns {
		numbered(column)
	}
	for sweep := range 2 * graphSweeps {
		for i := range k.columns {
			column, beside := k.columns[i], func(s *slot) []*slot { return s.before }
			if sweep%2 == 1 {
				column, beside = k.columns[len(k.columns)-1-i], func(s *slot) []*slot { return s.after }
			}
			for _, s := range column {
				s.near = float64(s.place)
				if n := beside(s); len(n) > 0 {
					s.near = 0
					for _, o := range n {
						s.near += float64(o.place) / float64(len(n))
					}
				}
			}
			slices.SortStableFunc(column, func(x, y *slot) int { return cmp.Compare(x.near, y.near) })
			numbered(column)
		}
	}
}

// numbered tells the slots of a column their places.
func numbered(column []*slot) {
	for i, s := range column {
		s.place = i
	}
}

// stack gives each slot its height in the picture, and returns that of the picture.
func (k *sketch) stack() (height int) {
	for _, column := range k.columns {
		y := 8
		for _, s := range column {
			s.y = y
			y += s.height + boxGapY
		}
		height = max(height, y-boxGapY+8)
	}
	return height
}

// drawing lays the sketch out.
func (k *sketch) drawing() drawing {
	k.order()
	d := drawing{Height: k.stack()}
	used := 1
	for i, column := range k.columns {
		for _, s := range column {
			used = i + 1
			if s.class != "" {
				d.Boxes = append(d.Boxes, s.box())
			}
		}
	}
	d.Width = 16 + used*(boxWidth+boxGapX) - boxGapX
	for _, w := range k.ways {
		d.Lines = append(d.Lines, graphLine{Path: pathOf(w.slots), Class: w.class, Title: clean(w.title, maxLine)})
	}
	return d
}

// draw is the picture of queues and tasks: queues in the first column, then tasks that
// no other enqueues, then those that they enqueue, and so on.
func (out *graphOut) draw() drawing {
	var k sketch
	queues, tasks := make(map[string]*slot), make(map[string]*slot)
	for _, queue := range out.queues() {
		queues[queue] = k.add(&slot{height: boxHeight, class: "g-queue", name: queue, note: "queue"})
	}
	depth := out.depths()
	for i := range out.Names {
		n := &out.Names[i]
		s := &slot{column: depth[n.Name] + 1, height: boxHeight, class: "g-task", name: n.Name}
		s.note = many(int64(n.tasks()), "task")
		if len(n.Schedules) > 0 {
			s.note += ", scheduled"
		}
		if n.Workers == 0 && !n.Here {
			s.class, s.note = "g-task g-gone", s.note+", no worker"
		}
		tasks[n.Name] = k.add(s)
	}
	for i := range out.Names {
		n := &out.Names[i]
		for _, queue := range n.queues() {
			k.connect(queues[queue], tasks[n.Name], "g-of", queue+" → "+n.Name)
		}
	}
	for _, e := range out.Edges {
		if from, to := tasks[e.From], tasks[e.To]; from != nil && to != nil {
			k.connect(from, to, "g-calls", fmt.Sprintf("%s → %s: %s", e.From, e.To, many(int64(e.Tasks), "task")))
		}
	}
	return k.drawing()
}

// queues are the queues of the task, sorted.
func (n *graphName) queues() []string {
	names := make([]string, 0, len(n.Queues))
	for queue := range n.Queues {
		names = append(names, queue)
	}
	slices.Sort(names)
	return names
}

// queues are the queues of the names that are shown.
func (out *graphOut) queues() (queues []string) {
	for i := range out.Names {
		queues = append(queues, out.Names[i].queues()...)
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

func (s *slot) x() int { return 8 + s.column*(boxWidth+boxGapX) }

func (s *slot) box() graphBox {
	return graphBox{
		X: s.x(), Y: s.y, Width: boxWidth, Height: boxHeight, TextX: s.x() + 14, TextY: s.y + 19, NoteY: s.y + 35, Class: s.class,
		Label: fitting(clean(s.name, maxName), boxText), Note: fitting(s.note, boxNote), Title: clean(s.name, maxName),
	}
}

// fitting is as much of a text as has room for so many characters.
func fitting(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

// pathOf is the line through slots: a curve from each to the next, straight past those
// between.
func pathOf(way []*slot) string {
	var b strings.Builder
	from := way[0]
	x, y := from.x()+boxWidth, from.y+from.height/2
	fmt.Fprintf(&b, "M%d %d", x, y)
	for _, to := range way[1:] {
		x2, y2, bend := to.x(), to.y+to.height/2, 0
		if to.column <= from.column { // back, or to itself: around below
			bend = boxHeight
		}
		fmt.Fprintf(&b, "C%d %d %d %d %d %d", x+boxGapX/2, y+bend, x2-boxGapX/2, y2+bend, x2, y2)
		if to.class == "" {
			x2 += boxWidth
			fmt.Fprintf(&b, "H%d", x2)
		}
		from, x, y = to, x2, y2
	}
	return b.String()
}
