package memory

import (
	"context"
	"fmt"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.Limiter = (*Engine)(nil)

// gates are the limits of tasks that have not ended, by engine.Limit.Key, and
// the limits of SetLimit, by rule.
type gates struct {
	byKey map[string]*gate
	set   map[string]int
	rates rateHeap
}

// gate is one key of a limit. A task goes through the gates of its limits, one
// after the other, before it waits for a worker, and has a place in each until it
// has run. One that does not get a place waits in the gate. A gate that no task has
// to do with is forgotten.
type gate struct {
	engine.Limit // of the task that came first
	held         int
	waiting      gateHeap
	rate         // if the limit is one
}

// gateHeap is a heap in the order in which a gate lets tasks in.
type gateHeap = heap[*task, byTurn]

type byTurn struct{ posInTask }

func (byTurn) before(t, o *task) bool {
	if t.more.gate.Ordered {
		return t.turn() < o.turn()
	}
	if p, q := t.msg.Priority, o.msg.Priority; p != q {
		return p > q
	}
	return t.before(o)
}

// turn is the task's place in the gates that keep an order: a retry by hand comes
// after all others.
func (t *task) turn() uint64 { return max(t.seq, t.more.turn) }

func (g *gate) reason() string {
	if g.Per > 0 {
		if n := g.held + len(g.starts); n > 1 {
			return fmt.Sprintf("waits for %s: %d began or go first", g.Rule, n)
		}
		return fmt.Sprintf("waits for %s: one began or goes first", g.Rule)
	}
	if g.held == 1 {
		return fmt.Sprintf("waits for %s: one of its tasks goes first", g.Rule)
	}
	return fmt.Sprintf("waits for %s: %d of its tasks go first", g.Rule, g.held)
}

// gateOf returns the gate of a limit.
func (e *Engine) gateOf(l engine.Limit) *gate {
	if e.gates.byKey == nil {
		e.gates.byKey = make(map[string]*gate)
	}
	g := e.gates.byKey[l.Key]
	if g == nil {
		g = &gate{Limit: l}
		e.gates.byKey[l.Key] = g
	}
	return g
}

// open reports whether the gate has a place for a task with the limit.
func (g *gate) open(e *Engine, l engine.Limit) bool {
	most := g.most(e, l)
	if l.Per > 0 {
		return g.held+g.recent(e.now(), l.Spacing()) < most
	}
	return g.held < most
}

// most is how many places there are for tasks with the limit.
func (g *gate) most(e *Engine, l engine.Limit) int {
	if l.Ordered {
		return 1
	}
	if set, ok := e.gates.set[g.Rule]; ok {
		return set
	}
	return l.Most
}

// settle forgets a gate that nobody needs.
func (g *gate) settle(e *Engine) {
	if g.held == 0 && len(g.waiting.items) == 0 && len(g.starts) == 0 {
		e.lookNoMore(g)
		delete(e.gates.byKey, g.Key)
	}
}

// admitOrdered takes the task's place in the gates that keep an order, which it
// enters before it is due. It puts the task aside at the first that has none.
func (e *Engine) admitOrdered(t *task) bool {
	n := 0
	for n < len(t.msg.Limits) && t.msg.Limits[n].Ordered {
		n++
	}
	return e.admitTo(t, n)
}

// admitAll takes the task's places in all gates, or puts it aside.
func (e *Engine) admitAll(t *task) bool { return e.admitTo(t, len(t.msg.Limits)) }

func (e *Engine) admitTo(t *task, n int) bool {
	for i := len(t.extra().held); i < n; i++ {
		l := t.msg.Limits[i]
		g := e.gateOf(l)
		if len(g.waiting.items) > 0 || !g.open(e, l) {
			e.putAside(t, g)
			return false
		}
		g.held++
		t.more.held = append(t.more.held, g)
	}
	return true
}

// putAside makes a task wait in a gate.
func (e *Engine) putAside(t *task, g *gate) {
	t.more.gate, t.place = g, inGate
	g.waiting.push(t)
	if g.Per > 0 && (g.pos == 0 || len(g.waiting.items) == 1) {
		e.setRate(g)
	}
	if t.state == retrying {
		e.show(t, showRetrying)
	} else {
		e.show(t, showPending)
	}
}

// leaveGates gives up the task's places, those in gates that keep an order only
// when it has ended, and lets others in.
func (e *Engine) leaveGates(t *task, ended bool) {
	if t.msg.Limits == nil || t.more == nil {
		return
	}
	for i := len(t.more.held) - 1; i >= 0; i-- {
		g := t.more.held[i]
		if g.Ordered && !ended {
			break
		}
		t.more.held = t.more.held[:i]
		if g.Per > 0 && t.more.counted { // the place is that of the run, and no more the task's
			continue
		}
		g.held--
		e.letIn(g)
		g.settle(e)
	}
	t.more.counted = false
}

// letIn lets the first waiting tasks of the gate go on, while it has places. A
// task that nobody can run now waits for a worker without a place, so that it
// keeps no other from it.
func (e *Engine) letIn(g *gate) {
	for n := 0; ; n++ {
		t := g.waiting.top()
		if g.Per > 0 && (t == nil || n == lotTasks) {
			e.setRate(g)
			return
		}
		if t == nil {
			return
		}
		i := len(t.more.held)
		servable := g.Ordered || len(e.lanes.group(t.msg.Queue, t.msg.Name, e.serves).serves) > 0
		if servable && !g.open(e, t.msg.Limits[i]) {
			if g.Per > 0 {
				e.setRate(g)
			}
			return
		}
		g.waiting.remove(int(t.pos))
		t.more.gate, t.place = nil, nowhere
		if servable {
			g.held++
			t.more.held = append(t.more.held, g)
		}
		now := e.now()
		if !servable {
			e.leaveGates(t, false)
		}
		e.queue(t, false, now)
	}
}

// limited reports whether the task, which is due, lacks places: it waited while
// nobody could run it.
func (t *task) limited() bool {
	return t.msg.Limits != nil && len(t.extra().held) < len(t.msg.Limits)
}

// giveUpPlaces gives up the places of tasks that nobody can run any more.
func (e *Engine) giveUpPlaces() {
	if len(e.gates.byKey) == 0 {
		return
	}
	var ts []*task
	for _, g := range e.lanes.groups {
		if len(g.serves) > 0 {
			continue
		}
		for p := range engine.Priorities {
			for t := g.fifo[p].head; t != nil; t = t.next {
				ts = append(ts, t)
			}
			ts = append(ts, g.heap[p].items...)
		}
	}
	for _, t := range ts {
		e.leaveGates(t, false)
	}
}

// SetLimit implements [engine.Limiter].
func (e *Engine) SetLimit(_ context.Context, rule string, most int) error {
	e.lock()
	defer e.unlock()
	if e.closed {
		return engine.ErrClosed
	}
	if most < 0 {
		delete(e.gates.set, rule)
	} else {
		if e.gates.set == nil {
			e.gates.set = make(map[string]int)
		}
		e.gates.set[rule] = most
	}
	var gs []*gate
	for _, g := range e.gates.byKey {
		if g.Rule == rule {
			gs = append(gs, g)
		}
	}
	for _, g := range gs {
		e.letIn(g)
	}
	return nil
}

// Limits implements [engine.Limiter].
func (e *Engine) Limits(context.Context) ([]engine.LimitCount, error) {
	e.lock()
	defer e.unlock()
	if e.closed {
		return nil, engine.ErrClosed
	}
	byRule := make(map[string]*engine.LimitCount)
	of := func(rule string) *engine.LimitCount {
		c := byRule[rule]
		if c == nil {
			c = &engine.LimitCount{Rule: rule, Set: -1}
			byRule[rule] = c
		}
		return c
	}
	for rule, most := range e.gates.set {
		of(rule).Set = most
	}
	for _, g := range e.gates.byKey {
		c := of(g.Rule)
		c.Keys++
		c.Held += g.held
		if c.Per = g.Per; g.Per > 0 {
			c.Held += g.recent(e.now(), g.Spacing())
		}
		c.Waiting += len(g.waiting.items)
	}
	counts := make([]engine.LimitCount, 0, len(byRule))
	for _, c := range byRule {
		counts = append(counts, *c)
	}
	return counts, nil
}
