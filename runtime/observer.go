package runtime

import (
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// EventKind is the kind of an [Event].
type EventKind uint8

// The kinds of events.
const (
	// EventEnqueue: a call was enqueued. A quick worker's EventStart may be
	// seen first.
	EventEnqueue EventKind = iota
	EventStart
	EventLog
	EventProgress
	EventEnd
	EventWorkerStart
	EventWorkerStop
)

// String returns the kind as a word.
func (k EventKind) String() string {
	return [...]string{"enqueue", "start", "log", "progress", "end", "worker start", "worker stop"}[k]
}

// Event is something that happened to a task or a worker. Fields that its kind
// does not have are zero.
type Event struct {
	Kind EventKind
	Time time.Time
	// Task is the task; its Attempt is of the run.
	Task Metadata
	// Existing, on EventEnqueue: another task held the key already.
	Existing bool
	// State, on EventEnd, is the task's state after the run: succeeded,
	// failed, cancelled, retrying, scheduled (snoozed or parked, retrying on
	// the record), waiting (suspended), or pending (given back).
	State engine.State
	// Reason is the reason of State; After is the wait before the next run.
	Reason string
	After  time.Duration
	// Duration is how long the run took, Waited how long the task had been due
	// before its first run.
	Duration, Waited time.Duration
	Log              LogLine  // on EventLog
	Progress         Progress // on EventProgress
	Worker           string   // ID of the worker

	run      *run
	message  *engine.Message
	id       uuid.UUID
	existing bool
	outcome  engine.Outcome
}

// Observer sees events, each observer on a goroutine of its own, in order. It
// cannot slow down or harm tasks. A panic is logged. While it blocks, at most
// [ObserverBuffer] events wait for it, and later ones are lost.
type Observer interface{ Observe(e Event) }

// ObserverFunc is a function as an Observer.
type ObserverFunc func(e Event)

// Observe calls f.
func (f ObserverFunc) Observe(e Event) { f(e) }

// ObserverBuffer is how many events wait for an observer at most.
const ObserverBuffer = 4096

// watcher hands events to one observer. Its goroutine lives while there are
// events to hand over.
type watcher struct {
	o Observer

	mu      sync.Mutex // guards all below
	waiting []Event
	active  bool
	lost    int
	idle    chan struct{} // closed when active ends, nil while nobody waits
}

// watched reports whether there are observers. An Event is large: on a task's
// path, ask first.
func (a *App) watched() bool { return len(a.watchers) > 0 }

// observe completes the event and hands it to the observers.
func (a *App) observe(e Event) {
	if !a.watched() {
		return
	}
	e.complete(a)
	for _, w := range a.watchers {
		w.push(a, e)
	}
}

func (e *Event) complete(a *App) {
	e.Time = time.Now()
	switch {
	case e.run != nil:
		r := e.run
		e.Task, e.Worker = r.metadata(), r.worker.id
		if len(e.Task.Tags.m) > 0 {
			e.Task.Tags.m = r.redactor().Tags(e.Task.Tags.m)
		}
		first := e.Kind == EventStart && r.d.Attempt == 0 && r.suspension() == nil
		x := r.more()
		x.mu.Lock()
		defer x.mu.Unlock()
		if e.Kind == EventStart {
			x.started = e.Time
			if from := dueSince(r.msg); !from.IsZero() && first {
				e.Waited = max(e.Time.Sub(from), 0)
			}
		}
		if e.Kind == EventEnd {
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
		e.Task = Metadata{
			TaskID: e.id, Name: m.Name, Queue: m.Queue, MaxRetries: m.Meta.Retries, EnqueuedAt: m.Meta.EnqueuedAt,
			Tags: Tags{e.tags(a)}, ParentID: m.Meta.Parent, RootID: root, Deadline: m.Meta.Deadline,
		}
	}
	e.run, e.message, e.outcome = nil, nil, engine.Outcome{} // observers may keep events
}

// tags returns those of the message, without secrets.
func (e *Event) tags(a *App) map[string]string {
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

func (w *watcher) push(a *App, e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) >= ObserverBuffer {
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
func (w *watcher) handOver(events []Event, done *int) error {
	for _, e := range events {
		*done++
		w.o.Observe(e)
	}
	return nil
}

// awaitWatchers waits until the observers have seen all events. If one of them
// blocks, it waits for Config.ShutdownGrace or until leave, and says so.
func (a *App) awaitWatchers(leave <-chan struct{}) {
	if !a.watched() {
		return
	}
	t := time.NewTimer(a.cfg.ShutdownGrace)
	defer t.Stop()
	for _, w := range a.watchers {
		select {
		case <-w.whenIdle():
			continue
		case <-t.C:
		case <-leave:
		}
		a.logObserver("an observer blocks: the stop does not wait for it any longer", "observer", fmt.Sprintf("%T", w.o))
		return
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
