package runtime

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/internal/store"
)

// slot is one of a worker's places to run a task. It keeps its storage from
// run to run, and one run at a time uses it.
type slot struct {
	storage store.Store
	cancel  context.CancelCauseFunc
	run     atomic.Value // the task in it, a *run, nil while it is free
	began   time.Time    // when that began, if there is a history
}

// slots are the places of one worker: never more than n, even if the engine
// hands out more. The slot used last is taken first, so that an idle worker
// keeps few values open.
type slots struct {
	ctx      context.Context // parent context for opening worker storage
	behind   *leftBehind     // nil: no runs are counted that a stop leaves behind
	stopping <-chan struct{} // closed when no task is to begin any more
	stopped  atomic.Value    // why runs must end, an *error, nil while they need not

	mu      sync.Mutex // guards all below
	all     []*slot    // free and used
	free    []*slot
	waiting []chan *slot // in order of arrival
	lent    []*slot      // not free before runs of earlier starts have returned
	closed  bool
}

// leftBehind counts, for all starts of an app, the runs that a stop has given
// up and that have not returned. Their places are the app's: a later start
// gets each when its run returns.
type leftBehind struct {
	mu      sync.Mutex // guards all below; taken after that of slots which are closed
	runs    int
	current *slots // of the latest start
}

// lend makes s the slots of the latest start, without those that earlier runs
// still use. It returns how many those are.
func (b *leftBehind) lend(s *slots) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.free) - min(b.runs, len(s.free))
	s.lent = slices.Clone(s.free[n:])
	s.free, s.behind = s.free[:n], b
	b.current = s
	return b.runs
}

// add counts n more runs.
func (b *leftBehind) add(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.runs += n
}

// returned counts one run less; the latest start gets its place.
func (b *leftBehind) returned() {
	b.mu.Lock()
	b.runs--
	current, over := b.current, b.runs
	b.mu.Unlock()
	current.restore(over)
}

// restore frees the slots that are lent to more than the given number of runs.
func (s *slots) restore(runs int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.closed && len(s.lent) > runs {
		p := s.lent[len(s.lent)-1]
		s.lent = s.lent[:len(s.lent)-1]
		s.hand(p)
	}
}

// hand gives a slot to a waiting taker, or makes it free; the caller holds
// s.mu.
func (s *slots) hand(p *slot) {
	if len(s.waiting) > 0 {
		wait := s.waiting[0]
		s.waiting = s.waiting[1:]
		wait <- p
		return
	}
	s.free = append(s.free, p)
}

func newSlots(ctx context.Context, n int) *slots {
	s := &slots{ctx: ctx}
	for range n {
		s.all = append(s.all, s.make())
	}
	s.free = slices.Clone(s.all)
	return s
}

func (s *slots) make() *slot {
	p := new(slot)
	p.storage.Ctx, p.cancel = context.WithCancelCause(s.ctx)
	return p
}

// take waits for a free slot. It returns nil when ctx ends first, or the worker
// stops.
func (s *slots) take(ctx context.Context) *slot {
	s.mu.Lock()
	if n := len(s.free); n > 0 {
		p := s.free[n-1]
		s.free = s.free[:n-1]
		s.mu.Unlock()
		return p
	}
	wait := make(chan *slot, 1)
	s.waiting = append(s.waiting, wait)
	s.mu.Unlock()
	select {
	case p := <-wait:
		return p
	case <-ctx.Done():
	case <-s.stopping:
	}
	s.mu.Lock()
	for i, w := range s.waiting {
		if w == wait {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			s.mu.Unlock()
			return nil
		}
	}
	s.mu.Unlock()
	_ = s.put(<-wait, false) // it was handed over meanwhile
	return nil
}

// put gives a slot back. A broken one is thrown away and its values are closed.
func (s *slots) put(p *slot, broken bool) error {
	p.run.Store((*run)(nil))
	var err error
	if broken {
		err = p.close()
		p = s.replace(p)
	}
	s.mu.Lock()
	if s.closed { // the worker has stopped without waiting for this run
		s.mu.Unlock()
		err = errors.Join(err, p.close())
		if s.behind != nil {
			s.behind.returned()
		}
		return err
	}
	defer s.mu.Unlock()
	s.hand(p)
	return err
}

// replace puts a new slot in the place of a broken one.
func (s *slots) replace(p *slot) *slot {
	n := s.make()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[slices.Index(s.all, p)] = n
	return n
}

// running returns the runs under way.
func (s *slots) running() []*run {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rs []*run
	for _, p := range s.all {
		if r, _ := p.run.Load().(*run); r != nil {
			rs = append(rs, r)
		}
	}
	return rs
}

// close closes the storage of all free slots. Slots in use close theirs when
// their run returns.
func (s *slots) close() error {
	s.mu.Lock()
	s.closed = true
	if s.behind != nil {
		s.behind.add(len(s.all) - len(s.free) - len(s.lent))
	}
	free := slices.Concat(s.free, s.lent)
	s.free, s.lent = nil, nil
	s.mu.Unlock()
	var errs error
	for _, p := range free {
		errs = errors.Join(errs, p.close())
	}
	return errs
}

// close closes the slot's values, last opened first, for good: a value that is
// still being opened is closed as soon as it is.
func (p *slot) close() error {
	err := guard.Isolated(func() error { return p.storage.Close(nil) })
	p.cancel(engine.ErrShutdown)
	return err
}

// stopRuns ends the contexts of all runs, current ones and those about to
// start.
func (s *slots) stopRuns(cause error) {
	s.stopped.Store(&cause)
	for _, r := range s.running() {
		r.life.Cancel(cause)
	}
}

// stopCause returns the cause given to stopRuns, nil before.
func (s *slots) stopCause() error {
	if p, _ := s.stopped.Load().(*error); p != nil {
		return *p
	}
	return nil
}
