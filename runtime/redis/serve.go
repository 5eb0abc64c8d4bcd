package redis

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskctx/taskctx/runtime"
)

// abandonGrace is how long a worker that gives up waits for a script that is under
// way.
const abandonGrace = 2 * time.Second

// serve is one call of Serve. Its loop, in work, is the only one that fetches
// and that writes outcomes; beside it go the heartbeat, the upkeep and the
// listener, each a goroutine that Serve waits for.
type serve struct {
	e    *Engine
	w    *runtime.Worker
	runs context.Context // of all runs; it never ends
	log  *slog.Logger

	ready chan struct{} // an outcome waits, or a run has returned
	news  chan struct{} // there may be tasks to fetch
	check chan struct{} // a running task may have been cancelled
	sooner
	listening atomic.Bool

	mu        sync.Mutex // guards all below
	active    map[*delivery]struct{}
	outcomes  []*outcome
	orphans   []claim // perhaps
	unsettled bool    // a cancelled one is among them
	turn      int     // which queue goes first
	abandoned bool
	warned    map[string]time.Time // when each failure was logged last
}

// Serve implements [runtime.Engine]. It may be called again, at the same time
// or later. While the server cannot be reached it tries again, and running
// tasks go on.
func (e *Engine) Serve(ctx context.Context, w *runtime.Worker) error {
	if err := e.closed(); err != nil {
		return err
	}
	s := &serve{
		e: e, w: w, runs: context.WithoutCancel(ctx), log: e.cfg.Logger,
		ready: make(chan struct{}, 1), news: make(chan struct{}, 1), check: make(chan struct{}, 1),
		active: make(map[*delivery]struct{}), warned: make(map[string]time.Time),
	}
	s.sooner.init()
	e.mu.Lock()
	e.serves[s] = struct{}{}
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.serves, s)
		e.mu.Unlock()
	}()

	side, stop := context.WithCancel(e.closing)
	defer stop()
	if err := s.begin(ctx, side); err != nil {
		return err
	}
	var aside sync.WaitGroup
	aside.Go(func() { s.beatLoop(side) })
	aside.Go(func() { s.upkeepLoop(side) })
	aside.Go(func() { s.listenLoop(side) })
	err := s.work(ctx)
	stop()
	aside.Wait()
	s.leave()
	return err
}

// begin makes the worker known, before it takes a task. It returns nil when ctx
// has ended: then there is nothing to do.
func (s *serve) begin(ctx, side context.Context) error {
	for pause := firstPause; ; pause = longer(pause) {
		err := s.join(side)
		if err == nil {
			return nil
		}
		if s.e.closing.Err() != nil {
			return runtime.ErrClosed
		}
		s.warn("join the workers", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		case <-side.Done():
			return runtime.ErrClosed
		}
	}
}

// The pauses between attempts while the server cannot be reached.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = time.Second
)

// longer returns the pause after d, with jitter, so that workers do not come
// back all at once.
func longer(d time.Duration) time.Duration {
	d = min(2*d, lastPause)
	return d/2 + rand.N(d/2+1)
}

// warnEvery is how often a failure that goes on is logged.
const warnEvery = 10 * time.Second

// warn logs that something failed: while the server is away much does, again
// and again, and once in a while is enough.
func (s *serve) warn(doing string, err error) {
	now := time.Now()
	s.mu.Lock()
	quiet := now.Sub(s.warned[doing]) < warnEvery
	if !quiet {
		s.warned[doing] = now
	}
	s.mu.Unlock()
	if quiet {
		return
	}
	s.log.LogAttrs(context.Background(), slog.LevelWarn, "redis: "+doing,
		slog.String("worker", s.w.ID), slog.String("error", err.Error()))
}

// signal puts a value into a channel of capacity one, unless there is one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// claim is what a run holds of its task: it is the owner's as long as the
// task's fence is the same.
type claim struct{ queue, id, fence string }

// delivery is one run of a task.
type delivery struct {
	runtime.Delivery
	s *serve
	claim
	msg *taskMessage
	own details

	mu   sync.Mutex
	memo json.RawMessage // guarded by mu: as last read or written
}

// LoadMemo implements [runtime.Memo]. Nobody else writes the memo while the
// task runs, so it need not be read again.
func (d *delivery) LoadMemo(context.Context) (json.RawMessage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append(json.RawMessage(nil), d.memo...), nil
}

// SaveMemo implements [runtime.Memo].
func (d *delivery) SaveMemo(ctx context.Context, memo json.RawMessage) error {
	ok, err := saveMemoScript.Run(ctx, d.s.e.db, nil, d.s.w.ID, d.queue, d.id, d.fence, []byte(memo)).Int()
	if err != nil {
		return d.s.e.failed("save memo", err)
	}
	if ok == 0 {
		return runtime.ErrLeaseLost
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.memo = append(json.RawMessage(nil), memo...)
	return nil
}

// start runs a delivery on a goroutine of its own, which a handler may end.
func (s *serve) start(d *delivery) {
	go func() {
		o := new(outcome)
		o.d = d
		defer s.finish(o)
		if run := s.w.RunInline; run != nil {
			run(s.runs, &d.Delivery, &o.Outcome)
		} else {
			o.Outcome = s.w.Run(s.runs, &d.Delivery)
		}
	}()
}

// finish takes what became of a run.
func (s *serve) finish(o *outcome) {
	s.mu.Lock()
	delete(s.active, o.d)
	late := s.abandoned
	if !late {
		s.outcomes = append(s.outcomes, o)
	}
	s.mu.Unlock()
	if late {
		s.refuse(o)
		return
	}
	signal(s.ready)
}

func (s *serve) refuse(o *outcome) {
	if s.w.Refused != nil {
		s.w.Refused(&o.d.Delivery, o.Outcome)
	}
}

// work fetches tasks and writes outcomes until the worker has stopped.
func (s *serve) work(ctx context.Context) error {
	var (
		hungry   = true // there may be tasks to fetch
		stopping bool
		poll     = time.NewTimer(s.e.cfg.PollInterval)
		stop     = ctx.Done()
	)
	defer poll.Stop()
	steps, cancel := context.WithCancel(s.e.closing)
	defer cancel()
	for {
		select {
		case <-s.news:
			hungry = true
		default:
		}
		if ctx.Err() != nil {
			stop, stopping = nil, true
		}
		todo, free := s.todo()
		want := 0
		if hungry && !stopping {
			want = free
		}
		if stopping && todo == 0 && free == s.w.Slots {
			return nil
		}
		if todo == 0 && want <= 0 {
			select {
			case <-s.ready:
			case <-s.news:
				hungry = true
			case <-poll.C:
				hungry = true
				poll.Reset(s.e.cfg.PollInterval)
			case <-stop:
				stop, stopping = nil, true
			case <-s.w.Abandon:
				return s.abandon(steps)
			case <-s.e.closing.Done():
				return s.closed()
			}
			continue
		}
		n, err := s.stepUnlessAbandoned(steps, want)
		switch {
		case err == nil:
			if want > 0 {
				hungry = n == want
			}
			continue
		case s.e.closing.Err() != nil:
			return s.closed()
		}
		s.warn("fetch tasks and write outcomes", err)
		hungry = true
		if err := s.recover(steps, stop); err != nil {
			return err
		}
	}
}

// todo returns how many outcomes and orphans wait, and how many slots are free.
func (s *serve) todo() (waiting, free int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.outcomes) + len(s.orphans), s.w.Slots - len(s.active)
}

// stepUnlessAbandoned is step, which ends soon after the worker gives up.
func (s *serve) stepUnlessAbandoned(ctx context.Context, want int) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	done := make(chan struct{})
	var n int
	var err error
	go func() {
		defer close(done)
		n, err = s.step(ctx, want)
	}()
	select {
	case <-done:
		return n, err
	case <-s.w.Abandon:
	}
	t := time.NewTimer(abandonGrace)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
		cancel()
		<-done
	}
	return n, err
}

// recover waits, after a step failed, until the server answers again, or the
// worker is to stop, which it does at once if nothing runs or is to be written.
func (s *serve) recover(ctx context.Context, stop <-chan struct{}) error {
	for pause := firstPause; ; pause = longer(pause) {
		select {
		case <-time.After(pause):
		case <-stop:
			return nil
		case <-s.w.Abandon:
			return s.abandon(ctx)
		case <-s.e.closing.Done():
			return s.closed()
		}
		ping, cancel := context.WithTimeout(ctx, stepTimeout)
		_, err := s.review(ping)
		cancel()
		if err == nil {
			return nil
		}
	}
}

// closed ends the worker of an engine that was closed under it.
func (s *serve) closed() error {
	if unfinished := s.disown(); unfinished != nil {
		return errors.Join(runtime.ErrClosed, unfinished)
	}
	return runtime.ErrClosed
}

// disown gives up the running tasks, and names them. Their outcomes are
// refused from now on, as are those that could not be written.
func (s *serve) disown() error {
	s.mu.Lock()
	s.abandoned = true
	late := s.outcomes
	s.outcomes = nil
	unfinished := new(runtime.UnfinishedError)
	var stop []*delivery
	for d := range s.active {
		stop = append(stop, d)
		unfinished.Tasks = append(unfinished.Tasks, runtime.Unfinished{ID: d.Message.Meta.ID, Name: d.Message.Name})
	}
	s.mu.Unlock()
	for _, o := range late {
		unfinished.Tasks = append(unfinished.Tasks, runtime.Unfinished{ID: o.d.Message.Meta.ID, Name: o.d.Message.Name})
		s.refuse(o)
	}
	for _, d := range stop {
		d.Stop(runtime.ErrShutdown)
	}
	if len(unfinished.Tasks) == 0 {
		return nil
	}
	return unfinished
}

// abandon writes the outcomes there are, and gives the tasks that still run
// back. What cannot be written now is taken over by others when the lease ends.
func (s *serve) abandon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, abandonGrace)
	defer cancel()
	if _, err := s.step(ctx, 0); err != nil {
		s.warn("write the last outcomes", err)
	}
	s.mu.Lock()
	var back []claim
	for d := range s.active {
		back = append(back, d.claim)
	}
	s.mu.Unlock()
	unfinished := s.disown()
	if len(back) > 0 {
		if err := s.giveBack(ctx, back); err != nil {
			s.warn("give back running tasks", err)
		}
	}
	return unfinished
}
