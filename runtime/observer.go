package runtime

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// event is a [hook.Event], and where the rest of it is found. Observers may keep events, so
// they get none of that.
type event struct {
	hook.Event
	run      *run
	message  *engine.Message
	id       uuid.UUID
	existing bool
	outcome  engine.Outcome
}

// watcher hands events to one observer. Its goroutine lives while there are
// events to hand over.
type watcher struct {
	o     hook.Observer
	calls atomic.Int64 // that have begun

	mu      sync.Mutex // guards all below
	waiting []hook.Event
	active  bool
	lost    int
	idle    chan struct{} // closed when active ends, nil while nobody waits
}

// watched reports whether there are observers. An Event is large: on a task's
// path, ask first.
func (a *App) watched() bool { return len(a.watchers) > 0 }

// observe completes the event and hands it to the observers.
func (a *App) observe(e event) {
	if !a.watched() {
		return
	}
	e.complete(a)
	for _, w := range a.watchers {
		w.push(a, e.Event)
	}
}

func (e *event) complete(a *App) {
	e.Time = time.Now()
	switch {
	case e.run != nil:
		r := e.run
		tags := a.tagsOf(r.msg)
		if len(tags) > 0 {
			tags = r.redactor().Tags(tags)
		}
		e.Task, e.Worker = r.metadataWith(tags), r.worker.id
		first := e.Kind == hook.EventStart && r.d.Attempt == 0 && r.suspension() == nil
		x := r.more()
		x.mu.Lock()
		defer x.mu.Unlock()
		if e.Kind == hook.EventStart {
			x.started = e.Time
			if from := dueSince(r.msg); !from.IsZero() && first {
				e.Waited = max(e.Time.Sub(from), 0)
			}
		}
		if e.Kind == hook.EventEnd {
			e.State, e.Reason, e.After = stateAfter(&e.outcome), e.outcome.Reason, e.outcome.After
			if !x.started.IsZero() {
				e.Duration = e.Time.Sub(x.started)
			}
		}
	case e.message != nil:
		m := e.message
		root := m.Meta.Root
		if root == uuid.Nil {
			root = e.id
		}
		e.Existing = e.existing
		e.Task = inspect.Metadata{
			TaskID: e.id, Name: m.Name, Queue: m.Queue, MaxRetries: m.Meta.Retries, EnqueuedAt: m.Meta.EnqueuedAt,
			Tags: inspect.TagsOver(e.tags(a)), ParentID: m.Meta.Parent, RootID: root, Deadline: m.Meta.Deadline,
		}
	}
}

// tags returns those of the message, without secrets.
func (e *event) tags(a *App) map[string]string {
	m := e.message
	if len(m.Meta.Tags) == 0 {
		return nil
	}
	return a.redactorOf(m, nil).Tags(a.tagsOf(m))
}

// dueSince returns when the task could first run.
func dueSince(m *engine.Message) time.Time {
	if m.Due.After(m.Meta.EnqueuedAt) {
		return m.Due
	}
	return m.Meta.EnqueuedAt
}

// stateAfter returns the state that an event shows of an outcome.
func stateAfter(o *engine.Outcome) engine.State {
	if o.Kind == engine.OutcomeDelay { // as Event.State says of a snooze
		return engine.StateScheduled
	}
	return o.State()
}

func (w *watcher) push(a *App, e hook.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) >= hook.ObserverBuffer {
		w.lost++
		return
	}
	w.waiting = append(w.waiting, e)
	if !w.active {
		w.active, w.idle = true, nil
		go w.drain(a)
	}
}

// drain hands over waiting events, until there are none.
func (w *watcher) drain(a *App) {
	for {
		w.mu.Lock()
		events, lost := w.waiting, w.lost
		w.waiting, w.lost = nil, 0
		if w.active = len(events) > 0; !w.active && w.idle != nil {
			close(w.idle)
		}
		w.mu.Unlock()
		if len(events) == 0 {
			return
		}
		if lost > 0 {
			a.logObserver("observer is too slow: events were lost", "lost", lost)
		}
		for len(events) > 0 {
			var done int
			if err := guard.Isolated(func() error { return w.handOver(events, &done) }); err != nil {
				a.logObserver("observer failed", "error", guard.Text(err))
			}
			events = events[done:]
		}
	}
}

// handOver gives the observer the events, until it panics or ends the
// goroutine. done counts the events given.
func (w *watcher) handOver(events []hook.Event, done *int) error {
	for _, e := range events {
		*done++
		w.calls.Add(1)
		w.o.Observe(e)
	}
	return nil
}

// observerPatience is how long a stop waits for one call of an observer.
const observerPatience = time.Second

// awaitWatchers waits until the observers have seen all events, for at most
// Config.ShutdownGrace or until leave. An observer that blocks in one call is not
// waited for any longer, and the log says so.
func (a *App) awaitWatchers(leave <-chan struct{}) {
	if !a.watched() {
		return
	}
	grace, end := context.WithTimeout(context.Background(), a.cfg.ShutdownGrace)
	defer end()
	for _, w := range a.watchers {
		if !w.rests(grace.Done(), leave) {
			a.logObserver("an observer blocks: the stop does not wait for it any longer", "observer", fmt.Sprintf("%T", w.o))
		}
	}
}

// rests reports whether no event waits any more, before one of the channels is closed
// or a call lasts for too long.
func (w *watcher) rests(over, leave <-chan struct{}) bool {
	idle, patience := w.whenIdle(), time.NewTicker(observerPatience)
	defer patience.Stop()
	for {
		calls := w.calls.Load()
		select {
		case <-idle:
			return true
		case <-patience.C:
			if w.calls.Load() == calls {
				return false
			}
		case <-over:
			return false
		case <-leave:
			return false
		}
	}
}

// whenIdle returns a channel that is closed once no event waits.
func (w *watcher) whenIdle() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.idle == nil {
		w.idle = make(chan struct{})
		if !w.active {
			close(w.idle)
		}
	}
	return w.idle
}
