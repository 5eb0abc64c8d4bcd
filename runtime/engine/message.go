package engine

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// WireVersion is the latest version of the format of Message and Meta. A worker
// parks tasks of a later version. Each task has the first version that can carry
// it, so that older workers run what they can.
const WireVersion = WireRated

// The versions of the format.
const (
	WirePlain   = 1
	WireDurable = 2 // durable tasks and their children
	WireLimited = 3 // tasks with limits
	WireRated   = 4 // tasks with rates
)

// Message is an enqueued task. It never changes once enqueued, and engines and
// the App share it: treat it as read-only.
type Message struct {
	// Name is the task's stable name, such as "billing.ChargeCard".
	Name string
	// Queue is the queue in which the task waits.
	Queue string
	// Args is one JSON object, keyed by parameter name.
	Args json.RawMessage
	// Due is when the task may first run. Zero means at once.
	Due time.Time
	// Key, if not empty, is held by one task at a time, until KeyHold frees
	// it. A message whose key is held is not stored. A key is also free once
	// its task cannot be looked up any more, unless KeyHold is [HoldTick].
	Key string
	// KeyFor is how long the key is held from the enqueue; see KeyHold. The
	// record of a task stays as long as the task holds its key.
	KeyFor  time.Duration
	KeyHold KeyHold
	// Priority is from 0 to [Priorities]-1. Within a queue due tasks of higher priority go
	// first, and equals in the order of Due, then of enqueueing.
	Priority int8
	// Replace: if another task of the Name holds the Key by [HoldWaiting], that task
	// becomes this message, as [Message.Replacing] says. It is then the answer, as
	// Existing. Only Insert looks at the two: they need not be stored.
	Replace bool
	// ReplaceFor, if not zero, bounds the time from the first enqueue until the
	// replaced task is due.
	ReplaceFor time.Duration
	// Keep is how long the record stays after the task succeeded, at least;
	// zero takes the engine's default.
	Keep time.Duration
	// KeepFailed is how long the record stays after the task failed or was
	// cancelled, at least; zero takes the engine's default.
	KeepFailed time.Duration
	// Limits bound how many tasks run or begin at a time, nil if nothing does. Only a
	// [Limiter] honours them.
	Limits []Limit
	// Meta is the App's data beside the arguments.
	Meta Meta
}

// Meta travels beside the arguments of a task. It is zero for a task of a
// foreign producer, which sent only a name and arguments: that task runs with
// the defaults of its registration.
type Meta struct {
	// Version is from 1 to [WireVersion], 0 for a foreign task.
	Version int16 `json:"v,omitempty"`
	// Orphan: the task goes on when its Parent fails or is cancelled.
	Orphan bool `json:"orphan,omitempty"`
	// ID is the id that the App gave the task. An engine that makes ids of its
	// own may store the task without it; it then sets ID in each Message that
	// it delivers.
	ID uuid.UUID `json:"id,omitzero"`
	// EnqueuedAt is when the task was first enqueued, in UTC.
	EnqueuedAt time.Time `json:"at,omitzero"`
	// Signature is the fingerprint of the parameters; see wire.Spec.
	Signature string `json:"sig,omitempty"`
	// Retries is how many retries follow the first run, at most.
	Retries int `json:"retries"`
	// Timeout, if not zero, overrides that of the worker's registration.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Deadline, if not zero, is when the task stops being useful.
	Deadline time.Time `json:"deadline,omitzero"`
	// Parent is the task that enqueued this one, and Root the first of them.
	Parent uuid.UUID `json:"parent,omitzero"`
	Root   uuid.UUID `json:"root,omitzero"`
	// Tags are the task's tags.
	Tags map[string]string `json:"tags,omitempty"`
	// Headers are sent along by propagators, locals, options and the codec; keys that
	// begin with "taskctx-" are the App's.
	Headers map[string]string `json:"headers,omitempty"`
	// Redact names the parameters whose values are not to be shown.
	Redact []string `json:"redact,omitempty"`
	// Entry is the name under which the task's end is recorded in the journal of
	// its Parent, empty for a task that none has spawned; see [Journaler].
	Entry string `json:"entry,omitempty"`
}

// DefaultQueue is the queue of tasks that name none.
const DefaultQueue = "default"

// Priorities is how many priorities there are, from 0 up.
const Priorities = 4

// Replacing is the message of the task that has waited as first and now takes the
// content of m: it keeps its id, its first enqueueing, and whose child it is.
func (m *Message) Replacing(first *Message) *Message {
	own := *m
	own.Replace, own.ReplaceFor = false, 0
	o, f := &own.Meta, &first.Meta
	o.ID, o.EnqueuedAt, o.Parent, o.Root, o.Entry, o.Orphan = f.ID, f.EnqueuedAt, f.Parent, f.Root, f.Entry, f.Orphan
	if m.ReplaceFor > 0 && !f.EnqueuedAt.IsZero() {
		if latest := f.EnqueuedAt.Add(m.ReplaceFor); own.Due.After(latest) {
			own.Due = latest
		}
	}
	return &own
}

// CheckPriority returns an error that wraps [ErrUnsupported] for a priority that
// does not exist. It is for the Check of engines that have priorities.
func (m *Message) CheckPriority() error {
	if m.Priority < 0 || m.Priority >= Priorities {
		return fmt.Errorf("priority %d is not from 0 to %d: %w", m.Priority, Priorities-1, ErrUnsupported)
	}
	return nil
}
