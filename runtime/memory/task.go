package memory

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
)

// place says which structure holds a task.
type place uint8

const (
	nowhere place = iota // it runs
	inLater              // Engine.later
	inFifo               // a group's list
	inHeap               // a group's heap
	inEnded              // Engine.ended, list
	inKept               // Engine.ended, heap
)

// task is one task, from its insertion until it is forgotten. Its first run is
// part of it, so that a task costs one allocation. Guarded by Engine.mu, but
// for what never changes.
type task struct {
	e   *Engine
	msg *runtime.Message
	id  uuid.UUID
	seq uint64 // the order of insertion

	due        time.Time // when it may run next
	started    time.Time // of the latest run
	endedAt    time.Time
	owner      *run   // the run that may conclude it, nil if none
	worker     string // the id of the worker of the latest run
	result     json.RawMessage
	more       *more // what few tasks have
	attempt    int
	pos        int // in a heap
	state      state
	place      place
	first      run
	group      *group // while in inFifo or inHeap
	next, prev *task  // in a list
	older      *task  // in Engine.all
	newer      *task
	chain      *task // in a bucket of Engine.tasks
}

// state is a task's state, as far as it is stored: whether a waiting task is
// scheduled or pending is told by the clock.
type state uint8

const (
	waiting state = iota
	retrying
	running
	succeeded
	failed
	cancelled
)

func (s state) final() bool { return s >= succeeded }

// more is what few tasks have.
type more struct {
	reason    string
	memo      json.RawMessage
	cancelled bool   // while running: a Cancel asked it to stop
	why       string // with which reason
	done      chan struct{}
}

func (t *task) extra() *more {
	if t.more == nil {
		t.more = new(more)
	}
	return t.more
}

// wake tells those who wait for the end of the task to look again.
func (t *task) wake() {
	if t.more != nil && t.more.done != nil {
		close(t.more.done)
		t.more.done = nil
	}
}

func (t *task) setReason(reason string) {
	if reason != "" || t.more != nil {
		t.extra().reason = reason
	}
}

// before is the order in which tasks of one priority run, and in which those
// with a Keep of their own are forgotten.
func (t *task) before(o *task) bool {
	if c := t.when().Compare(o.when()); c != 0 {
		return c < 0
	}
	return t.seq < o.seq
}

// when is the time that orders the task where it is now.
func (t *task) when() time.Time {
	if t.place == inKept {
		return t.endedAt.Add(t.msg.Keep)
	}
	return t.due
}

// entry describes the task as it is at the time now.
func (t *task) entry(now time.Time) *runtime.Entry {
	en := &runtime.Entry{
		ID: t.id, Message: t.msg, State: t.publicState(now), Attempt: t.attempt, Due: t.due,
		StartedAt: t.started, EndedAt: t.endedAt, Worker: t.worker, Result: bytes.Clone(t.result),
	}
	if t.more != nil {
		en.Reason, en.Memo = t.more.reason, bytes.Clone(t.more.memo)
	}
	return en
}

func (t *task) publicState(now time.Time) runtime.State {
	switch t.state {
	case waiting:
		if t.place == inLater && t.due.After(now) {
			return runtime.StateScheduled
		}
		return runtime.StatePending
	case retrying:
		return runtime.StateRetrying
	case running:
		return runtime.StateRunning
	case succeeded:
		return runtime.StateSucceeded
	case failed:
		return runtime.StateFailed
	default:
		return runtime.StateCancelled
	}
}

// run is one run of a task: what is handed to the worker, and the right to say
// what became of the task.
type run struct {
	runtime.Delivery
	t *task
}

// start makes a run of the task that owns it from now on.
func (t *task) start(now time.Time, worker string) *run {
	r := &t.first
	if r.t != nil {
		r = new(run)
	}
	r.t = t
	r.Message, r.Attempt, r.Memo = t.msg, t.attempt, r
	t.owner, t.state, t.started, t.worker = r, running, now, worker
	return r
}

// LoadMemo implements [runtime.Memo].
func (r *run) LoadMemo(context.Context) (json.RawMessage, error) {
	r.t.e.mu.Lock()
	defer r.t.e.mu.Unlock()
	if r.t.more == nil {
		return nil, nil
	}
	return bytes.Clone(r.t.more.memo), nil
}

// SaveMemo implements [runtime.Memo].
func (r *run) SaveMemo(_ context.Context, memo json.RawMessage) error {
	r.t.e.mu.Lock()
	defer r.t.e.mu.Unlock()
	if r.t.owner != r {
		return runtime.ErrLeaseLost
	}
	r.t.extra().memo = bytes.Clone(memo)
	return nil
}
