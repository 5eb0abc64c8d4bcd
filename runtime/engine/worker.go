package engine

import (
	"context"
	"encoding/json"
	"slices"
	"time"
)

// Worker is the App's side of a call of Serve.
type Worker struct {
	// ID is unique for each start of each process.
	ID string
	// Slots is how many tasks may run at a time. A run counts until it
	// returns, even if it ignores its context.
	Slots int
	// Queues are the queues to serve. The order has no meaning.
	Queues []string
	// Weights are how often a queue goes first, beside the others. A queue without
	// one has 1. Nil leaves the order to the engine, which lets no queue wait for
	// ever. An engine looks at the queues by [Worker.InTurn] for each claim.
	Weights map[string]int
	// Strict takes no task of a queue while one of a queue with a higher weight
	// waits. It has no meaning without Weights.
	Strict bool
	// Names are the task names that this worker can run, sorted. Due tasks of
	// other names in the same queues wait for another worker.
	Names []string
	// ParkFor is how long a task of an unknown name waits, counted from its
	// due time, before the engine ends it as failed and gives the reason.
	ParkFor time.Duration
	// Abandon is closed when Serve must stop waiting for running tasks.
	Abandon <-chan struct{}
	// Run runs a delivery to its end and returns its outcome. It never panics,
	// and survives a handler that calls Goexit, at the cost of a goroutine.
	Run func(ctx context.Context, d *Delivery) Outcome
	// RunInline is Run on the caller's goroutine. It writes all of the outcome
	// before it returns. When the handler calls Goexit, it writes the outcome
	// before the goroutine's deferred calls run. It never panics.
	RunInline func(ctx context.Context, d *Delivery, o *Outcome)
	// Refused is to be called for each outcome that was not recorded because
	// its delivery no longer owned the task.
	Refused func(d *Delivery, o Outcome)
	// Now is the clock by which tasks are due.
	Now func() time.Time
}

// RunInto runs a delivery on the caller's goroutine, by RunInline or else by
// Run, and writes its outcome to o. A worker with RunInline keeps the promises
// of that.
func (w *Worker) RunInto(ctx context.Context, d *Delivery, o *Outcome) {
	if w.RunInline != nil {
		w.RunInline(ctx, d, o)
		return
	}
	*o = w.Run(ctx, d)
}

// Knows reports whether the worker can run tasks of the name.
func (w *Worker) Knows(name string) bool {
	_, ok := slices.BinarySearch(w.Names, name)
	return ok
}

// Delivery is one run of a task, as an engine hands it out. An engine makes one
// for each run and does not use it for another.
type Delivery struct {
	// Message is the task. It may be shared and must not be changed.
	Message *Message
	// Attempt is the number of earlier runs that ended with OutcomeRetry, or
	// without an outcome because their worker was lost. Snoozing, parking and
	// suspending do not count.
	Attempt int
	// Memo reads and writes the App's data kept with the task from run to run.
	// That of a [Journaler] is a [Journal] too.
	Memo Memo

	stopper
}

// Memo is the App's own storage beside a task: opaque JSON of at most
// [MaxMemo] bytes. Its methods may be called while the task runs.
type Memo interface {
	// LoadMemo returns the last memo written, nil if there is none.
	LoadMemo(ctx context.Context) (json.RawMessage, error)
	// SaveMemo replaces the memo. When the delivery no longer owns the task,
	// since it was concluded or given to another, nothing is written and the
	// error is [ErrLeaseLost]. It returns soon after ctx has ended.
	SaveMemo(ctx context.Context, memo json.RawMessage) error
}
