package memory

import (
	"cmp"
	"slices"

	"github.com/taskctx/taskctx/runtime/engine"
)

// maxFew is up to how many tasks that run, or have ended badly, are looked at for a
// page of them, and not all tasks in their order; maxLater is that for those that wait
// for their time.
const (
	maxFew   = 4_096
	maxLater = 16_384
)

// few returns the tasks of the states after the page's position, in its order, and
// whether they are few enough. The caller holds the lock.
func (e *Engine) few(p *page) (rows []orderRow, ok bool) {
	running, ended, later := false, false, false
	for _, s := range p.query.States {
		switch s {
		case engine.StateRunning:
			running = true
		case engine.StateFailed, engine.StateCancelled:
			ended = true
		case engine.StateScheduled:
			later = true
		default:
			return nil, false
		}
	}
	if ended && e.ended.n > maxFew || later && len(e.later.items) > maxLater || !running && !ended && !later {
		return nil, false
	}
	add := func(t *task) {
		if p.query.Newest && t.seq < p.after || !p.query.Newest && t.seq > p.after {
			rows = append(rows, orderRow{t.seq, t.id})
		}
	}
	if ended {
		for t := e.ended.head; t != nil; t = t.next {
			add(t)
		}
	}
	if later {
		for _, t := range e.later.items {
			add(t)
		}
	}
	if running && !e.running(add) {
		return nil, false
	}
	slices.SortFunc(rows, func(x, y orderRow) int { return cmp.Compare(x.seq, y.seq) })
	if p.query.Newest {
		slices.Reverse(rows)
	}
	return rows, true
}

// running calls add for each task that runs, unless there are many, or some run of a
// worker that is about to leave.
func (e *Engine) running(add func(*task)) bool {
	left := int64(0)
	for _, c := range e.tallies.all {
		left += c.n[showRunning]
	}
	if left > maxFew {
		return false
	}
	for _, s := range e.serves {
		for _, h := range s.hands {
			if h.run != nil && h.run.t.owner == h.run {
				left--
				add(h.run.t)
			}
		}
	}
	return left == 0
}
