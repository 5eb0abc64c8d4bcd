package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// ErrTaskDone is what a task's storage and locals return after its run has
// ended, and the cause with which its context then ends.
var ErrTaskDone = fmt.Errorf("the task's run has ended: %w", context.Canceled)

// run is one run of a task. It is made for one delivery and never used again,
// so that what a task leaves behind cannot meet another task. There is one for
// every task, so it holds what every task needs; the rest is in extras.
type run struct {
	root   Context // the handle that the task gets; root.run is this run
	app    *App
	spec   *spec
	msg    *Message
	d      *Delivery
	slot   *slot
	worker *worker
	parent context.Context // the engine's, with what propagators extracted
	limit  *timeLimit      // nil: none

	// Of the goroutine that runs the task.
	x       execution
	result  json.RawMessage
	taskErr error // what became of the task
	err     error // what became of the handler, which has the last word
	flags   runFlags

	task     atomic.Int32 // taskIdle and what follows
	returned atomic.Bool  // the task function has returned
	ended    atomic.Bool
	std      atomic.Pointer[stdContext] // made when something first needs it
	extra    atomic.Pointer[extras]     // made when something first needs it

	mu    sync.Mutex // guards cause, and the making of std and extra
	cause error      // why the context ended, nil while it has not
}

// runFlags are what the goroutine that runs the task notes.
type runFlags struct {
	handled     bool // the handler has returned: no panic, no Goexit
	broken      bool // it panicked or called Goexit: its slot is not used again
	memoChanged bool
}

// The steps of the task function.
const (
	taskIdle    int32 = iota // middleware has not called it
	taskRunning              // it runs
	taskLate                 // it runs, and the worker waits for it
	taskOver                 // it has ended, or may not begin any more
)

// leave says that the task function has ended.
func (r *run) leave() {
	if !r.task.CompareAndSwap(taskRunning, taskOver) {
		close(r.more().late)
	}
}

// join sees to it that the task function does not run when the run ends:
// middleware may have called it on another goroutine and not waited for it, and
// may call it when it is too late.
func (r *run) join() {
	if r.task.Load() == taskOver || r.task.CompareAndSwap(taskIdle, taskOver) {
		return
	}
	late := make(chan struct{})
	r.more().late = late
	if r.task.CompareAndSwap(taskRunning, taskLate) {
		<-late
	}
}

// timeLimit is when an attempt is out of time, and the cause then.
type timeLimit struct {
	at    time.Time
	cause error
}

// extras is what few runs need.
type extras struct {
	scoped   store         // values of task scope
	children children      // goroutines started with Go
	bound    *Context      // what middleware passed to the task; nil: the run's own
	late     chan struct{} // closed when a task that is taskLate has ended

	saving    sync.Mutex // guards memo to concluded; held while the memo is written
	memo      *memo      // what is kept with the task, once read
	byHand    bool       // the memo says that a retry by hand begins, to be marked in the log
	concluded bool       // the outcome has the memo: it is not saved any more

	redactOnce sync.Once
	redactWith *redactor

	mu      sync.Mutex // guards all below
	notes   *notes     // log lines and progress, nil while there are none
	saved   time.Time  // when notes were last written
	record  *Record    // as last read by the task
	locals  *locals    // the task's local values, nil while there are none
	started time.Time  // for observers
}

// more returns the run's extras.
func (r *run) more() *extras {
	if x := r.extra.Load(); x != nil {
		return x
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.extra.Load()
	if x == nil {
		x = new(extras)
		x.concluded = r.ended.Load()
		r.extra.Store(x)
	}
	return x
}

// stdContext is the run's context as the context package makes it.
type stdContext struct {
	context.Context
	cancel context.CancelCauseFunc
	stop   context.CancelFunc
}

// materialize makes the run's standard context. Most tasks never ask for
// their Done channel, and then none is made.
func (r *run) materialize() context.Context {
	if s := r.std.Load(); s != nil {
		return s.Context
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.materializeLocked().Context
}

func (r *run) materializeLocked() *stdContext {
	if s := r.std.Load(); s != nil {
		return s
	}
	s := new(stdContext)
	s.Context, s.cancel = context.WithCancelCause(r.parent)
	if l := r.limit; l != nil {
		s.Context, s.stop = context.WithDeadlineCause(s.Context, l.at, l.cause)
	}
	if r.cause != nil {
		s.cancel(r.cause)
	}
	r.std.Store(s)
	return s
}

// cancel ends the run's context. Only the first cause counts.
func (r *run) cancel(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cause != nil {
		return
	}
	if r.std.Load() == nil && r.parent.Err() == nil {
		r.cause = cause
		r.materializeLocked()
		return
	}
	s := r.materializeLocked()
	if r.cause = context.Cause(s.Context); r.cause == nil {
		r.cause = cause
	}
	s.cancel(cause)
}

// lazy reports that no standard context is needed yet to answer for the run's.
func (r *run) lazy() bool { return r.std.Load() == nil && r.limit == nil && !r.ended.Load() }

func (r *run) ctxErr() error {
	if r.lazy() {
		return r.parent.Err()
	}
	return r.materialize().Err()
}

func (r *run) deadline() (time.Time, bool) {
	d, ok := r.parent.Deadline()
	if l := r.limit; l != nil && (!ok || l.at.Before(d)) {
		return l.at, true
	}
	return d, ok
}

func (r *run) value(key any) any {
	if r.lazy() {
		return r.parent.Value(key)
	}
	return r.materialize().Value(key)
}

// stopCause returns why the run was told to stop, nil if it was not.
func (r *run) stopCause() error {
	if r.ctxErr() == nil {
		return nil
	}
	return context.Cause(r.materialize())
}

// setLimit sets when the attempt is out of time, before the task runs.
func (r *run) setLimit(now time.Time) {
	r.mu.Lock() // Stop may be making the context
	defer r.mu.Unlock()
	timeout := r.msg.Meta.Timeout
	if timeout == 0 {
		timeout = r.spec.Timeout
	}
	if timeout > 0 {
		r.limit = &timeLimit{now.Add(timeout), ErrTimeout}
	}
	if d := r.msg.Meta.Deadline; !d.IsZero() && (r.limit == nil || d.Before(r.limit.at)) {
		r.limit = &timeLimit{d, ErrDeadline}
	}
}

// closeScoped runs the cleanups of task scope with the task's error.
func (r *run) closeScoped(cause error) error {
	if x := r.extra.Load(); x != nil {
		return x.scoped.close(cause)
	}
	return nil
}

func (r *run) id() uuid.UUID { return r.msg.Meta.ID }

func (r *run) rootID() uuid.UUID {
	if r.msg.Meta.Root == uuid.Nil {
		return r.id()
	}
	return r.msg.Meta.Root
}

func (r *run) metadata() Metadata {
	deadline, _ := r.deadline()
	return Metadata{
		TaskID: r.id(), Name: r.msg.Name, Func: r.spec.Func, Queue: r.msg.Queue,
		Attempt: r.d.Attempt, MaxRetries: r.retries(), EnqueuedAt: r.msg.Meta.EnqueuedAt,
		Tags: Tags{r.msg.Meta.Tags}, ParentID: r.msg.Meta.Parent, RootID: r.rootID(), Deadline: deadline,
	}
}

// retries is how many retries the task has: a foreign task says nothing, and
// gets what its registration says.
func (r *run) retries() int {
	if r.msg.Meta.Version == 0 {
		return max(r.spec.Retries, 0)
	}
	return max(r.msg.Meta.Retries, 0)
}

// end closes the run: its context, and what a task may have kept of it.
func (r *run) end() {
	r.mu.Lock()
	r.ended.Store(true) // with mu: extras made from now on know it
	if r.cause == nil {
		r.cause = ErrTaskDone
	}
	if s := r.std.Load(); s != nil {
		s.cancel(ErrTaskDone)
		if s.stop != nil {
			s.stop()
		}
	}
	x := r.extra.Load()
	r.mu.Unlock()
	if x != nil {
		x.stopSaving()
	}
}
