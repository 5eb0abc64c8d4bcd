package remote

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// work claims tasks and writes outcomes until the worker has stopped. It sends
// no request after requests has ended.
func (w *Worker[C, T]) work(ctx, requests context.Context) error {
	l := loop[C, T]{Worker: w, steps: requests, stop: ctx.Done(), hungry: true, poll: time.NewTimer(w.cfg.PollInterval)}
	defer l.poll.Stop()
	for {
		select {
		case <-w.news:
			l.hungry = true
		default:
		}
		todo, free := w.todo()
		switch {
		case l.stopping && todo == 0 && free == w.Slots:
			return nil
		case todo > 0 || l.want(free) > 0:
			if done, err := l.step(ctx); done {
				return err
			}
		default:
			if done, err := l.wait(); done {
				return err
			}
		}
	}
}

// loop is the state of work from turn to turn.
type loop[C comparable, T any] struct {
	*Worker[C, T]
	steps    context.Context // of all steps
	stop     <-chan struct{} // nil when stopping
	stopping bool            // no more tasks are claimed
	hungry   bool            // there may be tasks to claim
	last     time.Time       // when the last step ended
	poll     *time.Timer
}

// want returns how many tasks to claim for the number of free slots.
func (l *loop[C, T]) want(free int) int {
	if !l.hungry || l.stopping {
		return 0
	}
	return free
}

// wait returns when there is something to do. done reports that the worker has
// stopped.
func (l *loop[C, T]) wait() (done bool, err error) {
	select {
	case <-l.ready:
	case <-l.news:
		l.hungry = true
	case <-l.poll.C:
		l.News()
		l.poll.Reset(l.cfg.PollInterval)
	case <-l.stop:
		l.stop, l.stopping = nil, true
	case <-l.Abandon:
		return true, l.abandon(l.steps)
	case <-l.cfg.Closing.Done():
		return true, l.closed()
	}
	return false, nil
}

// step takes a step. When that fails, it waits until another may succeed.
func (l *loop[C, T]) step(ctx context.Context) (done bool, err error) {
	if pause := l.cfg.Cooldown - time.Since(l.last); pause > 0 {
		l.cool(pause)
	}
	if ctx.Err() != nil {
		l.stop, l.stopping = nil, true
	}
	_, free := l.todo() // more slots may be free by now
	want := l.want(free)
	more, err := l.boundedStep(l.steps, want)
	l.last = time.Now()
	switch {
	case err == nil:
		if want > 0 {
			l.hungry = more || l.rounds != nil && l.rounds.pending()
		}
		return false, nil
	case l.cfg.Closing.Err() != nil:
		return true, l.closed()
	case l.steps.Err() != nil:
		return true, l.abandon(l.steps)
	}
	l.Warn("claim tasks and write outcomes", err)
	l.hungry = true
	return l.recover()
}

// cool lets outcomes and free slots gather. If the last step claimed all it
// could, more tasks wait, and cool returns once all of the claimed ones have
// ended.
func (l *loop[C, T]) cool(pause time.Duration) {
	if !l.cfg.Eager {
		time.Sleep(pause)
		return
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.ended:
	}
}

// recover waits until the server answers again, or the worker is to stop. If
// no task runs and no outcome waits, a stop takes effect at once.
func (l *loop[C, T]) recover() (done bool, err error) {
	for pause := firstPause; ; pause = longer(pause) {
		select {
		case <-time.After(pause):
		case <-l.stop:
			l.stop, l.stopping = nil, true
			return false, nil
		case <-l.Abandon:
			return true, l.abandon(l.steps)
		case <-l.cfg.Closing.Done():
			return true, l.closed()
		}
		ping, cancel := context.WithTimeout(l.steps, stepTimeout)
		_, err := l.review(ping)
		cancel()
		if err == nil {
			return false, nil
		}
		if l.steps.Err() != nil && l.cfg.Closing.Err() == nil {
			return true, l.abandon(l.steps)
		}
	}
}

// todo returns how many outcomes and orphans wait, and how many slots are free.
func (w *Worker[C, T]) todo() (waiting, free int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.outcomes) + len(w.orphans), w.Slots - len(w.active)
}

// boundedStep is step, with a bound in time.
func (w *Worker[C, T]) boundedStep(ctx context.Context, want int) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	return w.step(ctx, want)
}

// step lets the store write outcomes and claim tasks.
func (w *Worker[C, T]) step(ctx context.Context, want int) (more bool, err error) {
	w.mu.Lock()
	s := &Step[C, T]{Outcomes: w.outcomes, Orphans: w.orphans, Want: want}
	looked := func(bool) {}
	if w.rounds == nil {
		s.Queues = w.turned()
	} else if want > 0 {
		l := w.rounds.next()
		s.Queues, s.Round = l.queues(), len(l.round) > 0
		looked = func(more bool) { w.rounds.looked(l, more) }
	}
	w.outcomes, w.orphans = nil, nil
	w.want, w.claimed = want, 0
	select {
	case <-w.ended: // of the outcomes that are written now
	default:
	}
	if len(s.Orphans) > 0 {
		known := w.known(s.Outcomes)
		s.Orphans = slices.DeleteFunc(s.Orphans, func(c C) bool { _, ok := known[c]; return ok })
	}
	w.mu.Unlock()
	more, err = w.store.Step(ctx, s)
	looked(more || err != nil)
	return more, err
}

// turned returns the queues, starting with another one each time, or by their
// weights. It is called with the lock held.
func (w *Worker[C, T]) turned() []string {
	n := len(w.Queues)
	if w.Weights != nil {
		return w.InTurn()
	}
	if n < 2 {
		return w.Queues
	}
	w.turn = (w.turn + 1) % n
	return slices.Concat(w.Queues[w.turn:], w.Queues[:w.turn])
}

// closed ends the worker of an engine that was closed under it.
func (w *Worker[C, T]) closed() error {
	if unfinished := w.disown(); unfinished != nil {
		return errors.Join(engine.ErrClosed, unfinished)
	}
	return engine.ErrClosed
}

// abandon writes the outcomes there are, and gives the running tasks back.
// Others take over the rest when the lease ends.
func (w *Worker[C, T]) abandon(ctx context.Context) error {
	if todo, _ := w.todo(); todo > 0 && ctx.Err() == nil {
		if _, err := w.step(ctx, 0); err != nil {
			w.Warn("write the last outcomes", err)
		}
	}
	back := w.Active()
	unfinished := w.disown()
	if len(back) > 0 && ctx.Err() == nil {
		if err := w.store.Release(ctx, back); err != nil {
			w.Warn("give back running tasks", err)
		}
	}
	return unfinished
}
