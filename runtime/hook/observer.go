package hook

import (
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/inspect"
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
	Task inspect.Metadata
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
	Log              inspect.LogLine  // on EventLog
	Progress         inspect.Progress // on EventProgress
	Worker           string           // ID of the worker
}

// Observer sees events, each observer on a goroutine of its own, in order. It
// cannot slow down or harm tasks. A panic is logged. While it blocks, at most
// [ObserverBuffer] events wait for it, and later ones are lost. The App's Stop waits
// until it has seen all events, but for a second at most for one call of it.
type Observer interface{ Observe(e Event) }

// ObserverFunc is a function as an Observer.
type ObserverFunc func(e Event)

// Observe calls f.
func (f ObserverFunc) Observe(e Event) { f(e) }

// ObserverBuffer is how many events wait for an observer at most.
const ObserverBuffer = 4096
