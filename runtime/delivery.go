package runtime

import (
	"fmt"
	"sync"
)

// stopper carries the end of a delivery from its engine to its run.
type stopper struct {
	mu    sync.Mutex
	cause error // guarded by mu: why the run must end, nil if it need not
	run   *run  // guarded by mu: set while the task runs
}

// Stop ends the context of the delivery's run with the cause: [ErrShutdown],
// [ErrLeaseLost], or [CancelCause] of a reason. Before the run it takes effect
// when the run starts, after it has none. Only the first call counts. It does
// not wait, and may be called from any goroutine.
func (d *Delivery) Stop(cause error) {
	d.mu.Lock()
	if d.cause == nil {
		d.cause = cause
	}
	cause, r := d.cause, d.run
	d.mu.Unlock()
	if r != nil {
		r.cancel(cause)
	}
}

// bind makes r the run that Stop ends, and returns the cause if it was called
// already.
func (d *Delivery) bind(r *run) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.run = r
	return d.cause
}

// cancelCause is the cause of a cancellation from outside.
type cancelCause struct{ reason string }

// CancelCause returns the cause with which an engine stops a running task that
// was cancelled from outside. It wraps [ErrCancelled], and the task's outcome
// carries the reason.
func CancelCause(reason string) error { return &cancelCause{reason} }

func (c *cancelCause) Error() string { return fmt.Sprintf("%v: %s", ErrCancelled, c.reason) }
func (c *cancelCause) Unwrap() error { return ErrCancelled }
