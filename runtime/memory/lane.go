package memory

import (
	"cmp"
	"math/bits"
	"slices"
	"time"
)

// priorities is how many levels of priority there are.
const priorities = 4

// maxLanes is how many lanes are remembered.
const maxLanes = 4096

// laneKey is what decides who can run a task.
type laneKey struct{ queue, name string }

// laneIndex finds the group of a task. A lane is a pair of a queue and a name;
// the lanes of a queue that the same workers can run share a group, so that a
// worker has few groups to choose from, however many names there are, and never
// looks at a task that it cannot run.
type laneIndex struct {
	groups  map[groupKey]*group
	parked  []*group // those that no worker can run, of queues that some serve
	lanes   map[laneKey]*group
	lastKey laneKey // what was looked up last, and what was found
	last    *group
}

type groupKey struct {
	queue string
	able  string // who can run its tasks: a byte for each worker
}

// group holds the due tasks of one queue that the same workers can run, in the
// order in which they are to run: by priority, then due time, then insertion.
type group struct {
	queue  string
	serves []*serve // who can run them
	turn   int      // which of the serves to wake next
	n      int
	levels uint // bit p is set if there are tasks of priority p
	fifo   [priorities]list
	heap   [priorities]taskHeap // those that were not pushed in order

	// If no worker can run the tasks but some serve the queue: how long they
	// may wait for one that can. Zero is for ever.
	parkFor time.Duration
}

// group returns the group of tasks of the queue and the name.
func (x *laneIndex) group(queue, name string, serves []*serve) *group {
	key := laneKey{queue, name}
	if x.last != nil && x.lastKey == key {
		return x.last
	}
	g := x.lanes[key]
	if g == nil {
		g = x.open(key, serves)
	}
	x.lastKey, x.last = key, g
	return g
}

// open finds or makes the group of a lane.
func (x *laneIndex) open(lane laneKey, serves []*serve) *group {
	g := &group{queue: lane.queue}
	able := make([]byte, len(serves))
	served, forever := false, false
	for i, s := range serves {
		if !s.serves(lane.queue) {
			continue
		}
		served = true
		if s.w.Knows(lane.name) {
			able[i] = 1
			g.serves = append(g.serves, s)
		}
		g.parkFor = max(g.parkFor, s.w.ParkFor)
		forever = forever || s.w.ParkFor <= 0
	}
	if len(x.lanes) >= maxLanes {
		x.prune()
	}
	if x.lanes == nil {
		x.lanes, x.groups = make(map[laneKey]*group), make(map[groupKey]*group)
	}
	key := groupKey{lane.queue, string(able)}
	if old := x.groups[key]; old != nil {
		x.lanes[lane] = old
		return old
	}
	x.groups[key], x.lanes[lane] = g, g
	switch {
	case !served || forever || len(g.serves) > 0:
		g.parkFor = 0
	default:
		x.parked = append(x.parked, g)
	}
	for _, s := range g.serves {
		s.groups = append(s.groups, g)
	}
	return g
}

// prune forgets all lanes, and the groups without tasks.
func (x *laneIndex) prune() {
	clear(x.lanes)
	x.last = nil
	for key, g := range x.groups {
		if g.n > 0 {
			continue
		}
		delete(x.groups, key)
		x.parked = without(x.parked, g)
		for _, s := range g.serves {
			s.groups = without(s.groups, g)
		}
	}
}

func without(gs []*group, g *group) []*group {
	return slices.DeleteFunc(gs, func(o *group) bool { return o == g })
}

// regroup sorts all due tasks into new groups, since the workers have changed.
func (e *Engine) regroup() {
	var ts []*task
	for _, g := range e.lanes.groups {
		for g.n > 0 {
			t := g.head()
			g.remove(t)
			ts = append(ts, t)
		}
	}
	e.lanes = laneIndex{}
	for _, s := range e.serves {
		s.groups = nil
	}
	slices.SortFunc(ts, func(a, b *task) int {
		if c := a.due.Compare(b.due); c != 0 {
			return c
		}
		return cmp.Compare(a.seq, b.seq)
	})
	for _, t := range ts {
		e.lanes.group(t.msg.Queue, t.msg.Name, e.serves).push(t)
	}
}

// push adds a task that is due, and that comes after the others of its group,
// its priority and its place in time.
func (g *group) push(t *task) {
	t.group, t.place = g, inFifo
	g.fifo[t.msg.Priority].push(t)
	g.n++
	g.levels |= 1 << t.msg.Priority
}

// insert adds a task that is due, wherever it belongs.
func (g *group) insert(t *task) {
	t.group, t.place = g, inHeap
	g.heap[t.msg.Priority].push(t)
	g.n++
	g.levels |= 1 << t.msg.Priority
}

// head returns the task to run next, nil if there is none.
func (g *group) head() *task {
	if g.levels == 0 {
		return nil
	}
	p := bits.Len(g.levels) - 1
	f, h := g.fifo[p].head, g.heap[p].top()
	if f == nil || h != nil && h.before(f) {
		return h
	}
	return f
}

func (g *group) remove(t *task) {
	p := t.msg.Priority
	if t.place == inFifo {
		g.fifo[p].remove(t)
	} else {
		g.heap[p].remove(t)
	}
	t.group, t.place = nil, nowhere
	g.n--
	if g.fifo[p].n == 0 && len(g.heap[p]) == 0 {
		g.levels &^= 1 << p
	}
}

// longest returns the task that has been due longest.
func (g *group) longest() *task {
	var first *task
	for p := range priorities {
		for _, t := range [2]*task{g.fifo[p].head, g.heap[p].top()} {
			if t != nil && (first == nil || t.before(first)) {
				first = t
			}
		}
	}
	return first
}
