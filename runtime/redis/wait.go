package redis

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/taskctx/taskctx/runtime"
)

// lookEvery is how often a task that is awaited is looked at although nothing
// was heard of its end.
const lookEvery = time.Second

// watcher tells those who wait for tasks when these have ended: those of this
// process at once, others as they are heard of.
type watcher struct {
	e *Engine

	mu      sync.Mutex // guards all below
	awaited map[string][]chan struct{}
	running bool
	idle    chan struct{} // tells the goroutine that nobody waits any more
	stopped sync.WaitGroup
}

// Wait implements [runtime.Waiter].
func (e *Engine) Wait(ctx context.Context, id uuid.UUID) (*runtime.Entry, error) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		if err := e.closed(); err != nil {
			return nil, err
		}
		ended := e.watch.add(id.String())
		en, err := e.Get(ctx, id)
		if err == nil && !en.State.Final() {
			select {
			case <-ended:
				continue
			case <-look.C:
				e.watch.drop(id.String(), ended)
				continue
			case <-ctx.Done():
				err = context.Cause(ctx)
			case <-e.closing.Done():
				err = runtime.ErrClosed
			}
		}
		e.watch.drop(id.String(), ended)
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return nil, err
		}
		return en, nil
	}
}

// add returns a channel that is closed when the task may have ended.
func (w *watcher) add(id string) chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.awaited == nil {
		w.awaited = make(map[string][]chan struct{})
	}
	c := make(chan struct{})
	w.awaited[id] = append(w.awaited[id], c)
	if !w.running && w.e.closing.Err() == nil {
		w.running = true
		w.idle = make(chan struct{}, 1)
		w.stopped.Go(w.listen)
	}
	return c
}

func (w *watcher) drop(id string, c chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	cs := w.awaited[id]
	for i := range cs {
		if cs[i] == c {
			cs = append(cs[:i], cs[i+1:]...)
			break
		}
	}
	if w.awaited[id] = cs; len(cs) == 0 {
		delete(w.awaited, id)
	}
	w.endIfIdle()
}

// tell wakes those who wait for the task.
func (w *watcher) tell(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.awaited[id] {
		close(c)
	}
	delete(w.awaited, id)
	w.endIfIdle()
}

// tellAll makes all who wait look for themselves.
func (w *watcher) tellAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, cs := range w.awaited {
		for _, c := range cs {
			close(c)
		}
	}
	clear(w.awaited)
	w.endIfIdle()
}

func (w *watcher) endIfIdle() {
	if w.running && len(w.awaited) == 0 {
		signal(w.idle)
	}
}

// linger is how long the subscription stays when nobody waits: the next waiter
// is often not far.
const linger = 5 * time.Second

// listen hears of ends until nobody waits.
func (w *watcher) listen() {
	ctx, cancel := context.WithCancel(w.e.closing)
	defer cancel()
	sub := w.e.db.Subscribe(ctx, endChannel)
	heard := sub.ChannelWithSubscriptions(redis.WithChannelSize(1000))
	defer sub.Close()
	last := time.NewTimer(linger)
	defer last.Stop()
	for {
		select {
		case m, ok := <-heard:
			if !ok {
				heard = nil
				continue
			}
			switch m := m.(type) {
			case *redis.Subscription:
				w.tellAll() // ends may have been missed before
			case *redis.Message:
				w.tell(m.Payload)
			}
		case <-w.idle:
			last.Reset(linger)
		case <-last.C:
			if w.end() {
				return
			}
		case <-ctx.Done():
			w.mu.Lock()
			w.running = false
			w.mu.Unlock()
			return
		}
	}
}

// end ends the goroutine unless somebody waits.
func (w *watcher) end() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.awaited) > 0 {
		return false
	}
	w.running = false
	return true
}

// close closes the engine, and returns when nothing is heard any more.
func (w *watcher) close() {
	w.mu.Lock() // or else a call that has just looked starts another goroutine
	w.e.close()
	w.mu.Unlock()
	w.stopped.Wait()
}
