package runtime

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"
)

// WireVersion is the version of the format of Message and Meta. A worker parks
// tasks of a later version.
const WireVersion = 1

// Message is an enqueued task. It never changes once enqueued, and engines and
// the App share it: treat it as read-only.
type Message struct {
	// Name is the task's stable name, such as "billing.ChargeCard".
	Name string
	// Queue is the queue the task waits in.
	Queue string
	// Args is one JSON object, keyed by parameter name.
	Args json.RawMessage
	// Due is when the task may first run. Zero means at once.
	Due time.Time
	// Priority is from 0 to 3. Within a queue due tasks of higher priority go
	// first, and equals in the order of Due, then of enqueueing.
	Priority int
	// Key, if not empty, is held by one task at a time, for as long as KeyHold
	// says. A message whose key is held is not stored. A key whose task cannot
	// be looked up any more is free, unless KeyHold is [HoldTick].
	Key     string
	KeyHold KeyHold
	// KeyFor is how long the key is held from the enqueue; see KeyHold. The
	// record of a task stays as long as the task holds its key.
	KeyFor time.Duration
	// Keep is how long the record stays after the task succeeded, at least;
	// zero takes the engine's default.
	Keep time.Duration
	// KeepFailed is how long the record stays after the task failed or was
	// cancelled, at least; zero takes the engine's default.
	KeepFailed time.Duration
	// Meta is what the App sends along beside the arguments.
	Meta Meta
}

// Meta travels beside the arguments of a task. Its zero value is what a task
// of a foreign producer has, one that sent only a name and arguments: it runs
// with the defaults of its registration.
type Meta struct {
	// Version is [WireVersion] at the time of enqueueing, 0 for a foreign task.
	Version int `json:"v,omitempty"`
	// ID is the id that the App gave the task. An engine that makes ids of its
	// own may leave it out of what it stores; it then sets it in each Message
	// that it delivers.
	ID uuid.UUID `json:"id,omitzero"`
	// EnqueuedAt is when the task was first enqueued, in UTC.
	EnqueuedAt time.Time `json:"at,omitzero"`
	// Signature is the fingerprint of the parameters; see [Spec].
	Signature string `json:"sig,omitempty"`
	// Retries is how many retries follow the first run, at most.
	Retries int `json:"retries"`
	// Timeout, if not zero, overrides that of the worker's registration.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Deadline, if not zero, is when the task is no longer of use.
	Deadline time.Time `json:"deadline,omitzero"`
	// Parent is the task that enqueued this one, and Root the first of them.
	Parent uuid.UUID `json:"parent,omitzero"`
	Root   uuid.UUID `json:"root,omitzero"`
	// Tags are the task's tags.
	Tags map[string]string `json:"tags,omitempty"`
	// Headers are what propagators and locals send along.
	Headers map[string]string `json:"headers,omitempty"`
	// Redact names the parameters whose values are not to be shown.
	Redact []string `json:"redact,omitempty"`
}

// KeyHold says when a task lets go of its key.
type KeyHold uint8

// The ways to hold a key.
const (
	// HoldTime holds the key for KeyFor from the enqueue. The key is free at
	// once when the task fails, is cancelled or is deleted.
	HoldTime KeyHold = iota
	// HoldActive holds the key until the task has ended or is deleted.
	HoldActive
	// HoldWaiting holds the key until the task first begins, ends without a
	// run, or is deleted.
	HoldWaiting
	// HoldTick holds the key for KeyFor from the enqueue, whatever becomes of
	// the task and its record: the tick of a schedule must not run twice.
	HoldTick
)

// Free reports whether a task in the given state has let go of its key: begun
// says that it has had a run, until is when KeyFor ends. It is for engines, which
// ask it of the holder of a key when another task wants the key, and when a
// retry by hand takes the key again.
func (h KeyHold) Free(s State, begun bool, until, now time.Time) bool {
	switch h {
	case HoldActive:
		return s.Final()
	case HoldWaiting:
		return begun || s.Final()
	case HoldTick:
		return !now.Before(until)
	default:
		return s == StateFailed || s == StateCancelled || !now.Before(until)
	}
}

// State is where a task is in its life.
type State string

// The states of a task. Succeeded, failed and cancelled are final.
const (
	StateScheduled State = "scheduled" // due later
	StatePending   State = "pending"   // due, waiting for a worker
	StateRunning   State = "running"
	StateRetrying  State = "retrying" // waiting for its next run after a failed or snoozed one
	StateSucceeded State = "succeeded"
	StateFailed    State = "failed"
	StateCancelled State = "cancelled"
)

// Final reports whether a task in this state has ended.
func (s State) Final() bool {
	return s == StateSucceeded || s == StateFailed || s == StateCancelled
}

// Entry is a task as its engine knows it at one moment.
type Entry struct {
	ID      uuid.UUID
	Message *Message
	State   State
	// Attempt is as in Delivery: of the current run, the next, or the last.
	Attempt int
	// Due is when the task may run next.
	Due time.Time
	// StartedAt and EndedAt are of the latest run and of the task; zero before.
	StartedAt, EndedAt time.Time
	// Worker is the ID of the worker that runs the task or ran it last.
	Worker string
	// Result, Reason and Memo are as in Outcome, of the latest run.
	Result json.RawMessage
	Reason string
	Memo   json.RawMessage
}

// Query selects tasks. Zero fields select all.
type Query struct {
	States []State
	Name   string
	Queue  string
	// Tag and TagValue select tasks with the tag, and with the value if it is
	// not empty.
	Tag, TagValue string
	// Limit is the size of a page at most, 100 if zero.
	Limit int
	// Brief leaves out what may be large: Message.Args, Result and Memo.
	Brief bool
	// Cursor is what List returned as next.
	Cursor string
}

// Matches reports whether the entry is selected by everything in q but its
// limit and cursor. It is for engines that filter in Go.
func (q Query) Matches(e *Entry) bool {
	if len(q.States) > 0 && !slices.Contains(q.States, e.State) {
		return false
	}
	if q.Name != "" && q.Name != e.Message.Name || q.Queue != "" && q.Queue != e.Message.Queue {
		return false
	}
	if q.Tag != "" {
		v, ok := e.Message.Meta.Tags[q.Tag]
		return ok && (q.TagValue == "" || q.TagValue == v)
	}
	return true
}
