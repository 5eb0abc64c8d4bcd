package engine

import (
	"context"

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

// As returns the first T among e and the engines that it wraps, each by a
// method Unwrap() Engine: an engine that decorates another has one, so that what
// only that can do is found.
func As[T any](e Engine) (T, bool) {
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
// and a test's recorder, which runtime.App.Via turns into a runtime.Enqueuer.
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
