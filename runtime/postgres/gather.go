package postgres

import (
	"context"
	"fmt"
	goruntime "runtime"
	"slices"
	"sync"
	"time"

	"github.com/taskctx/taskctx/runtime"
)

// maxGathered is how many tasks are stored together at most. A call with more
// goes alone.
const maxGathered = 256

// leaders is how many statements of gathered calls run at a time.
const leaders = 1

// spins is how often the goroutine that stores lets others run before it looks
// for calls again: those that it has just answered are often followed by more.
const spins = 20

// inDoubt is how long a caller whose context has ended waits to learn whether
// its tasks were stored.
const inDoubt = time.Second

// gatherer stores the tasks of calls that come at the same time with one
// statement and one commit: while a statement is under way, calls wait, and the
// next one takes all of them.
type gatherer struct {
	e *Engine

	mu      sync.Mutex // guards all below
	waiting []*call
	running int // goroutines that store
	stored  sync.WaitGroup
}

// call is one call of Insert.
type call struct {
	l    *lot
	done chan struct{} // closed when ins or err is set
	ins  []runtime.Inserted
	err  error
	ride *ride // guarded by gatherer.mu: the statement that stores it
}

// ride is one statement for several calls. It is given up when all callers have.
type ride struct {
	left   int // guarded by gatherer.mu: callers that still want it
	cancel context.CancelFunc
}

// insert stores a small lot without keys.
func (g *gatherer) insert(ctx context.Context, l *lot) ([]runtime.Inserted, error) {
	c := &call{l: l, done: make(chan struct{})}
	g.mu.Lock()
	g.waiting = append(g.waiting, c)
	if g.running < leaders {
		g.running++
		g.stored.Go(g.work)
	}
	g.mu.Unlock()
	select {
	case <-c.done:
		return c.ins, c.err
	case <-ctx.Done():
		return g.giveUp(ctx, c)
	}
}

// giveUp ends a call whose context has ended.
func (g *gatherer) giveUp(ctx context.Context, c *call) ([]runtime.Inserted, error) {
	g.mu.Lock()
	if c.ride == nil {
		g.waiting = slices.DeleteFunc(g.waiting, func(w *call) bool { return w == c })
		g.mu.Unlock()
		return nil, context.Cause(ctx)
	}
	if c.ride.left--; c.ride.left == 0 {
		c.ride.cancel()
	}
	g.mu.Unlock()
	t := time.NewTimer(inDoubt)
	defer t.Stop()
	select {
	case <-c.done:
		return c.ins, c.err
	case <-t.C:
		return nil, fmt.Errorf("it is not known whether the tasks were stored: %w", context.Cause(ctx))
	}
}

// work stores what waits, until nothing does.
func (g *gatherer) work() {
	for {
		g.mu.Lock()
		calls := g.take()
		if len(calls) == 0 {
			g.running--
			g.mu.Unlock()
			return
		}
		ctx, cancel := context.WithCancel(g.e.closing)
		r := &ride{left: len(calls), cancel: cancel}
		for _, c := range calls {
			c.ride = r
		}
		g.mu.Unlock()
		g.store(ctx, calls)
		cancel()
		for _, c := range calls {
			close(c.done)
		}
		if len(calls) > 1 {
			for range spins {
				goruntime.Gosched()
			}
		}
	}
}

// take takes calls for one statement, with the lock held.
func (g *gatherer) take() []*call {
	n, size := 0, 0
	for n < len(g.waiting) && (n == 0 || size+g.waiting[n].l.len() <= maxGathered) {
		size += g.waiting[n].l.len()
		n++
	}
	calls := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	return calls
}

// store stores the calls together. When the server refuses a value, each is
// stored alone, so that only its own caller hears of it.
func (g *gatherer) store(ctx context.Context, calls []*call) {
	l := calls[0].l
	if len(calls) > 1 {
		l = new(lot)
		for _, c := range calls {
			l.join(c.l)
		}
	}
	ins, err := g.e.store(ctx, pgxDB{g.e.pool}, l)
	if err != nil && len(calls) > 1 && badData(err) {
		for _, c := range calls {
			c.ins, c.err = g.e.store(ctx, pgxDB{g.e.pool}, c.l)
		}
		return
	}
	for _, c := range calls {
		if c.err = err; err == nil {
			c.ins, ins = ins[:c.l.len():c.l.len()], ins[c.l.len():]
		}
	}
}
