package web

import (
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/inspect"
)

// event is one thing that happened to a task, or will.
type event struct {
	Kind   string // a class: "start", "error", "log", "warn", "end", "future", ...
	Title  string
	Text   string
	Detail string // such as a stack, folded away
	When   moment
	Stamp  string // the time, in UTC
	at     time.Time
	order  int
}

// stamp is a time as a story has it, in UTC: the time of day, with its date unless that
// is today.
func stamp(t, now time.Time) string {
	if t, now = t.UTC(), now.UTC(); t.YearDay() != now.YearDay() || t.Year() != now.Year() {
		return t.Format("2 Jan 15:04:05")
	}
	return t.Format("15:04:05.000")
}

// story returns the events of a task, the oldest first.
func story(r *runtime.Record, now time.Time) []event {
	var es []event
	add := func(t time.Time, order int, e event) {
		e.at, e.order, e.When = t, order, at(t, now)
		if !e.When.Zero() {
			e.Stamp = stamp(t, now)
		}
		es = append(es, e)
	}
	enqueued := "Enqueued"
	if by, ok := r.Tags.Lookup(runtime.TagEvery); ok {
		enqueued += " by the schedule " + clean(by, maxName)
	}
	add(r.EnqueuedAt, 0, event{Kind: "start", Title: enqueued})
	for _, l := range r.Logs {
		if l.Retry && l.Attempt == r.Attempt && !r.StartedAt.IsZero() {
			continue // it is said below, with the worker
		}
		add(l.Time, 3, logEvent(l))
	}
	for _, e := range r.Errors {
		add(e.At, 4, event{
			Kind: "error", Title: "Attempt " + number(int64(e.Attempt)+1) + " failed", Text: cleanLines(e.Error),
			Detail: cleanLines(e.Stack),
		})
	}
	if !r.StartedAt.IsZero() {
		title := "Attempt " + number(int64(r.Attempt)+1) + " started"
		if r.Worker != "" {
			title += " on worker " + shortWorker(r.Worker)
		}
		add(r.StartedAt, 2, event{Kind: "start", Title: title})
	}
	if r.LogsDropped > 0 {
		add(time.Time{}, 1, event{Kind: "note", Title: many(int64(r.LogsDropped), "older log line") + " did not fit on the record"})
	}
	last, ended := ending(r, now)
	if n := len(r.Errors); n > 0 && r.Errors[n-1].Error == r.Reason {
		last.Text = "" // it is said already
	}
	slices.SortStableFunc(es, func(a, b event) int {
		if a.at.IsZero() || b.at.IsZero() || a.at.Equal(b.at) {
			return a.order - b.order
		}
		return a.at.Compare(b.at)
	})
	es = append(es, last)
	es[len(es)-1].When = at(ended, now)
	if !es[len(es)-1].When.Zero() {
		es[len(es)-1].Stamp = stamp(ended, now)
	}
	return es
}

// ending is the event of a task's present state, and when it came or will.
func ending(r *runtime.Record, now time.Time) (event, time.Time) {
	reason := cleanLines(r.Reason)
	switch r.State {
	case engine.StateSucceeded:
		return event{Kind: "good", Title: "Succeeded"}, r.EndedAt
	case engine.StateFailed:
		return event{Kind: "error", Title: "Failed for good", Text: reason}, r.EndedAt
	case engine.StateCancelled:
		return event{Kind: "end", Title: "Cancelled", Text: reason}, r.EndedAt
	case engine.StateRunning:
		return event{Kind: "now", Title: "Running"}, now
	case engine.StateRetrying:
		return event{Kind: "future", Title: "Runs again, attempt " + number(int64(r.Attempt)+1), Text: reason}, r.Due
	case engine.StateWaiting:
		title := "Waits, and goes on at the latest" // its due time is
		if r.Due.IsZero() {
			title = "Waits"
		}
		return event{Kind: "future", Title: title, Text: reason}, r.Due
	case engine.StateScheduled:
		return event{Kind: "future", Title: "Due", Text: reason}, r.Due
	}
	return event{Kind: "now", Title: "Waits for a worker", Text: reason}, r.Due
}

func logEvent(l inspect.LogLine) event {
	e := event{Kind: "log", Title: cleanLines(l.Message), Text: clean(l.Attrs, maxReason)}
	switch {
	case l.Retry:
		return event{Kind: "start", Title: "Attempt " + number(int64(l.Attempt)+1)}
	case l.Level >= slog.LevelError:
		e.Kind = "log error"
	case l.Level >= slog.LevelWarn:
		e.Kind = "log warn"
	}
	if l.Logger != "" {
		e.Title = clean(l.Logger, maxName) + ": " + e.Title
	}
	e.Title = strings.TrimSpace(l.Level.String() + " " + e.Title)
	return e
}
