package engine

import (
	"context"

	"github.com/google/uuid"
)

// Engine stores tasks, hands out due ones, and records the outcomes of their
// runs. The App decides what a failure means, when to retry and what a payload
// holds.
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
	// ends. Then it takes no more tasks and waits for the running ones. When
	// w.Abandon is closed it stops waiting: it gives the running tasks back,
	// so that another worker runs them at once with the same Attempt, refuses
	// their outcomes from then on, and returns an [*UnfinishedError] that
	// names them. It returns nil when every task it handed out was concluded.
	// Any other error means that the engine cannot go on.
	//
	// Runs see the values of ctx, but do not end with it: the App ends them at
	// a shutdown, in its own time. Serve may be called several times at once,
	// and again after it has returned.
	Serve(ctx context.Context, w *Worker) error

	// Get returns the entry of the task, or [ErrNotFound]. The errors of Get,
	// List, Cancel, Retry and Delete name neither operation nor task: the App
	// adds both.
	Get(ctx context.Context, id uuid.UUID) (*Entry, error)

	// List returns entries that match q, oldest first unless q says otherwise,
	// and the cursor of the next page, empty after the last. It reads a bounded
	// number of rows and bytes: a page may hold fewer entries than q.Limit, or
	// none, although more follow.
	List(ctx context.Context, q Query) (entries []*Entry, next string, err error)

	// Cancel ends a waiting task as cancelled with the reason, and stops a
	// running one, in any process, by Delivery.Stop with [CancelCause]. If
	// that run then succeeds or fails, so does the task; any other outcome,
	// and the loss of the run, end it as cancelled with the reason. Cancel
	// leaves an ended task as it is. An unknown id is [ErrNotFound].
	Cancel(ctx context.Context, id uuid.UUID, reason string) error

	// Retry makes a task that failed or was cancelled due now, for one more
	// run with the Attempt of its last one. The task takes its key again, if
	// it would still hold it. In any other state, or while another task holds
	// the key, the task stays as it is and the error wraps [ErrState]; it
	// names the key's holder. An unknown id is [ErrNotFound].
	Retry(ctx context.Context, id uuid.UUID) error

	// Delete forgets a task that is not running. A running one is
	// [ErrRunning], an unknown id [ErrNotFound].
	Delete(ctx context.Context, id uuid.UUID) error

	// Close releases the engine's resources. The caller that opened the engine
	// calls it, after Serve has returned: an App does not own its engine.
	Close() error
}

// As returns the first T among e and the engines that it wraps. A decorating
// engine gives its inner engine by a method Unwrap() Engine, so that the inner
// one's optional interfaces are found.
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

// Waiter is implemented by engines that notice when a task ends. For other
// engines a Handle polls Get.
type Waiter interface {
	// Wait returns the task's entry once its state is final. An unknown id is
	// [ErrNotFound]; when ctx ends first, the error is its cause.
	Wait(ctx context.Context, id uuid.UUID) (*Entry, error)
}

// NowRunner is implemented by engines that can run a task before its time.
type NowRunner interface {
	// RunNow makes a task that waits for its time due now: a scheduled one, or one
	// that is retrying. It uses no attempt. Pauses and limits hold as for any due
	// task; in an order the task keeps its turn. A task that is due already stays as
	// it is. Any other state, a suspended task's too, is [ErrState], and an unknown
	// id [ErrNotFound].
	RunNow(ctx context.Context, id uuid.UUID) error
}

// SingleInserter is implemented by engines that store one message cheaper than
// a batch of one. It is otherwise the same as Insert, except that re-inserting
// a stored message may answer as if it were new; the App never does that.
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
