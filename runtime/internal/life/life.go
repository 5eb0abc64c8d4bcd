// Package life is the context of one run of a task. It derives from its
// parent's, and becomes one of package context only when something asks for
// its Done channel.
package life

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// TaskKey is the key under which the Value of a task's context finds its run.
type TaskKey struct{}

// ErrDone is the cause with which the context of a finished run ends.
var ErrDone = fmt.Errorf("the task's run has ended: %w", context.Canceled)

// Life is when and why a run ends. Its zero value, with a Parent, is ready.
type Life struct {
	Parent context.Context
	Limit  *Limit // nil: none
	Ended  atomic.Bool

	Mu    sync.Mutex     // guards Parent, Limit, cause, and the making of std
	cause error          // why the context ended, nil while it has not
	std   unsafe.Pointer // a *standard, nil while there is none; atomic
}

// Limit is when an attempt is out of time, and the cause then.
type Limit struct {
	At    time.Time
	Cause error
}

// standard is the context as package context makes it.
type standard struct {
	context.Context
	cancel context.CancelCauseFunc
	stop   context.CancelFunc
}

// made returns the standard context if there is one.
func (l *Life) made() *standard {
	return (*standard)(atomic.LoadPointer(&l.std))
}

// Context makes the standard context. Most tasks never ask for their Done
// channel, and then none is made.
func (l *Life) Context() context.Context {
	if s := l.made(); s != nil {
		return s.Context
	}
	l.Mu.Lock()
	defer l.Mu.Unlock()
	return l.standard().Context
}

func (l *Life) standard() *standard {
	if s := l.made(); s != nil {
		return s
	}
	s := new(standard)
	s.Context, s.cancel = context.WithCancelCause(l.Parent)
	if m := l.Limit; m != nil {
		s.Context, s.stop = context.WithDeadlineCause(s.Context, m.At, m.Cause)
	}
	if l.cause != nil {
		s.cancel(l.cause)
	}
	atomic.StorePointer(&l.std, unsafe.Pointer(s))
	return s
}

// Cancel ends the context. Only the first cause counts.
func (l *Life) Cancel(cause error) {
	l.Mu.Lock()
	defer l.Mu.Unlock()
	if l.cause != nil {
		return
	}
	if l.made() == nil && l.Parent.Err() == nil {
		l.cause = cause
		l.standard()
		return
	}
	s := l.standard()
	if l.cause = context.Cause(s.Context); l.cause == nil {
		l.cause = cause
	}
	s.cancel(cause)
}

// End closes the context, with the cause if none came before.
func (l *Life) End(cause error) {
	l.Mu.Lock()
	defer l.Mu.Unlock()
	l.Ended.Store(true)
	if l.cause == nil {
		l.cause = cause
	}
	if s := l.made(); s != nil {
		s.cancel(cause)
		if s.stop != nil {
			s.stop()
		}
	}
}

// lazy reports that no standard context is needed yet to answer.
func (l *Life) lazy() bool { return l.made() == nil && l.Limit == nil && !l.Ended.Load() }

// Err is the Err of the context.
func (l *Life) Err() error {
	if l.lazy() {
		return l.Parent.Err()
	}
	return l.Context().Err()
}

// Deadline is the Deadline of the context.
func (l *Life) Deadline() (time.Time, bool) {
	d, ok := l.Parent.Deadline()
	if m := l.Limit; m != nil && (!ok || m.At.Before(d)) {
		return m.At, true
	}
	return d, ok
}

// Value is the Value of the context.
func (l *Life) Value(key any) any {
	if l.lazy() {
		return l.Parent.Value(key)
	}
	return l.Context().Value(key)
}

// StopCause returns why the run was stopped, nil if it was not.
func (l *Life) StopCause() error {
	if l.Err() == nil {
		return nil
	}
	return context.Cause(l.Context())
}
