package memory

// readyHeap is the groups with tasks that a worker can run, by the first task
// in each. So a worker of thousands of queues finds its next task as fast as
// one of a single queue.
type readyHeap struct {
	s  *serve
	gs []*group
}

// changed must be called when tasks were added to the group or taken out of
// it.
func (g *group) changed() {
	first := g.head()
	if first == g.first {
		return
	}
	g.first = first
	for i, s := range g.serves {
		s.ready.fix(g, i)
	}
}

// fix puts the group in its place; i is the worker's index in its serves.
func (h *readyHeap) fix(g *group, i int) {
	pos := g.at[i]
	switch {
	case g.first == nil && pos < 0:
		return
	case g.first == nil:
		last := len(h.gs) - 1
		h.swap(pos, last)
		h.gs[last] = nil
		h.gs = h.gs[:last]
		g.at[i] = -1
		if pos == last {
			return
		}
	case pos < 0:
		pos = len(h.gs)
		g.at[i] = pos
		h.gs = append(h.gs, g)
	}
	if !h.down(pos) {
		h.up(pos)
	}
}

func (h *readyHeap) before(i, j int) bool { return h.gs[i].first.before(h.gs[j].first) }

func (h *readyHeap) swap(i, j int) {
	h.gs[i], h.gs[j] = h.gs[j], h.gs[i]
	h.gs[i].move(h.s, i)
	h.gs[j].move(h.s, j)
}

// move notes the group's place in the worker's heap.
func (g *group) move(s *serve, pos int) {
	for i, o := range g.serves {
		if o == s {
			g.at[i] = pos
			return
		}
	}
}

func (h *readyHeap) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.before(i, parent) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h *readyHeap) down(i int) (moved bool) {
	for {
		child := 2*i + 1
		if child >= len(h.gs) {
			return moved
		}
		if r := child + 1; r < len(h.gs) && h.before(r, child) {
			child = r
		}
		if !h.before(child, i) {
			return moved
		}
		h.swap(i, child)
		i, moved = child, true
	}
}
