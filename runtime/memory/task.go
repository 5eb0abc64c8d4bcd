package memory

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// place is the structure that holds a task.
type place uint8

const (
	nowhere place = iota // it runs
	inLater              // Engine.later
	inFifo               // a group's list
	inHeap               // a group's heap
	inEnded              // Engine.ended
	inHeld               // Engine.held
	inWait               // it is suspended, with no time to wake it
	inGate               // a gate's heap
)

// task is one task, from its insertion until it is forgotten; then its memory
// may be that of another. Guarded by Engine.mu.
type task struct {
	msg *engine.Message
	id  uuid.UUID
	seq uint64 // the order of insertion

	due     time.Time // when it may run next
	started stamp     // of the latest run
	owner   *run      // the run that may conclude it, nil if none
	worker  string    // the id of the worker of the latest run
	more    *more     // rarely needed fields
	attempt int32
	pos     int32 // in a heap
	state   state
	place   place
	shown   shown
	holds   bool // its key, unless it has let go of it
	begun   bool // it has had a run

	tally      *tally // the tally that counts it
	group      *group // while in inFifo or inHeap
	next, prev *task  // in a list
	chain      *task  // in a bucket of Engine.tasks
}

// state is a task's stored state: whether a waiting task is scheduled or
// pending depends on the clock.
type state uint8

const (
	waiting state = iota
	retrying
	suspended
	running
	succeeded
	failed
	cancelled
)

func (s state) final() bool { return s >= succeeded }

// more is fields that most tasks never have, or only at their end.
type more struct {
	ended     stamp
	expires   stamp // end of its time to be kept, once it has ended
	result    json.RawMessage
	reason    string
	memo      json.RawMessage
	cancelled bool   // while running: a Cancel asked it to stop
	why       string // the reason
	done      chan struct{}
	keyUntil  time.Time // the end of the time of a key that it has let go of
	journal   *journal
	held      []*gate // in which it has a place, in the order of its limits
	gate      *gate   // while in inGate
	counted   bool    // its run counts under the rates of held
	turn      uint64  // after which others it comes, if it was retried by hand
}

func (t *task) extra() *more {
	if t.more == nil {
		t.more = &more{ended: noTime}
	}
	return t.more
}

// wake makes the waiters for the task's end look again.
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

// before is the order in which tasks of one priority run.
func (t *task) before(o *task) bool {
	if c := t.due.Compare(o.due); c != 0 {
		return c < 0
	}
	return t.seq < o.seq
}

// entry describes the task as it is at the time now.
func (t *task) entry(now time.Time) *engine.Entry {
	en := t.glimpse(now)
	en.Result, en.Memo = bytes.Clone(en.Result), bytes.Clone(en.Memo)
	return en
}

// glimpse is entry with a result and a memo that are the task's own.
func (t *task) glimpse(now time.Time) *engine.Entry {
	en := &engine.Entry{
		ID: t.id, Message: t.msg, State: t.publicState(now), Attempt: int(t.attempt), Due: t.due.UTC(),
		StartedAt: t.started.time(), Worker: t.worker,
	}
	if m := t.more; m != nil {
		en.EndedAt, en.Result, en.Reason, en.Memo = m.ended.time(), m.result, m.reason, m.memo
	}
	if t.place == inWait {
		en.Due = time.Time{}
	}
	if g := t.group; g != nil && g.parkFor > 0 {
		en.Reason = fmt.Sprintf("no worker of queue %q knows a task named %q", t.msg.Queue, t.msg.Name)
	}
	if t.group != nil && t.group.paused {
		en.Reason = engine.PausedReason(t.msg.Name)
	}
	if t.place == inGate {
		en.Reason = t.more.gate.reason()
	}
	return en
}

func (t *task) publicState(now time.Time) engine.State {
	switch t.state {
	case waiting:
		if t.place == inLater && t.due.After(now) {
			return engine.StateScheduled
		}
		return engine.StatePending
	case retrying:
		return engine.StateRetrying
	case suspended:
		return engine.StateWaiting
	case running:
		return engine.StateRunning
	case succeeded:
		return engine.StateSucceeded
	case failed:
		return engine.StateFailed
	default:
		return engine.StateCancelled
	}
}

// spareTasks is forgotten tasks, for reuse by new ones.
type spareTasks struct {
	first *task // linked by chain
	n     int
}

// maxSpare bounds the spare tasks, to about 1 MiB.
const maxSpare = 8192

// get returns an empty task.
func (s *spareTasks) get() *task {
	t := s.first
	if t == nil {
		return new(task)
	}
	s.first, t.chain = t.chain, nil
	s.n--
	return t
}

// put takes a task that only runs refer to, which do not own it. A task with a
// waiter for its end is not spare.
func (s *spareTasks) put(t *task) {
	if t.more != nil || s.n >= maxSpare {
		return
	}
	*t = task{chain: s.first}
	s.first = t
	s.n++
}

// run is one run of a task: it is handed to the worker and, while it owns the
// task, may conclude it. Afterwards t may be another task.
type run struct {
	engine.Delivery
	e *Engine
	t *task
}

// start makes a run of the task that owns it from now on.
func (e *Engine) start(t *task, now stamp, worker string) *run {
	r := &run{e: e, t: t}
	r.Message, r.Attempt, r.Memo = t.msg, int(t.attempt), r
	t.owner, t.state, t.started, t.worker, t.begun = r, running, now, worker, true
	e.show(t, showRunning)
	if t.holds {
		e.letGo(t, running, false)
	}
	return r
}

// LoadMemo implements [engine.Memo].
func (r *run) LoadMemo(context.Context) (json.RawMessage, error) {
	r.e.lock()
	defer r.e.unlock()
	if r.t.owner != r {
		return nil, engine.ErrLeaseLost
	}
	if r.t.more == nil {
		return nil, nil
	}
	return bytes.Clone(r.t.more.memo), nil
}

// SaveMemo implements [engine.Memo].
func (r *run) SaveMemo(_ context.Context, memo json.RawMessage) error {
	r.e.lock()
	defer r.e.unlock()
	if r.t.owner != r {
		return engine.ErrLeaseLost
	}
	r.t.extra().memo = bytes.Clone(memo)
	return nil
}
