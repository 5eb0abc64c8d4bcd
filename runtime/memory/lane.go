package memory

import (
	"math/bits"
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// maxLanes is how many lanes are remembered.
const maxLanes = 4096

// laneKey decides which workers can run a task.
type laneKey struct{ queue, name string }

// laneIndex finds the group of a task. A lane is a pair of a queue and a name.
// Lanes of a queue that the same workers can run share a group. So a worker
// has few groups to choose from, however many names there are, and never looks
// at a task that it cannot run.
type laneIndex struct {
	groups    map[groupKey]*group
	scattered []*group // dissolved ones, whose tasks move to others by and by
	parked    []*group // those without a worker for them, of queues that some serve
	lanes     map[laneKey]*group
	paused    []engine.Pause
	lastKey   laneKey // the last key looked up, and its group
	last      *group
}

type groupKey struct {
	queue string
	able  string // the workers that can run its tasks: a byte for each worker; or pausedQueue, pausedName
}

// group holds the due tasks of one queue that the same workers can run, in the
// order in which they are to run: by priority, then due time, then insertion.
type group struct {
	queue  string
	names  map[string]struct{} // of its lanes; nil once they are too many
	serves []*serve            // the workers that can run the tasks,
	at     []int               // its place in the ready of each of them, -1 if none
	first  *task               // the task to run next, nil if there is none
	turn   int                 // which of the serves to wake next
	n      int
	levels uint // bit p is set if there are tasks of priority p
	fifo   [engine.Priorities]list
	heap   [engine.Priorities]taskHeap // those that were not pushed in order

	// parkFor is how long the tasks wait for a worker that can run them, if
	// some serve the queue but none can. Zero is for ever.
	parkFor time.Duration
	paused  bool // their names are
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
	if len(x.lanes) >= maxLanes {
		x.prune()
	}
	if x.lanes == nil {
		x.lanes, x.groups = make(map[laneKey]*group), make(map[groupKey]*group)
	}
	key := x.keyOf(lane, serves)
	g := x.groups[key]
	if g == nil {
		g = &group{queue: lane.queue, names: make(map[string]struct{})}
		x.add(g, key, serves)
	}
	x.lanes[lane] = g
	if g.names != nil {
		g.names[lane.name] = struct{}{}
		if len(g.names) > maxLanes {
			g.names = nil
		}
	}
	return g
}

// keyOf returns the key of the group to which the lane belongs.
func (x *laneIndex) keyOf(lane laneKey, serves []*serve) groupKey {
	switch {
	case len(x.paused) == 0:
	case engine.Holds(x.paused, lane.queue, ""):
		return groupKey{lane.queue, pausedQueue}
	case engine.Holds(x.paused, "", lane.name):
		return groupKey{lane.queue, pausedName}
	}
	able := make([]byte, len(serves))
	for i, s := range serves {
		if s.serves(lane.queue) && s.w.Knows(lane.name) {
			able[i] = 1
		}
	}
	return groupKey{lane.queue, string(able)}
}

// add makes g the group of the key.
func (x *laneIndex) add(g *group, key groupKey, serves []*serve) {
	x.groups[key] = g
	g.serves, g.at, g.turn, g.parkFor = nil, nil, 0, 0
	g.paused = key.able == pausedName
	if g.paused || key.able == pausedQueue {
		return
	}
	served, forever := false, false
	for i, s := range serves {
		if key.able[i] == 1 {
			g.serves, g.at = append(g.serves, s), append(g.at, -1)
			s.groups[g.queue]++
			if s.groups[g.queue] == 2 {
				s.shared++
			}
			g.fix(len(g.serves) - 1)
		}
		if s.serves(g.queue) {
			served = true
			g.parkFor = max(g.parkFor, s.w.ParkFor)
			forever = forever || s.w.ParkFor <= 0
		}
	}
	if !served || forever || len(g.serves) > 0 {
		g.parkFor = 0
		return
	}
	x.parked = append(x.parked, g)
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
		for _, s := range g.serves {
			if s.groups[g.queue]--; s.groups[g.queue] == 1 {
				s.shared--
			}
			if s.groups[g.queue] == 0 {
				delete(s.groups, g.queue)
			}
		}
	}
	x.parked = slices.DeleteFunc(x.parked, func(g *group) bool { return g.n == 0 })
}

// regroup finds new groups for all due tasks, since the workers have changed.
// Mostly a group stays together, and then no task is touched.
func (e *Engine) regroup() {
	old := e.lanes.groups
	e.lanes = laneIndex{
		lanes: make(map[laneKey]*group), groups: make(map[groupKey]*group),
		scattered: e.lanes.scattered, paused: e.lanes.paused,
	}
	for _, s := range e.serves {
		s.groups, s.shared, s.ready.items = make(map[string]int), 0, nil
	}
	var split []*task
	for _, g := range old {
		if g.n == 0 {
			continue
		}
		if key, one := e.lanes.keyOfAll(g, e.serves); one && e.lanes.groups[key] == nil {
			e.lanes.add(g, key, e.serves)
			continue
		}
		if g.n > lotTasks {
			g.serves, g.at, g.parkFor, g.paused = nil, nil, 0, false
			e.lanes.scattered = append(e.lanes.scattered, g)
			continue
		}
		g.serves, g.at = nil, nil
		for g.n > 0 {
			t := g.head()
			g.remove(t)
			split = append(split, t)
		}
	}
	for _, t := range split {
		e.lanes.group(t.msg.Queue, t.msg.Name, e.serves).insert(t)
	}
}

// keyOfAll returns the key of the group to which all lanes of g belong now;
// false if they no longer share one.
func (x *laneIndex) keyOfAll(g *group, serves []*serve) (key groupKey, one bool) {
	for name := range g.names {
		k := x.keyOf(laneKey{g.queue, name}, serves)
		if one && k != key {
			return key, false
		}
		key, one = k, true
	}
	return key, one
}

// push adds a due task that comes after the others of its group and priority,
// in time as well.
func (g *group) push(t *task) {
	t.group, t.place = g, inFifo
	g.fifo[t.msg.Priority].push(t)
	g.n++
	g.levels |= 1 << t.msg.Priority
	g.changed()
}

// insert adds a due task at its place.
func (g *group) insert(t *task) {
	t.group, t.place = g, inHeap
	g.heap[t.msg.Priority].push(t)
	g.n++
	g.levels |= 1 << t.msg.Priority
	g.changed()
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
		g.heap[p].remove(int(t.pos))
	}
	t.group, t.place = nil, nowhere
	g.n--
	if g.fifo[p].n == 0 && len(g.heap[p].items) == 0 {
		g.levels &^= 1 << p
	}
	g.changed()
}

// longest returns the task that has been due longest.
func (g *group) longest() *task {
	var first *task
	for p := range engine.Priorities {
		for _, t := range [2]*task{g.fifo[p].head, g.heap[p].top()} {
			if t != nil && (first == nil || t.before(first)) {
				first = t
			}
		}
	}
	return first
}
