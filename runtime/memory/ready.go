package memory

// readyHeap is the groups with tasks that a worker can run, by the first task
// in each. So a worker of thousands of queues finds its next task as fast as
// one of a single queue.
type readyHeap = heap[*group, byFirst]

// byFirst keeps the position of a group for its worker, of which it may have many.
type byFirst struct{ s *serve }

func (byFirst) before(g, o *group) bool { return g.first.before(o.first) }

func (b byFirst) at(g *group, pos int) {
	for i, s := range g.serves {
		if s == b.s {
			g.at[i] = pos
			return
		}
	}
}

// changed must be called when tasks were added to the group or taken out of
// it.
func (g *group) changed() {
	first := g.head()
	if first == g.first {
		return
	}
	g.first = first
	for i := range g.serves {
		g.fix(i)
	}
}

// fix puts the group in its place for the worker with an index in its serves.
func (g *group) fix(i int) {
	h, pos := &g.serves[i].ready, g.at[i]
	switch {
	case g.first == nil && pos < 0:
	case g.first == nil:
		h.remove(pos)
	case pos < 0:
		h.push(g)
	default:
		h.fix(pos)
	}
}
