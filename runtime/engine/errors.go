package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

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
	// ErrCursor: the cursor is not one that List returned for such a query.
	ErrCursor = errors.New("not a cursor of this list")
)

// Causes of the end of a running task's context, from context.Cause.
var (
	// ErrCancelled: the task was cancelled from outside. It wraps
	// context.Canceled.
	ErrCancelled = fmt.Errorf("task was cancelled: %w", context.Canceled)
	// ErrShutdown: the worker stops. It wraps context.Canceled.
	ErrShutdown = fmt.Errorf("worker is shutting down: %w", context.Canceled)
	// ErrLeaseLost: the engine gave the task to another worker, since this one
	// did not renew its lease in time. It wraps context.Canceled.
	ErrLeaseLost = fmt.Errorf("lease on the task was lost: %w", context.Canceled)
	// ErrTimeout: the attempt took longer than the task's timeout. It wraps
	// context.DeadlineExceeded.
	ErrTimeout = fmt.Errorf("task took longer than its timeout: %w", context.DeadlineExceeded)
)

// UncertainError says that the store's answer was lost, so that the tasks may
// or may not have been enqueued. An enqueued task has its ID of IDs: ask
// runtime.App.Lookup once the store can be reached again.
type UncertainError struct {
	IDs []uuid.UUID
	// Err is the failure of the request.
	Err error
}

// Error says that the enqueue is uncertain, and why.
func (e *UncertainError) Error() string {
	return fmt.Sprintf("it is not known whether %d task(s) were enqueued: %v", len(e.IDs), e.Err)
}

// Unwrap returns the failure of the request.
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
