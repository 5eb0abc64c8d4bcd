package runtime

import (
	"time"

	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// CancelledError ends a task as cancelled; see [Cancelled].
type CancelledError struct{ Reason string }

// Cancelled returns an error with which a task ends itself as cancelled: it is
// not retried and not counted as a failure, and its cleanups run. The reason
// defaults to "name.cancel", with the task's name. The error may be wrapped.
func Cancelled(reason string) error { return &CancelledError{reason} }

func (e *CancelledError) Error() string {
	if e.Reason == "" {
		return "task cancelled itself"
	}
	return "task cancelled itself: " + e.Reason
}

// PermanentError fails a task without a retry; see [Permanent].
type PermanentError struct{ Err error }

// Permanent returns an error that fails the task now, even with retries left.
// Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &PermanentError{err}
}

func (e *PermanentError) Error() string { return guard.Text(e.Err) }

// Unwrap returns the error that was passed to Permanent.
func (e *PermanentError) Unwrap() error { return e.Err }

// RetryAfterError retries a task after a time of its own; see [RetryAfter].
type RetryAfterError struct {
	After time.Duration
	Err   error
}

// RetryAfter returns an error that retries the task after d, if it has a retry
// left, instead of after its backoff. RetryAfter(d, nil) is nil.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &RetryAfterError{max(d, 0), err}
}

func (e *RetryAfterError) Error() string { return guard.Text(e.Err) }

// Unwrap returns the error that was passed to RetryAfter.
func (e *RetryAfterError) Unwrap() error { return e.Err }

// SnoozeError runs a task again later; see [Snooze].
type SnoozeError struct{ After time.Duration }

// Snooze returns an error that runs the task again after d, without using an
// attempt and without counting as a failure.
func Snooze(d time.Duration) error { return &SnoozeError{max(d, 0)} }

func (e *SnoozeError) Error() string { return "snoozed for " + e.After.String() }
