package memory

import (
	"context"
	goruntime "runtime"
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// spins is how often a worker goroutine without a task looks again, yielding
// to others, before it sleeps. Under load that saves most of the system calls
// of sleeping and waking, which cost more than a task.
const spins = 20

// serve is one call of Serve.
type serve struct {
	e   *Engine
	w   *engine.Worker
	ctx context.Context // of all runs
	end context.Context // when it ends, no more tasks are taken

	began time.Time

	queues map[string]struct{}

	// Guarded by Engine.mu.
	ready     readyHeap      // tasks that it can run
	groups    map[string]int // how many groups it can run of each queue,
	shared    int            // and of how many queues more than one
	hands     []*hand        // the goroutines started
	idle      []*hand        // hands asleep
	searching int            // hands awake without a task: see group.summon
	busy      int            // hands that have not left
	stopping  bool           // no more tasks are taken
	abandoned bool           // nobody waits for the hands any more
	left      chan struct{}  // closed when the last hand has left
	closed    chan struct{}  // closed by Close
}

// hand is a goroutine that runs tasks, one at a time.
type hand struct {
	s    *serve
	run  *run           // the task it runs, nil if none; guarded by Engine.mu
	wake chan struct{}  // wakes it when it sleeps
	out  engine.Outcome // of the run
}

// Serve implements [engine.Engine]. It may be called again, at the same time
// or later, on the same engine. Tasks that are waiting when it returns stay.
func (e *Engine) Serve(ctx context.Context, w *engine.Worker) error {
	s := &serve{
		e: e, w: w,
		ctx:    context.WithoutCancel(ctx),
		end:    ctx,
		left:   make(chan struct{}),
		closed: make(chan struct{}),
		queues: make(map[string]struct{}, len(w.Queues)),
	}
	s.ready.order.s, s.began = s, s.now().UTC()
	for _, queue := range w.Queues {
		s.queues[queue] = struct{}{}
	}
	e.lock()
	if e.closed {
		e.unlock()
		return engine.ErrClosed
	}
	e.serves = append(e.serves, s)
	e.workersChanged()
	e.unlock()

	var err error
	select {
	case <-ctx.Done():
	case <-s.closed:
		err = engine.ErrClosed
	}
	s.stop()
	select {
	case <-s.left:
	case <-w.Abandon:
		if unfinished := s.abandon(); unfinished != nil && err == nil {
			err = unfinished
		}
	}
	return err
}

func (s *serve) serves(queue string) bool { _, ok := s.queues[queue]; return ok }

func (s *serve) now() time.Time {
	if s.w.Now != nil {
		return s.w.Now()
	}
	return time.Now()
}

// stop makes the worker take no more tasks. Others may take them.
func (s *serve) stop() {
	e := s.e
	e.lock()
	s.stopping = true
	idle := s.idle
	s.idle = nil
	s.searching += len(idle)
	e.serves = slices.DeleteFunc(e.serves, func(o *serve) bool { return o == s })
	if !e.closed {
		e.workersChanged()
	}
	if s.busy == 0 {
		close(s.left)
	}
	e.unlock()
	for _, h := range idle {
		h.wake <- struct{}{}
	}
}

// abandon gives the running tasks back, and names them.
func (s *serve) abandon() *engine.UnfinishedError {
	e := s.e
	e.lock()
	s.abandoned = true
	var lost []*run
	for _, h := range s.hands {
		if h.run != nil {
			lost = append(lost, h.run)
			if h.run.t.owner == h.run {
				e.release(h.run.t, s.now())
			}
		}
	}
	e.unlock()
	if len(lost) == 0 {
		return nil
	}
	err := new(engine.UnfinishedError)
	for _, r := range lost {
		r.Stop(engine.ErrShutdown)
		err.Tasks = append(err.Tasks, engine.Unfinished{ID: r.Message.Meta.ID, Name: r.Message.Name})
	}
	return err
}

// wakeList are hands to wake once the lock is free: mostly one at most.
type wakeList struct {
	one  *hand
	more []*hand
}

func (l *wakeList) add(h *hand) {
	switch {
	case h == nil:
	case l.one == nil:
		l.one = h
	default:
		l.more = append(l.more, h)
	}
}

func (l *wakeList) do() {
	if l.one == nil {
		return
	}
	l.one.signal()
	for _, h := range l.more {
		h.signal()
	}
	*l = wakeList{}
}

// summon finds a hand to look at a group that got a task: one asleep, or a new
// one. It returns nil if one looks already, or all are busy. Call signal on it
// once the lock is free.
func (g *group) summon() *hand {
	for range g.serves {
		if g.turn++; g.turn >= len(g.serves) {
			g.turn = 0
		}
		s := g.serves[g.turn]
		if s.searching > 0 {
			return nil
		}
		if h := s.summon(); h != nil {
			return h
		}
	}
	return nil
}

func (s *serve) summon() *hand {
	if s.stopping {
		return nil
	}
	if n := len(s.idle); n > 0 {
		h := s.idle[n-1]
		s.idle = s.idle[:n-1]
		s.searching++
		return h
	}
	if len(s.hands) < s.w.Slots {
		h := &hand{s: s}
		s.hands = append(s.hands, h)
		s.busy++
		s.searching++
		return h
	}
	return nil
}

// signal starts the hand or wakes it.
func (h *hand) signal() {
	if h.wake == nil {
		h.wake = make(chan struct{}, 1)
		go h.work()
		return
	}
	h.wake <- struct{}{}
}

// work runs tasks until the worker stops.
func (h *hand) work() {
	done := false
	defer func() {
		if !done { // a handler called Goexit: the outcome is written
			go h.work()
		}
	}()
	for {
		r := h.next()
		if r == nil {
			done = true
			return
		}
		h.s.w.RunInto(h.s.ctx, &r.Delivery, &h.out)
	}
}

// next records the outcome of the hand's run, if any, and returns the next
// run. It waits for one, and returns nil when the worker stops.
func (h *hand) next() *run {
	s, e := h.s, h.s.e
	now := s.now()
	e.lockSoon()
	if r := h.run; r != nil {
		h.run = nil
		s.searching++
		if !e.conclude(r, &h.out, now) && s.w.Refused != nil {
			e.unlock()
			s.w.Refused(&r.Delivery, h.out)
			e.lock()
		}
	}
	for {
		r := h.take(now)
		if r != nil || s.stopping {
			if r == nil {
				h.leave()
			}
			e.unlock()
			return r
		}
		e.unlock()
		for range spins {
			goruntime.Gosched()
			if e.ready.Load() > 0 || e.inbox.n.Load() > 0 {
				break
			}
		}
		h.wait()
		now = s.now()
	}
}

// wait sleeps until there may be a task. It returns with the lock held.
func (h *hand) wait() {
	s, e := h.s, h.s.e
	e.lock()
	if s.stopping || s.best() != nil {
		return
	}
	s.searching--
	s.idle = append(s.idle, h)
	e.unlock()
	<-h.wake // its waker counts it as searching again
	e.lock()
}

// maxSummons is for how many groups a worker that takes a task checks that
// another looks for the next one.
const maxSummons = 8

// take takes the next task, if there is one, and ensures that another worker
// looks for the one after it.
func (h *hand) take(now time.Time) *run {
	s := h.s
	if s.stopping {
		return nil
	}
	t := s.best()
	for n := 0; t != nil; t = s.best() {
		t.group.remove(t)
		s.e.ready.Add(-1)
		if !t.limited() || s.e.admitAll(t) {
			break
		}
		if n++; n == lotTasks { // the rest once others have had the lock
			return nil
		}
	}
	if t == nil {
		return nil
	}
	if t.msg.Limits != nil {
		s.e.began(t)
	}
	h.run = s.e.start(t, stamp(now.UnixNano()), s.w.ID)
	s.searching--
	for _, g := range s.ready.items[:min(len(s.ready.items), maxSummons)] {
		if s.searching == 0 {
			s.e.wakes.add(g.summon())
		}
	}
	return h.run
}

// best returns the task to run next: within a queue by priority, among queues
// the one that has been due longest, unless they have weights. It returns nil if
// there is none, or none may be taken any more.
func (s *serve) best() *task {
	if s.end.Err() != nil {
		return nil
	}
	if len(s.ready.items) == 0 {
		return nil
	}
	first := s.ready.items[0].first
	if s.w.Weights != nil {
		first = s.inTurn()
	}
	if s.shared == 0 {
		return first
	}
	queue := first.group.queue
	for _, g := range s.ready.items {
		if g.queue == queue && g.first.msg.Priority > first.msg.Priority {
			first = g.first
		}
	}
	return first
}

// inTurn returns a task of the queue whose turn it is among those that have some.
func (s *serve) inTurn() *task {
	places := s.w.Places()
	first := s.ready.items[0]
	for _, g := range s.ready.items[1:] {
		if places[g.queue] < places[first.queue] {
			first = g
		}
	}
	return first.first
}

// leave counts the hand out. The last one ends Serve.
func (h *hand) leave() {
	s := h.s
	s.searching--
	s.busy--
	if s.busy == 0 {
		close(s.left)
	}
}
