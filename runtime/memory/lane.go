package memory

import (
	"cmp"
	"math/bits"
	"slices"
	"time"
)

// priorities is how many levels of priority there are.
const priorities = 4

// maxLanes is how many lanes may exist before those without tasks are dropped.
const maxLanes = 4096

// laneKey is what decides who can run a task.
type laneKey struct{ queue, name string }

// laneIndex finds the group of a task. A lane is a pair of a queue and a name;
// the lanes of a queue that the same workers can run share a group, so that a
// worker has few groups to choose from, however many names there are, and never
// looks at a task that it cannot run.
type laneIndex struct {
	lanes   map[laneKey]*group
	groups  []*group
	lastKey laneKey // what was looked up last, and what was found
	last    *group
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

	// While no worker knows the names but some serve the queue: how long the
	// tasks may wait for one, and whether there is such a limit.
	parkFor time.Duration
	parks   bool
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

func (x *laneIndex) open(key laneKey, serves []*serve) *group {
	var able []*serve
	var parkFor time.Duration
	served, parks := false, true
	for _, s := range serves {
		if !s.serves(key.queue) {
			continue
		}
		served = true
		if s.w.Knows(key.name) {
			able = append(able, s)
		}
		parkFor = max(parkFor, s.w.ParkFor)
		parks = parks && s.w.ParkFor > 0
	}
	parks = parks && served && len(able) == 0
	if len(x.lanes) >= maxLanes {
		x.prune()
	}
	if x.lanes == nil {
		x.lanes = make(map[laneKey]*group)
	}
	for _, g := range x.groups {
		if g.queue == key.queue && slices.Equal(g.serves, able) {
			x.lanes[key] = g
			return g
		}
	}
	g := &group{queue: key.queue, serves: able, parkFor: parkFor, parks: parks}
	x.groups = append(x.groups, g)
	for _, s := range able {
		s.groups = append(s.groups, g)
	}
	x.lanes[key] = g
	return g
}

// prune drops the lanes whose groups hold no task.
func (x *laneIndex) prune() {
	for key, g := range x.lanes {
		if g.n == 0 {
			delete(x.lanes, key)
		}
	}
	x.groups = slices.DeleteFunc(x.groups, func(g *group) bool {
		if g.n > 0 {
			return false
		}
		for _, s := range g.serves {
			s.groups = slices.DeleteFunc(s.groups, func(o *group) bool { return o == g })
		}
		return true
	})
	x.last = nil
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
