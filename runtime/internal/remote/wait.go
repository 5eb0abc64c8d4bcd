package remote

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Waiters are calls that wait for tasks to end. Tell wakes those whose tasks
// end in this process; for other tasks the engine listens on a goroutine of
// its own.
type Waiters[K comparable] struct {
	// Hear runs on a goroutine of its own while somebody waits. It calls Tell
	// for tasks that end elsewhere, until End returns true or Closing ends.
	Hear func()
	// LookEvery is how often Wait looks at a task although no news of its end
	// came. Zero is never.
	LookEvery time.Duration
	// Passing reports whether an error of get comes from a server that cannot
	// be reached for now: then Wait goes on. Nil is never.
	Passing func(error) bool
	// Closing ends when the engine is closed.
	Closing context.Context

	mu      sync.Mutex // guards all below
	awaited map[K][]chan struct{}
	hearing bool
	changed chan struct{} // has room for one
	stopped sync.WaitGroup
}

// Wait returns the task once get shows it ended, with get's error unless it is
// passing, the cause of ctx, or [engine.ErrClosed].
func (w *Waiters[K]) Wait(
	ctx context.Context, task K, get func(context.Context) (*engine.Entry, error),
) (*engine.Entry, error) {
	var look <-chan time.Time
	if w.LookEvery > 0 {
		t := time.NewTicker(w.LookEvery)
		defer t.Stop()
		look = t.C
	}
	for pause := firstPause; ; {
		ended, ok := w.add(task)
		if !ok {
			return nil, engine.ErrClosed
		}
		en, err := get(ctx) // it may have ended before
		if err == nil && !en.State.Final() {
			select {
			case <-ended:
				en, err = get(ctx)
			case <-look:
			case <-ctx.Done():
				err = context.Cause(ctx)
			case <-w.Closing.Done():
				err = engine.ErrClosed
			}
		}
		w.drop(task, ended)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil && w.Passing != nil && w.Closing.Err() == nil && w.Passing(err):
			w.sleep(ctx, pause)
			pause = longer(pause)
		case err != nil:
			return nil, err
		case en.State.Final():
			return en, nil
		}
	}
}

// sleep returns after d, or when ctx or Closing ends.
func (w *Waiters[K]) sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-w.Closing.Done():
	}
}

// add returns a channel that is closed when the task may have ended, and false
// when the engine is closed.
func (w *Waiters[K]) add(task K) (chan struct{}, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.Closing.Err() != nil { // under the lock, for Close
		return nil, false
	}
	if w.awaited == nil {
		w.awaited, w.changed = make(map[K][]chan struct{}), make(chan struct{}, 1)
	}
	c := make(chan struct{})
	w.awaited[task] = append(w.awaited[task], c)
	if !w.hearing {
		w.hearing = true
		w.stopped.Go(w.Hear)
	}
	return c, true
}

func (w *Waiters[K]) drop(task K, c chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	cs := slices.DeleteFunc(w.awaited[task], func(o chan struct{}) bool { return o == c })
	if w.awaited[task] = cs; len(cs) == 0 {
		delete(w.awaited, task)
	}
	w.changedIfIdle()
}

// changedIfIdle lets Hear see that nobody waits any more.
func (w *Waiters[K]) changedIfIdle() {
	if w.hearing && len(w.awaited) == 0 {
		signal(w.changed)
	}
}

// Tell wakes the waiters of the tasks, to look for themselves.
func (w *Waiters[K]) Tell(tasks ...K) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.awaited) == 0 {
		return
	}
	for _, t := range tasks {
		for _, c := range w.awaited[t] {
			close(c)
		}
		delete(w.awaited, t)
	}
	w.changedIfIdle()
}

// TellAll wakes all waiters.
func (w *Waiters[K]) TellAll() { w.Tell(w.Awaited()...) }

// Awaited returns the tasks that have waiters.
func (w *Waiters[K]) Awaited() []K {
	w.mu.Lock()
	defer w.mu.Unlock()
	ks := make([]K, 0, len(w.awaited))
	for k := range w.awaited {
		ks = append(ks, k)
	}
	return ks
}

// Idle reports that nobody waits.
func (w *Waiters[K]) Idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.awaited) == 0
}

// Changed has a value when nobody waits any more, and after Look.
func (w *Waiters[K]) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

// Look gives Changed a value, while Hear runs.
func (w *Waiters[K]) Look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hearing {
		signal(w.changed)
	}
}

// End reports that nobody waits. Then Hear must return: it is called again
// when somebody waits.
func (w *Waiters[K]) End() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.awaited) > 0 {
		return false
	}
	w.hearing = false
	return true
}

// Close calls end, which ends Closing, and returns when Hear has returned.
func (w *Waiters[K]) Close(end func()) {
	w.mu.Lock() // or else a call that has just looked starts another goroutine
	end()
	w.mu.Unlock()
	w.stopped.Wait()
}
