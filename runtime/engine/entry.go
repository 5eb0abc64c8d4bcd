package engine

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Entry is a task as its engine knows it at one moment.
type Entry struct {
	ID      uuid.UUID
	Message *Message
	State   State
	// Attempt is as in Delivery: of the current run, the next, or the last.
	Attempt int
	// Due is when the task may run next. In StateWaiting it is the latest time
	// of the next run, zero if unknown.
	Due time.Time
	// StartedAt is when the latest run began, EndedAt when the task ended;
	// zero before.
	StartedAt, EndedAt time.Time
	// Worker is the ID of the worker that runs the task or ran it last.
	Worker string
	// Result, Reason and Memo are as in Outcome, of the latest run.
	Result json.RawMessage
	Reason string
	Memo   json.RawMessage
	// Beside returns what other programs have put beside the task in a store that they
	// share, as JSON: the rest of a job's metadata in River's table, the other headers of
	// asynq's message. It returns nil if there is nothing. Only Get need set it, since
	// hardly anybody calls it.
	Beside func() json.RawMessage `json:"-"`
}

// When is the time of the last thing that is known to have become of the task:
// its end, else the begin of its latest run, else its enqueueing.
func (e *Entry) When() time.Time {
	switch {
	case !e.EndedAt.IsZero():
		return e.EndedAt
	case !e.StartedAt.IsZero():
		return e.StartedAt
	}
	return e.Message.Meta.EnqueuedAt
}
