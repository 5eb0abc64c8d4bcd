package engine

import (
	"encoding/json"
	"slices"
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
	// Brief leaves out the large fields: Message.Args, Result and Memo.
	Brief bool
	// Cursor is what List returned as next.
	Cursor string
}

// Matches reports whether q selects the entry, apart from q's limit and
// cursor. It is for engines that filter in Go.
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
