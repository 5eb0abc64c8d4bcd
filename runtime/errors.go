package runtime

import "github.com/taskctx/taskctx/runtime/engine"

// Errors of engines, as an App returns them. Test for them with errors.Is.
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
)
