package runtime

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/life"
	"github.com/taskctx/taskctx/runtime/internal/locals"
	"github.com/taskctx/taskctx/runtime/internal/redact"
	"github.com/taskctx/taskctx/runtime/internal/store"
)

// run is one run of a task. It is made for one delivery and never used again,
// so that leftovers of a task cannot meet another task. It holds the part that
// every run needs; the rest is in extras.
type run struct {
	root   Context   // the handle that the task gets; root.run is this run
	life   life.Life // its context; the parent is the engine's, with propagated values
	app    *App
	reg    *registration
	msg    *engine.Message
	d      *engine.Delivery
	slot   *slot
	worker *worker

	// Used only by the goroutine that runs the task.
	args    any
	result  json.RawMessage
	taskErr error // what became of the task
	err     error // what became of the handler, which has the last word
	flags   runFlags

	task     atomic.Int32   // taskIdle and what follows
	returned atomic.Bool    // the task function has returned
	extra    unsafe.Pointer // an *extras, made when something first needs it; atomic
}

// runFlags are notes of the goroutine that runs the task.
type runFlags struct {
	handled     bool // the handler has returned: no panic, no Goexit
	taken       bool // the result, or the error that is there instead
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

// leave notes that the task function has ended.
func (r *run) leave() {
	if !r.task.CompareAndSwap(taskRunning, taskOver) {
		close(r.more().late)
	}
}

// join ensures that the task function does not run after the run has ended.
// Middleware may call it on another goroutine without waiting for it, or call
// it too late.
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

// extras is the part of a run that few runs need.
type extras struct {
	scoped   store.Store   // values of task scope
	children children      // goroutines started with Go
	bound    *Context      // the context that middleware passed to the task; nil: the run's own
	late     chan struct{} // closed when a task that is taskLate has ended

	saving  sync.Mutex // guards concluded; held while the memo is written to the engine
	reading sync.Mutex // guards memo and byHand; taken after saving
	memo    *memo      // the memo, once read

	final *engine.Outcome // the outcome that a transaction of the task's has committed

	// Together, since they fill one word.
	concluded bool // the outcome has the memo: it is not saved any more
	byHand    bool // the memo says that a retry by hand begins, to be marked in the log
	lost      bool // a transaction of the task's was refused, since the run does not own the task
	ending    bool // no save may begin; guarded by mu

	lasting unsafe.Pointer // a *lasting, of a durable task and of its steps; atomic

	redactOnce sync.Once
	redactWith *redact.Redactor

	mu      sync.Mutex    // guards all below
	notes   *notes        // log lines and progress, nil while there are none
	saved   time.Time     // when notes were last written
	endSave func()        // ends a save that is under way, nil while none is
	record  *Record       // as last read by the task
	commits int           // transactions that are to end the task
	locals  *locals.Table // the task's local values, nil while there are none
	started time.Time     // for observers
}

// extras returns the run's extras, nil while it has none.
func (r *run) extras() *extras {
	return (*extras)(atomic.LoadPointer(&r.extra))
}

// more returns the run's extras, made if it has none.
func (r *run) more() *extras {
	if x := r.extras(); x != nil {
		return x
	}
	r.life.Mu.Lock() // locked: extras made from now on know that the run has ended
	defer r.life.Mu.Unlock()
	x := r.extras()
	if x == nil {
		x = new(extras)
		x.concluded = r.life.Ended.Load()
		atomic.StorePointer(&r.extra, unsafe.Pointer(x))
	}
	return x
}

// setLimit sets the time limit of the attempt, before the task runs.
func (r *run) setLimit(now time.Time) {
	r.life.Mu.Lock() // Stop may be making the context
	defer r.life.Mu.Unlock()
	timeout := r.msg.Meta.Timeout
	if timeout == 0 {
		timeout = r.reg.def.Timeout
	}
	if timeout > 0 {
		r.life.Limit = &life.Limit{At: now.Add(timeout), Cause: engine.ErrTimeout}
	}
	if d := r.msg.Meta.Deadline; !d.IsZero() && (r.life.Limit == nil || d.Before(r.life.Limit.At)) {
		r.life.Limit = &life.Limit{At: d, Cause: ErrDeadline}
	}
}

func (r *run) id() uuid.UUID { return r.msg.Meta.ID }

func (r *run) rootID() uuid.UUID {
	if r.msg.Meta.Root == uuid.Nil {
		return r.id()
	}
	return r.msg.Meta.Root
}

// retries returns how many retries the task has. A foreign task names none,
// and gets those of its registration.
func (r *run) retries() int {
	if r.msg.Meta.Version == 0 {
		return max(r.reg.def.Retries, 0)
	}
	return max(r.msg.Meta.Retries, 0)
}

// end closes the run: its context, and values that a task may have kept of it.
func (r *run) end() {
	r.life.End(ErrTaskDone)
	if x := r.extras(); x != nil {
		x.stopSaving()
	}
}
