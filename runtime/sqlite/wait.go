package sqlite

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// waiter is one call of Wait.
type waiter struct {
	// ended gets the ended task, or nil for looking again. It has room for
	// one.
	ended chan *engine.Entry
}

// waiters are the calls that wait for the end of a task.
type waiters struct {
	n       atomic.Int64
	mu      sync.Mutex
	m       map[uuid.UUID][]*waiter // guarded by mu
	closed  bool                    // guarded by mu
	looking bool                    // guarded by mu: a goroutine looks at the file for them
	again   bool                    // guarded by mu: the goroutine must look once more
	looks   sync.WaitGroup
}

func (w *waiters) none() bool { return w.n.Load() == 0 }

// Wait implements [engine.Waiter].
func (e *Engine) Wait(ctx context.Context, id uuid.UUID) (*engine.Entry, error) {
	me := &waiter{ended: make(chan *engine.Entry, 1)}
	if !e.waiters.add(id, me) {
		return nil, engine.ErrClosed
	}
	defer e.waiters.remove(id, me)
	e.queue.ring() // the writer polls for other processes while somebody waits
	for {
		entry, err := e.Get(ctx, id)
		if err != nil || entry.State.Final() {
			return entry, err
		}
		select {
		case entry := <-me.ended:
			if entry != nil {
				return entry, nil
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-e.closing:
			return nil, engine.ErrClosed
		}
	}
}

func (w *waiters) add(id uuid.UUID, me *waiter) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.m[id] = append(w.m[id], me)
	w.n.Add(1)
	return true
}

func (w *waiters) remove(id uuid.UUID, me *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ws := w.m[id]
	for i, o := range ws {
		if o == me {
			ws = append(ws[:i], ws[i+1:]...)
			break
		}
	}
	if w.m[id] = ws; len(ws) == 0 {
		delete(w.m, id)
	}
	w.n.Add(-1)
}

// tell hands the ended task to its waiters. entry makes the task's entry;
// without it they look themselves.
func (w *waiters) tell(id uuid.UUID, entry func() *engine.Entry) {
	if w.none() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.m[id] {
		var end *engine.Entry
		if entry != nil {
			end = entry()
		}
		select {
		case o.ended <- end:
		default:
		}
	}
}

// look finds, beside the writer, the awaited tasks that another process ended.
func (w *waiters) look(e *Engine) {
	if w.none() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	if w.looking {
		w.again = true
		return
	}
	w.looking = true
	w.looks.Go(func() {
		for w.lookOnce(e) {
		}
	})
}

// lookOnce looks at each awaited task. It reports whether to do so again.
func (w *waiters) lookOnce(e *Engine) bool {
	w.mu.Lock()
	ids := make([]uuid.UUID, 0, len(w.m))
	for id := range w.m {
		ids = append(ids, id)
	}
	w.mu.Unlock()
	if r, err := e.reader(context.Background()); err == nil {
		for _, id := range ids {
			entry, err := e.read(r, id)
			switch {
			case err != nil:
				w.tell(id, nil)
			case entry.State.Final():
				w.tell(id, func() *engine.Entry { return entry })
			}
		}
		e.readers.put(r)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	again := w.again && !w.closed
	w.looking, w.again = again, false
	return again
}

func (w *waiters) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.looks.Wait()
}
