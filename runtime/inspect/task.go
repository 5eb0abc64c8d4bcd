package inspect

import (
	"encoding/json"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Metadata describes a running task. It is a copy: changes have no effect
// elsewhere.
type Metadata struct {
	TaskID uuid.UUID `json:"task_id"`
	// Name is the task's name on the wire, Func the name of its Go function.
	Name  string `json:"name"`
	Func  string `json:"func"`
	Queue string `json:"queue"`
	// Attempt counts from zero. Retries and lost workers count, snoozes do not.
	Attempt    int `json:"attempt"`
	MaxRetries int `json:"max_retries"`
	// EnqueuedAt is when the task was first enqueued, in UTC, the same in every
	// attempt. It is zero for a task of a foreign producer.
	EnqueuedAt time.Time `json:"enqueued_at"`
	Tags       Tags      `json:"tags"`
	// ParentID is the task that enqueued this one, and RootID the first task
	// of that line: the task itself if no task enqueued it.
	ParentID uuid.UUID `json:"parent_id,omitzero"`
	RootID   uuid.UUID `json:"root_id"`
	// Deadline is when the attempt, or the task, is out of time; zero if never.
	Deadline time.Time `json:"deadline,omitzero"`
}

// AttemptError is the error of one attempt, as a record shows it.
type AttemptError struct {
	Attempt int       `json:"attempt"`
	At      time.Time `json:"at"`
	Error   string    `json:"error"`
	// Stack is where the attempt panicked, empty without a panic.
	Stack string `json:"stack,omitempty"`
}

// LogLine is one log record that was kept with its task. Its message and its
// attributes are each cut to [engine.MaxReason] bytes.
type LogLine struct {
	Time    time.Time  `json:"time"`
	Level   slog.Level `json:"level"`
	Attempt int        `json:"attempt"`
	// Retry marks the begin of a retry: nobody logged the line itself.
	Retry   bool   `json:"retry,omitempty"`
	Logger  string `json:"logger,omitempty"`
	Message string `json:"message"`
	// Attrs are the attributes as text, "key=value" with spaces between.
	Attrs string `json:"attrs,omitempty"`
}

// Progress is how far a task has come, by its own report.
type Progress struct {
	Done  int64     `json:"done"`
	Total int64     `json:"total"`
	Note  string    `json:"note,omitempty"`
	At    time.Time `json:"at"`
}

// JournalRecord is one entry of a durable task's journal: a copy.
type JournalRecord struct {
	// Kind is step, child, signal or rest.
	Kind string `json:"kind"`
	// Name is the step's, the child's or the signal's. Names that begin with a
	// question mark are the times that the task's Await calls gave.
	Name string `json:"name"`
	// Value is the JSON of a step's result, of a signal's value, or of the end
	// of a time.
	Value json.RawMessage `json:"value,omitempty"`
	// Attempt is of the run that recorded it.
	Attempt int `json:"attempt"`
	// Came is the place in which the signal or the end of the child came, from 1; 0
	// if it has not.
	Came int64 `json:"came,omitempty"`
	// Child is the task that was spawned, and Task its name. State and Reason are
	// those of its end.
	Child  uuid.UUID    `json:"child,omitzero"`
	Task   string       `json:"task,omitempty"`
	State  engine.State `json:"state,omitempty"`
	Reason string       `json:"reason,omitempty"`
}
