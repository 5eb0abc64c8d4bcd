package web

import (
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/inspect"
)

// sound makes a record that JSON can write: what is no JSON in the store becomes
// a string, and a time that RFC 3339 cannot write is left out. It may return r
// itself.
func sound(r *runtime.Record) *runtime.Record {
	own := *r
	own.Args, own.Result = inspect.JSON(r.Args), inspect.JSON(r.Result)
	for _, t := range []*time.Time{&own.EnqueuedAt, &own.Due, &own.StartedAt, &own.EndedAt} {
		if y := t.UTC().Year(); y < 0 || y > 9999 {
			*t = time.Time{}
		}
	}
	return &own
}

// when is the last time that something became of a task, as
// engine.Query.Since counts it, and what that was.
func when(r *runtime.Record) (time.Time, string) {
	switch {
	case r.State.Final() && !r.EndedAt.IsZero():
		return r.EndedAt, string(r.State)
	case r.State == engine.StateRunning && !r.StartedAt.IsZero():
		return r.StartedAt, "started"
	case r.State == engine.StateScheduled || r.State == engine.StateRetrying:
		return r.Due, "due"
	case r.State == engine.StateWaiting && !r.StartedAt.IsZero():
		return r.StartedAt, "waiting since"
	case r.State == engine.StatePending && !r.Due.IsZero():
		return r.Due, "waiting since"
	}
	return r.EnqueuedAt, "enqueued"
}
