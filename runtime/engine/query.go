package engine

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Query selects tasks. Zero fields select all.
type Query struct {
	States []State
	Name   string
	Queue  string
	// Priorities selects tasks with one of these.
	Priorities []int8
	// Tag and TagValue select tasks with the tag, and with the value if it is
	// not empty.
	Tag, TagValue string
	// Worker selects tasks that the worker with this ID runs or ran last.
	Worker string
	// Parent selects tasks that this one enqueued, and Root those of its tree but
	// for itself.
	Parent, Root uuid.UUID
	// Reason selects tasks whose reason contains it: each * in it stands for any
	// text, a ^ at its begin and a $ at its end for the begin and the end of the
	// reason's first line that is not empty.
	Reason string
	// Since and Until select tasks by [Entry.When]: from Since on, and before
	// Until.
	Since, Until time.Time
	// Limit is the size of a page at most, 100 if zero.
	Limit int
	// Brief leaves out the large fields: Message.Args, Result and Memo.
	Brief bool
	// Newest lists the newest first. An engine that cannot returns
	// [ErrUnsupported].
	Newest bool
	// Cursor is the next of a List with a query that differs only in Limit and
	// Brief. Another is [ErrCursor], if the engine can tell.
	Cursor string
}

// Matches reports whether the entry is selected by everything in q but its
// limit and cursor. It is for engines that filter in Go.
func (q *Query) Matches(e *Entry) bool {
	if len(q.States) > 0 && !slices.Contains(q.States, e.State) {
		return false
	}
	if len(q.Priorities) > 0 && !slices.Contains(q.Priorities, e.Message.Priority) {
		return false
	}
	if q.Name != "" && q.Name != e.Message.Name || q.Queue != "" && q.Queue != e.Message.Queue {
		return false
	}
	if q.Worker != "" && q.Worker != e.Worker || !q.MatchesWhen(e.When()) || !q.MatchesReason(e.Reason) {
		return false
	}
	if q.Parent != uuid.Nil && q.Parent != e.Message.Meta.Parent || q.Root != uuid.Nil && q.Root != e.Message.Meta.Root {
		return false
	}
	return q.MatchesTags(e.Message.Meta.Tags)
}

// MatchesTags reports whether tags are selected by Tag and TagValue.
func (q *Query) MatchesTags(tags map[string]string) bool {
	if q.Tag == "" {
		return true
	}
	v, ok := tags[q.Tag]
	return ok && (q.TagValue == "" || q.TagValue == v)
}

// MatchesWhen reports whether a time, as [Entry.When] returns it, is selected by
// Since and Until.
func (q *Query) MatchesWhen(t time.Time) bool {
	return (q.Since.IsZero() || !t.Before(q.Since)) && (q.Until.IsZero() || t.Before(q.Until))
}

// MatchesReason reports whether a reason is selected by Reason.
func (q *Query) MatchesReason(reason string) bool {
	if q.Reason == "" {
		return true
	}
	pattern, first := strings.CutPrefix(q.Reason, "^")
	pattern, last := strings.CutSuffix(pattern, "$")
	if first || last { // of the first line that is not empty
		reason = strings.TrimLeft(reason, "\r\n\t ")
		if i := strings.IndexAny(reason, "\r\n"); i >= 0 {
			reason = reason[:i]
		}
		reason = strings.TrimRight(reason, "\t ")
	}
	parts := strings.Split(pattern, "*")
	if first {
		if !strings.HasPrefix(reason, parts[0]) {
			return false
		}
		if len(parts) == 1 && last {
			return reason == parts[0]
		}
		reason, parts = reason[len(parts[0]):], parts[1:]
	}
	if last && len(parts) > 0 {
		end := parts[len(parts)-1]
		if !strings.HasSuffix(reason, end) {
			return false
		}
		reason, parts = reason[:len(reason)-len(end)], parts[:len(parts)-1]
	}
	for _, p := range parts {
		i := strings.Index(reason, p)
		if i < 0 {
			return false
		}
		reason = reason[i+len(p):]
	}
	return true
}

// ReasonPart returns the longest text that each reason which Reason selects
// contains, empty if there is none: for engines that look for it in an index or a
// statement before they call Matches.
func (q *Query) ReasonPart() string {
	pattern := strings.TrimSuffix(strings.TrimPrefix(q.Reason, "^"), "$")
	longest := ""
	for part := range strings.SplitSeq(pattern, "*") {
		if len(part) > len(longest) {
			longest = part
		}
	}
	return longest
}
