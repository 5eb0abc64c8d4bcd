package runtime

import (
	"errors"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/internal/life"
)

// Errors of an App, of its engine, and of what is enqueued. Test for them with
// errors.Is.
var (
	// ErrNotFound: no task has this id, or its record is gone.
	ErrNotFound = engine.ErrNotFound
	// ErrRunning: the task runs, so it cannot be deleted.
	ErrRunning = engine.ErrRunning
	// ErrState: the task's state does not allow the operation.
	ErrState = engine.ErrState
	// ErrUnsupported: the engine cannot honour an option. Nothing was enqueued.
	ErrUnsupported = engine.ErrUnsupported
	// ErrQueueFull: the engine holds as many tasks as it may. Nothing was
	// enqueued.
	ErrQueueFull = engine.ErrQueueFull
	// ErrClosed: the engine was closed.
	ErrClosed = engine.ErrClosed
	// ErrJournalFull: a durable task remembers as much as it may.
	ErrJournalFull = engine.ErrJournalFull
	// ErrCursor: the cursor is not one that List returned for such a query.
	ErrCursor = engine.ErrCursor
	// ErrOption: an option of the call is wrong. Nothing was enqueued.
	ErrOption = errors.New("an option is wrong")
	// ErrPayloadTooLarge: the arguments are over Config.MaxPayload, and nothing
	// was enqueued; or the result is, and the task has failed.
	ErrPayloadTooLarge = errors.New("payload is too large")
	// ErrBatchDone: the batch was enqueued before.
	ErrBatchDone = errors.New("batch was enqueued already")
	// ErrUnknownTask: the app has no task of the name.
	ErrUnknownTask = errors.New("no task of this name is registered")
	// ErrUnknownSchedule: the app has no schedule of the name.
	ErrUnknownSchedule = errors.New("no schedule of this name is registered")
	// ErrStarted: the app's worker runs already.
	ErrStarted = errors.New("app is already started")
	// ErrStillStopping: the worker did not stop in time, since its engine has
	// not returned: its store may be silent. It goes on stopping. Another Stop
	// waits for it; until then Start returns ErrStarted.
	ErrStillStopping = errors.New("the worker did not stop in time: its engine has not returned")
)

// Causes of the end of a running task's context, from context.Cause.
var (
	// ErrCancelled: the task was cancelled from outside. It wraps
	// context.Canceled.
	ErrCancelled = engine.ErrCancelled
	// ErrShutdown: the worker stops. It wraps context.Canceled.
	ErrShutdown = engine.ErrShutdown
	// ErrLeaseLost: the task was given to another worker, since this one did
	// not renew its lease in time. It wraps context.Canceled.
	ErrLeaseLost = engine.ErrLeaseLost
	// ErrTimeout: the attempt took longer than the task's timeout. It wraps
	// context.DeadlineExceeded.
	ErrTimeout = engine.ErrTimeout
	// ErrDeadline: the task's [WithDeadline] has passed. It fails the task:
	// another run would be too late as well. It wraps ErrTimeout.
	ErrDeadline error = &guard.Hidden{Text: "task is past its deadline", Err: engine.ErrTimeout}
	// ErrTaskDone: the run has ended. It is the error of a task's storage and
	// locals from then on, too.
	ErrTaskDone = life.ErrDone
)

// Errors that a task's function meets.
var (
	// ErrNoTask: the function works only in a task.
	ErrNoTask = errors.New("not in a task")
	// ErrSuspended: the wait of a durable function, which must return this error,
	// is not over yet. Its run ends there, and the task runs again from the top
	// when the wait is over. A run that got it is suspended whatever the function
	// returns, unless that has an error of another branch beside it: see
	// [errors.Join].
	ErrSuspended = errors.New("task is suspended until what it waits for has come")
	// ErrAwaitTimeout: nothing was sent in the time of [Signal.Await].
	ErrAwaitTimeout = errors.New("no signal came in time")
	// ErrWaitInTask: Handle.Wait was called in a task. It is [Permanent]: the next
	// attempt would enqueue its tasks once more, and fail again.
	ErrWaitInTask = Permanent(errors.New("a task that waits for a task holds a slot that the other may need, and enqueues it " +
		"again when it is retried: make it durable, and wait with runtime.Spawn(ctx, name, call).Await(ctx)"))
	// ErrGoexit: a task's handler called runtime.Goexit, or a hook of an Enqueue
	// did.
	ErrGoexit = guard.ErrGoexit
)
