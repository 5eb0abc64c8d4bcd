package remote

import (
	"context"
	goruntime "runtime"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// MaxGathered is how many tasks are stored together at most. A call with more
// must go without a Gatherer.
const MaxGathered = 256

// inDoubt is how long a caller whose context has ended waits to learn whether
// its tasks were stored.
const inDoubt = 100 * time.Millisecond

// Beyond returns the context of a request that stores the tasks of a caller with
// ctx: it ends when that has ended for as long as a caller waits in doubt. A
// request that ends sooner leaves open whether the tasks were stored, and costs
// its connection: while the next one is made ready, callers with little time
// would give up in their turn, and nothing be stored any more. It has a deadline if
// ctx has one: a client that waits for an answer may look at nothing else.
func Beyond(ctx context.Context) (beyond context.Context, cancel context.CancelFunc) {
	var end context.CancelFunc
	if deadline, ok := ctx.Deadline(); ok {
		beyond, end = context.WithDeadline(context.WithoutCancel(ctx), deadline.Add(inDoubt))
	} else {
		beyond, end = context.WithCancel(context.WithoutCancel(ctx))
	}
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(inDoubt, end) })
	return beyond, func() {
		stop()
		end()
	}
}

// Lot is the tasks of one call, or of several.
type Lot[L any] interface {
	Len() int
	// Join returns a new lot, of these tasks and then the others'.
	Join(others []L) L
}

// Gatherer stores the tasks of concurrent calls together: while the server
// stores some, calls wait, and then all of them go at once. A lone call is
// stored by its caller.
type Gatherer[L Lot[L]] struct {
	// Store stores a lot, all or none.
	Store func(ctx context.Context, l L) ([]engine.Inserted, error)
	// Own reports that an error is about one task. Lots that were stored
	// together are then stored one by one, so that only that task's caller
	// gets it.
	Own func(error) bool
	// Lost reports that after an error of Store the lot may or may not be
	// stored. Nil means every error of a context that has ended.
	Lost func(error) bool
	// IDs returns the ids that the tasks of a lot have if they are stored.
	IDs func(l L) []uuid.UUID
	// Closing ends when the engine is closed.
	Closing context.Context

	mu      sync.Mutex // guards all below
	waiting []*call[L]
	storing bool               // a caller or a goroutine is storing
	cancel  context.CancelFunc // ends the store call of a caller
	stored  sync.WaitGroup
}

// call is one call of Insert.
type call[L any] struct {
	l    L
	done chan struct{} // closed when ins or err is set
	ins  []engine.Inserted
	err  error
	ride *ride // guarded by Gatherer.mu: the calls stored together with it
}

// ride is several calls that are stored together. Its context ends when all
// callers have given up, in doubt.
type ride struct {
	left   int // guarded by Gatherer.mu: callers that still want it
	cancel context.CancelFunc
}

// Insert stores a lot of at most [MaxGathered] tasks. After Close the error is
// [engine.ErrClosed]. If the tasks may or may not be stored, it is a
// [*engine.UncertainError].
func (g *Gatherer[L]) Insert(ctx context.Context, l L) ([]engine.Inserted, error) {
	g.mu.Lock()
	if g.Closing.Err() != nil { // under the lock, for Close
		g.mu.Unlock()
		return nil, engine.ErrClosed
	}
	if !g.storing {
		storing, cancel := g.until(ctx)
		g.storing, g.cancel = true, cancel
		g.stored.Add(1)
		g.mu.Unlock()
		defer g.pass()
		defer cancel()
		ins, err := g.Store(storing, l)
		return ins, g.doubt(ctx, l, err)
	}
	c := &call[L]{l: l, done: make(chan struct{})}
	g.waiting = append(g.waiting, c)
	g.mu.Unlock()
	select {
	case <-c.done:
		return c.ins, g.doubt(ctx, c.l, c.err)
	case <-ctx.Done():
		return g.giveUp(ctx, c)
	}
}

// until returns a context [Beyond] ctx with a cancel function, which Close calls
// too. A ctx that never ends, such as the background, ends with Closing instead,
// at no cost.
func (g *Gatherer[L]) until(ctx context.Context) (until context.Context, cancel context.CancelFunc) {
	if ctx.Done() == nil {
		return endless{ctx, g.Closing}, func() {}
	}
	return Beyond(ctx)
}

// endless is a context with the values of one context and the end of another.
type endless struct {
	context.Context
	end context.Context
}

func (c endless) Done() <-chan struct{} { return c.end.Done() }
func (c endless) Err() error            { return c.end.Err() }

// AfterFunc spares contexts derived from it a goroutine.
func (c endless) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.end, f) }

// Close calls end, which ends Closing, and returns when nothing is stored any
// more.
func (g *Gatherer[L]) Close(end func()) {
	g.mu.Lock() // locked, or a call that has just looked would begin to store
	end()
	if g.cancel != nil {
		g.cancel()
	}
	g.mu.Unlock()
	g.stored.Wait()
}

// pass lets a goroutine store the calls that have come meanwhile.
func (g *Gatherer[L]) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cancel = nil
	if len(g.waiting) > 0 {
		g.stored.Go(g.work)
	} else {
		g.storing = false
	}
	g.stored.Done()
}

// doubt returns an error of Store as the caller of Insert gets it.
func (g *Gatherer[L]) doubt(ctx context.Context, l L, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && (g.Lost == nil || g.Lost(err)):
		return g.unknown(l, context.Cause(ctx))
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case g.Lost != nil && g.Lost(err):
		return g.unknown(l, err)
	}
	return err
}

func (g *Gatherer[L]) unknown(l L, err error) error {
	u := &engine.UncertainError{Err: err}
	if g.IDs != nil {
		u.IDs = g.IDs(l)
	}
	return u
}

// giveUp ends a call whose context has ended. If all that ride together have given
// up, the ride ends.
func (g *Gatherer[L]) giveUp(ctx context.Context, c *call[L]) ([]engine.Inserted, error) {
	g.mu.Lock()
	if c.ride == nil {
		g.waiting = slices.DeleteFunc(g.waiting, func(w *call[L]) bool { return w == c })
		g.mu.Unlock()
		return nil, context.Cause(ctx)
	}
	g.mu.Unlock()
	t := time.NewTimer(inDoubt)
	defer t.Stop()
	select {
	case <-c.done:
		return c.ins, g.doubt(ctx, c.l, c.err)
	case <-t.C:
	}
	g.mu.Lock()
	if c.ride.left--; c.ride.left == 0 {
		c.ride.cancel()
	}
	g.mu.Unlock()
	return nil, g.unknown(c.l, context.Cause(ctx))
}

// work stores waiting calls until there are none.
func (g *Gatherer[L]) work() {
	hurry := 0
	for {
		g.mu.Lock()
		calls := g.take()
		if len(calls) == 0 {
			g.storing = false
			g.mu.Unlock()
			return
		}
		ctx, cancel := context.WithCancel(g.Closing)
		r := &ride{left: len(calls), cancel: cancel}
		for _, c := range calls {
			c.ride = r
		}
		g.mu.Unlock()
		began := time.Now()
		g.store(ctx, calls)
		took := time.Since(began)
		cancel()
		for _, c := range calls {
			close(c.done)
		}
		switch {
		case len(calls) == 1:
		case hurry > 0:
			hurry--
		case !g.linger(len(calls), min(took, maxLinger)):
			hurry = inVain
		}
	}
}

// Bounds of the storing goroutine: how long it waits for calls, and how often
// it yields to others.
const (
	maxLinger = 500 * time.Microsecond
	maxYields = 2000
)

// inVain is how many times it skips waiting after it has waited in vain.
const inVain = 30

// linger waits until as many calls wait as were just answered, and reports
// whether half of them came. Callers often call again at once, and storing a
// few of them would make the others wait. It lets other goroutines run
// meanwhile.
func (g *Gatherer[L]) linger(calls int, d time.Duration) bool {
	began := time.Now()
	for range maxYields {
		goruntime.Gosched()
		g.mu.Lock()
		n := len(g.waiting)
		g.mu.Unlock()
		if n >= calls {
			return true
		}
		if time.Since(began) >= d {
			return 2*n >= calls
		}
	}
	return false
}

// take takes calls to store together, with the lock held.
func (g *Gatherer[L]) take() []*call[L] {
	n, size := 0, 0
	for n < len(g.waiting) && (n == 0 || size+g.waiting[n].l.Len() <= MaxGathered) {
		size += g.waiting[n].l.Len()
		n++
	}
	calls := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	return calls
}

// store stores the calls together.
func (g *Gatherer[L]) store(ctx context.Context, calls []*call[L]) {
	l := calls[0].l
	if len(calls) > 1 {
		others := make([]L, 0, len(calls)-1)
		for _, c := range calls[1:] {
			others = append(others, c.l)
		}
		l = l.Join(others)
	}
	ins, err := g.Store(ctx, l)
	if err != nil && len(calls) > 1 && g.Own(err) {
		for _, c := range calls {
			c.ins, c.err = g.Store(ctx, c.l)
		}
		return
	}
	for _, c := range calls {
		if c.err = err; err == nil {
			c.ins, ins = ins[:c.l.Len():c.l.Len()], ins[c.l.Len():]
		}
	}
}
