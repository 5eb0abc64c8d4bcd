package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
)

// The watcher asks for all awaited tasks with one query, more and more rarely
// while nothing ends.
const (
	firstLook = 2 * time.Millisecond
	lastLook  = 250 * time.Millisecond
)

// watcher tells those who wait for tasks when these have ended. A task that
// ends in this process is told at once, others are found by asking.
type watcher struct {
	e *Engine

	mu      sync.Mutex // guards all below
	awaited map[int64][]chan struct{}
	running bool
	sooner  chan struct{} // wakes the goroutine, which asks anew at its first pace
	stopped sync.WaitGroup
}

// Wait implements [runtime.Waiter].
func (e *Engine) Wait(ctx context.Context, id uuid.UUID) (*runtime.Entry, error) {
	job, err := e.find(id)
	if err != nil {
		return nil, err
	}
	for {
		ended := e.watch.add(job)
		en, err := e.Get(ctx, id)
		if err == nil && !en.State.Final() {
			select {
			case <-ended:
				continue
			case <-ctx.Done():
				err = context.Cause(ctx)
			case <-e.closing.Done():
				err = runtime.ErrClosed
			}
		}
		e.watch.drop(job, ended)
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return nil, err
		}
		return en, nil
	}
}

// add returns a channel that is closed when the job may have ended.
func (w *watcher) add(job int64) chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.awaited == nil {
		w.awaited = make(map[int64][]chan struct{})
		w.sooner = make(chan struct{}, 1)
	}
	c := make(chan struct{})
	w.awaited[job] = append(w.awaited[job], c)
	if !w.running {
		w.running = true
		w.stopped.Go(w.run)
	} else {
		w.lookLocked()
	}
	return c
}

func (w *watcher) drop(job int64, c chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	cs := w.awaited[job]
	for i := range cs {
		if cs[i] == c {
			cs = append(cs[:i], cs[i+1:]...)
			break
		}
	}
	if w.awaited[job] = cs; len(cs) == 0 {
		delete(w.awaited, job)
	}
	if len(w.awaited) == 0 {
		w.lookLocked() // for the goroutine to end
	}
}

// tell wakes those who wait for the jobs.
func (w *watcher) tell(jobs []int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.awaited) == 0 {
		return
	}
	for _, j := range jobs {
		for _, c := range w.awaited[j] {
			close(c)
		}
		delete(w.awaited, j)
	}
}

// look makes the watcher ask soon.
func (w *watcher) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookLocked()
}

func (w *watcher) lookLocked() {
	if !w.running {
		return
	}
	select {
	case w.sooner <- struct{}{}:
	default:
	}
}

// run asks until nobody waits.
func (w *watcher) run() {
	pause := firstLook
	t := time.NewTimer(pause)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			pause = min(2*pause, lastLook)
		case <-w.sooner:
			if pause > firstLook {
				pause = firstLook
				t.Reset(pause)
			}
			if w.busy() {
				continue
			}
		case <-w.e.closing.Done():
		}
		w.mu.Lock()
		jobs := make([]int64, 0, len(w.awaited))
		for j := range w.awaited {
			jobs = append(jobs, j)
		}
		if len(jobs) == 0 || w.e.closing.Err() != nil {
			w.running = false
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		var ended []int64
		err := pgxDB{w.e.pool}.query(w.e.closing, w.e.sql.ended, []any{jobs}, func(scan func(...any) error) error {
			var j int64
			err := scan(&j)
			ended = append(ended, j)
			return err
		})
		if err != nil {
			pause = lastLook // the server may be away
		}
		w.tell(ended)
		t.Reset(pause)
	}
}

func (w *watcher) busy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.awaited) > 0
}

func (w *watcher) wait() { w.stopped.Wait() }
