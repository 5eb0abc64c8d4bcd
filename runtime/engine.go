package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Engine stores tasks, hands out the ones that are due, and records what
// became of them. What a failure means, when to retry and what a payload holds
// are the App's business, not the engine's.
//
// All methods may be called concurrently. The package enginetest tests an
// Engine against this contract.
type Engine interface {
	Inserter

	// Check reports whether the engine can honour everything m asks for. Its
	// error wraps [ErrUnsupported] and names the option. Insert applies it to
	// every message, and App.Start to every registered task.
	Check(m *Message) error

	// Serve hands due tasks to w.Run, at most w.Slots at a time, until ctx
	// ends. From then on it takes no more tasks and waits for those that run.
	// When w.Abandon is closed it stops waiting: it gives the tasks that still
	// run back, so that another worker runs them at once and with the same
	// Attempt, refuses their outcomes from then on, and returns an
	// [*UnfinishedError] that names them. It returns nil when every task it
	// handed out was concluded. Any other error means that the engine cannot go
	// on.
	//
	// Runs see the values of ctx, but do not end with it: it is the App that
	// ends them at a shutdown, in its own time. Serve may be called several
	// times at once, and again after it has returned.
	Serve(ctx context.Context, w *Worker) error

	// Get returns the entry of the task, or [ErrNotFound]. The errors of
	// this method and of those below do not say what was asked of which task:
	// the App does.
	Get(ctx context.Context, id uuid.UUID) (*Entry, error)

	// List returns entries that match q, oldest first, and the cursor of the
	// next page, empty after the last. It reads a bounded number of rows and
	// bytes, however many there are, so that a page may hold fewer entries than
	// q.Limit, or none, although more follow.
	List(ctx context.Context, q Query) (entries []*Entry, next string, err error)

	// Cancel ends a waiting task as cancelled with the reason, and stops a
	// running one, in whichever process it runs, by Delivery.Stop with
	// [CancelCause]. If that run then succeeds or fails, so does the task; any
	// other outcome, and the loss of the run, end it as cancelled with the
	// reason. For a task that has ended it does nothing. An unknown id is
	// [ErrNotFound].
	Cancel(ctx context.Context, id uuid.UUID, reason string) error

	// Retry makes a task that failed or was cancelled due now, for one more
	// run with the Attempt of its last one. The task takes its key again, if it
	// would still hold it. A task in any other state is left as it is and the
	// error wraps [ErrState]; so is one whose key another task holds by now, and
	// the error names that task. An unknown id is [ErrNotFound].
	Retry(ctx context.Context, id uuid.UUID) error

	// Delete forgets a task that is not running. A running one is
	// [ErrRunning], an unknown id [ErrNotFound].
	Delete(ctx context.Context, id uuid.UUID) error

	// Close releases what the engine holds. It is called after Serve has
	// returned, by whoever opened the engine: an App does not own its engine.
	Close() error
}

// EngineAs returns the first T among e and the engines that it wraps, each by a
// method Unwrap() Engine: an engine that decorates another has one, so that what
// only that can do is found.
func EngineAs[T any](e Engine) (T, bool) {
	for e != nil {
		if t, ok := e.(T); ok {
			return t, true
		}
		w, ok := e.(interface{ Unwrap() Engine })
		if !ok {
			break
		}
		e = w.Unwrap()
	}
	var none T
	return none, false
}

// Inserter stores new tasks. An Engine is one; so are a database transaction
// and a test's recorder, which [App.Via] turns into an [Enqueuer].
type Inserter interface {
	// Insert stores the messages, durably by the time it returns, and answers
	// with one Inserted for each, in order. With an error nothing is stored,
	// unless it wraps an [*UncertainError]. It neither changes a message nor
	// keeps the slice, but may keep the messages.
	Insert(ctx context.Context, ms []*Message) ([]Inserted, error)
}

// Waiter is implemented by engines that can tell when a task ends. For other
// engines a Handle polls Get.
type Waiter interface {
	// Wait returns the task's entry once its state is final. An unknown id is
	// [ErrNotFound]; when ctx ends first, the error is its cause.
	Wait(ctx context.Context, id uuid.UUID) (*Entry, error)
}

// SingleInserter is implemented by engines that store one message cheaper than
// a batch of one. It is the same as Insert otherwise, but for a message that was
// inserted before, as none is that the App has just made: it is stored once, but
// the answer may be the one for a new task.
type SingleInserter interface {
	InsertOne(ctx context.Context, m *Message) (Inserted, error)
}

// Inserted is the engine's answer for one message.
type Inserted struct {
	// ID identifies the task from now on: the message's own, or one that the
	// engine makes from its native identifier. With Existing it is the ID of
	// the task that holds the key.
	ID uuid.UUID
	// Existing says that another task held the message's Key, perhaps one of
	// the same batch, and that the message was not stored.
	Existing bool
	// Err says that this message was not stored although others were. Only an
	// engine without atomic batches uses it.
	Err error
}

// Worker is what an App asks its engine to serve.
type Worker struct {
	// ID is unique for each start of each process.
	ID string
	// Slots is how many tasks may run at a time. A run counts until it
	// returns, also when it ignores its context.
	Slots int
	// Queues are the queues to serve. The order has no meaning.
	Queues []string
	// Names are the task names that this worker can run, sorted. Due tasks of
	// other names in the same queues wait for another worker.
	Names []string
	// ParkFor is how long a task of an unknown name waits, from when it was
	// due, before the engine ends it as failed with the reason.
	ParkFor time.Duration
	// Abandon is closed when Serve must wait no longer for running tasks.
	Abandon <-chan struct{}
	// Run runs a delivery to its end and returns what became of it. It never
	// panics, and survives a handler that calls Goexit: it costs a goroutine.
	Run func(ctx context.Context, d *Delivery) Outcome
	// RunInline is Run on the caller's goroutine. It writes all of the outcome
	// before it returns, or, when the handler calls Goexit, before the goroutine's
	// deferred calls run and it ends. It never panics.
	RunInline func(ctx context.Context, d *Delivery, o *Outcome)
	// Refused is to be called, when the outcome of a delivery was not
	// recorded, because the task no longer belonged to it.
	Refused func(d *Delivery, o Outcome)
	// Now is the clock by which tasks are due.
	Now func() time.Time
}

// Knows reports whether the worker can run tasks of the name.
func (w *Worker) Knows(name string) bool {
	_, ok := slices.BinarySearch(w.Names, name)
	return ok
}

// Delivery is one run of a task, as an engine hands it out. An engine makes one
// for each run and does not use it for another.
type Delivery struct {
	// Message is the task. It may be shared and must not be changed.
	Message *Message
	// Attempt is the number of earlier runs that ended with OutcomeRetry, or
	// without an outcome because their worker was lost. Snoozing and parking do
	// not count.
	Attempt int
	// Memo reads and writes what the App keeps with the task from run to run.
	Memo Memo

	stopper
}

// Memo is the App's own storage beside a task: opaque JSON of at most
// [MaxMemo] bytes. Its methods may be called while the task runs.
type Memo interface {
	// LoadMemo returns what was last written, nil if nothing was.
	LoadMemo(ctx context.Context) (json.RawMessage, error)
	// SaveMemo replaces it. When the delivery no longer owns the task, since it
	// was concluded or given to another, nothing is written and the error is
	// [ErrLeaseLost]. It returns soon after ctx has ended.
	SaveMemo(ctx context.Context, memo json.RawMessage) error
}

// MaxMemo and MaxReason bound, in bytes, what an Outcome carries beside its
// result. The App keeps within them.
const (
	MaxMemo   = 64 << 10
	MaxReason = 4 << 10
)

// OutcomeKind says how a run ended.
type OutcomeKind uint8

// The outcomes of a run.
const (
	// OutcomeRelease gives the task back as it was: the worker shuts down.
	OutcomeRelease OutcomeKind = iota
	// OutcomeSucceed ends the task with its result.
	OutcomeSucceed
	// OutcomeFail ends the task as failed.
	OutcomeFail
	// OutcomeCancel ends the task as cancelled.
	OutcomeCancel
	// OutcomeRetry runs the task again after Outcome.After. It uses an attempt.
	OutcomeRetry
	// OutcomeDelay runs the task again after Outcome.After: a snooze, or a
	// task that no worker here can run yet. It uses no attempt.
	OutcomeDelay
)

// Outcome is what became of a run. An engine records it only if the delivery
// still owns the task, and calls Worker.Refused otherwise.
type Outcome struct {
	Kind OutcomeKind
	// After is how long to wait before the next run, never negative.
	After time.Duration
	// Result is the JSON of the task's result, nil for a task without one.
	Result json.RawMessage
	// Reason is why the task failed, was cancelled, or must run again. It is
	// valid UTF-8 without NUL bytes, at most [MaxReason] bytes.
	Reason string
	// Memo replaces what is kept with the task; nil leaves it as it is.
	Memo json.RawMessage
}

// Errors of engines. Test for them with errors.Is.
var (
	// ErrNotFound: no task has this id, or it was forgotten.
	ErrNotFound = errors.New("task not found")
	// ErrRunning: the task runs, so it cannot be deleted.
	ErrRunning = errors.New("task is running")
	// ErrState: the task's state does not allow the operation.
	ErrState = errors.New("not possible in the task's state")
	// ErrUnsupported: the engine cannot honour an option. Nothing was enqueued.
	ErrUnsupported = errors.New("not supported by this engine")
	// ErrQueueFull: the engine holds as many tasks as it may. Nothing was
	// enqueued.
	ErrQueueFull = errors.New("queue is full")
	// ErrClosed: the engine was closed.
	ErrClosed = errors.New("engine is closed")
)

// The causes with which a running task's context may end, from context.Cause.
var (
	// ErrCancelled: the task was cancelled from outside. It wraps
	// context.Canceled.
	ErrCancelled = fmt.Errorf("task was cancelled: %w", context.Canceled)
	// ErrShutdown: the worker stops. It wraps context.Canceled.
	ErrShutdown = fmt.Errorf("worker is shutting down: %w", context.Canceled)
	// ErrLeaseLost: the engine gave the task to another worker, since this one
	// did not prove in time that it lives. It wraps context.Canceled.
	ErrLeaseLost = fmt.Errorf("lease on the task was lost: %w", context.Canceled)
	// ErrTimeout: the attempt took longer than the task's timeout. It wraps
	// context.DeadlineExceeded.
	ErrTimeout = fmt.Errorf("task took longer than its timeout: %w", context.DeadlineExceeded)
)

// UncertainError says that the answer of the store was lost, so that it is not
// known whether the tasks were enqueued. Each has one of the IDs if it was:
// [App.Lookup] tells, once the store can be reached again.
type UncertainError struct {
	IDs []uuid.UUID
	// Err is what became of the request.
	Err error
}

// Error says what is not known, and why.
func (e *UncertainError) Error() string {
	return fmt.Sprintf("it is not known whether %d task(s) were enqueued: %v", len(e.IDs), e.Err)
}

// Unwrap returns what became of the request.
func (e *UncertainError) Unwrap() error { return e.Err }

// UnfinishedError is returned by Engine.Serve, App.Run and App.Stop when tasks
// were still running after every grace. They were given back to the engine:
// another worker runs them again.
type UnfinishedError struct {
	Tasks []Unfinished
}

// Unfinished names one task that did not return in time.
type Unfinished struct {
	ID   uuid.UUID
	Name string
}

// Error names the tasks that did not return.
func (e *UnfinishedError) Error() string {
	names := make([]string, len(e.Tasks))
	for i, t := range e.Tasks {
		names[i] = t.Name + " " + t.ID.String()
	}
	return fmt.Sprintf("%d task(s) did not return in time and were given back: %s",
		len(e.Tasks), strings.Join(names, ", "))
}
