package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/taskctx/taskctx/runtime/internal/life"
)

// stopper carries the end of a delivery from its engine to its run.
//
// Stop sets cause and then looks for a run. Bind sets the run and then looks
// for a cause. The later of both sees the value of the other.
//
// Each is a word: an atomic.Value would be two, and 16 bytes more a task.
type stopper struct {
	cause unsafe.Pointer // why the run must end, an *error, nil if it need not
	run   unsafe.Pointer // a *life.Life, set while the task runs
}

// Stop ends the context of the delivery's run with the cause: [ErrShutdown],
// [ErrLeaseLost], or a [CancelCause]. Called before the run, it takes effect
// when the run starts; after the run it does nothing. Only the first call
// counts. It does not wait, and may be called from any goroutine.
func (d *Delivery) Stop(cause error) {
	atomic.CompareAndSwapPointer(&d.cause, nil, unsafe.Pointer(&cause))
	if r := (*life.Life)(atomic.LoadPointer(&d.run)); r != nil {
		r.Cancel(*(*error)(atomic.LoadPointer(&d.cause)))
	}
}

// Context returns a context that ends when parent does, or by Stop with its
// cause. It serves a Worker without an App, such as one that tests an engine.
// Call the returned function when the run has ended.
func (d *Delivery) Context(parent context.Context) (context.Context, context.CancelFunc) {
	l := &life.Life{Parent: parent}
	ctx := l.Context()
	if cause := d.Bind(l); cause != nil {
		l.Cancel(cause)
	}
	return ctx, func() {
		_ = d.Bind(nil) // nothing to stop any more
		l.End(context.Canceled)
	}
}

// Bind makes Stop end l, or nothing if l is nil. It returns the cause if Stop
// was called already. Bind(nil) after a run lets go of its Life, since an
// engine may keep the delivery with the task's record.
func (d *Delivery) Bind(l *life.Life) error {
	atomic.StorePointer(&d.run, unsafe.Pointer(l))
	if cause := (*error)(atomic.LoadPointer(&d.cause)); cause != nil {
		return *cause
	}
	return nil
}

// cancelCause is the cause of a cancellation from outside.
type cancelCause struct{ reason string }

// CancelCause returns the cause with which an engine stops a running task that
// was cancelled from outside. It wraps [ErrCancelled] and carries the reason
// to the task's outcome.
func CancelCause(reason string) error { return &cancelCause{reason} }

func (c *cancelCause) Error() string { return fmt.Sprintf("%v: %s", ErrCancelled, c.reason) }
func (c *cancelCause) Unwrap() error { return ErrCancelled }

// CancelReason returns the reason of a [CancelCause], and whether err is one.
func CancelReason(err error) (string, bool) {
	var c *cancelCause
	if !errors.As(err, &c) {
		return "", false
	}
	return c.reason, true
}

// InTask reports whether ctx is a task's, or derived from one. An engine that
// makes its caller wait for other tasks refuses to do so within a task, since
// they may need that task's slot.
func InTask(ctx context.Context) bool { return ctx != nil && ctx.Value(life.TaskKey{}) != nil }
