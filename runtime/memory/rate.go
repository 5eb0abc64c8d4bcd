package memory

import (
	"sort"
	"time"
)

// rate is what a gate has beside its places if its limit is a rate: the runs that
// began. A run takes over the place of its task, and has it for Spacing.
type rate struct {
	starts []stamp // of the runs that may still count, oldest first
	at     stamp   // when it is to be looked at again,
	pos    int     // and its place in gates.rates, from 1; 0 if it is not there
}

// recent is how many of the runs that began count still, of those that count for
// the time.
func (r *rate) recent(now time.Time, spacing time.Duration) int {
	n := len(r.starts)
	at := stamp(now.UnixNano())
	for i := n - 1; i >= 0 && r.starts[i] > at; i-- {
		r.starts[i] = at // the clock was set back
	}
	return n - sort.Search(n, func(i int) bool { return r.starts[i] > at-stamp(spacing) })
}

// began counts the task's run, which begins now, under its rates.
func (e *Engine) began(t *task) {
	for _, g := range t.more.held {
		if g.Per == 0 {
			continue
		}
		now := stamp(e.now().UnixNano())
		if n := len(g.starts); n > 0 {
			now = max(now, g.starts[n-1])
		}
		g.held--
		g.starts = append(g.starts, now)
		t.more.counted = true
		if g.pos == 0 {
			e.setRate(g)
		}
	}
}

// setRate notes when to look at a gate with a rate again: when there is a place for
// the first task that waits, or else when it can be forgotten.
func (e *Engine) setRate(g *gate) {
	now := e.now()
	l := g.Limit
	if t := g.waiting.top(); t != nil {
		l = t.msg.Limits[len(t.more.held)]
	}
	spacing := stamp(max(l.Spacing(), g.Spacing()))
	over := len(g.starts) - g.recent(now, time.Duration(spacing))
	if g.starts = g.starts[over:]; len(g.starts) == 0 {
		g.starts = nil
	}
	at, n, most := stamp(now.UnixNano()), len(g.starts), g.most(e, l)
	waits := len(g.waiting.items) > 0 && most > 0
	switch i := n + g.held - most; {
	case waits && i < 0: // the rest of a lot
	case waits && i < n:
		at = g.starts[i] + spacing
	case waits:
		at += spacing
	case n > 0:
		at = g.starts[n-1] + spacing
	default:
		e.lookNoMore(g)
		return
	}
	e.lookAt(g, at)
	if g.pos == 1 {
		e.setAlarm(at.time(), now)
	}
}

// openRates lets in what waits for rates whose time has come, forgets those that
// nobody needs, and reports whether there are more.
func (e *Engine) openRates(now time.Time) (more bool) {
	for range lotTasks {
		g := e.gates.rates.top()
		if g == nil {
			return false
		}
		if g.at > stamp(now.UnixNano()) {
			e.setAlarm(g.at.time(), now)
			return false
		}
		e.lookNoMore(g)
		e.letIn(g)
		if g.pos == 0 {
			e.setRate(g)
		}
		g.settle(e)
	}
	return true
}

// rateHeap is the gates with rates, by when they are to be looked at.
type rateHeap = heap[*gate, byLook]

// byLook keeps the position from 1 on, so that a gate's is 0 outside.
type byLook struct{}

func (byLook) before(g, o *gate) bool { return g.at < o.at }
func (byLook) at(g *gate, pos int)    { g.pos = pos + 1 }

// lookAt puts the gate at its place among those with rates.
func (e *Engine) lookAt(g *gate, at stamp) {
	g.at = at
	if g.pos == 0 {
		e.gates.rates.push(g)
		return
	}
	e.gates.rates.fix(g.pos - 1)
}

// lookNoMore takes it out.
func (e *Engine) lookNoMore(g *gate) {
	if g.pos > 0 {
		e.gates.rates.remove(g.pos - 1)
	}
}
