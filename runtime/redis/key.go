package redis

import (
	"strconv"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// When another task wants a key, the record of its holder decides; see holder.
// The value of a key is the task's id, the way in which it is held, and the
// task's queue.

// idLength is the length of an id as text.
const idLength = 36

// holding returns the value of a task's key, and for how many ms it is held,
// or "" if that depends on the task.
func holding(m *engine.Message, id string, left time.Duration) (value string, ms any) {
	value = id + strconv.Itoa(int(m.KeyHold)) + m.Queue
	if m.KeyHold == engine.HoldTime || m.KeyHold == engine.HoldTick {
		return value, max(left.Milliseconds(), 1)
	}
	return value, ""
}

// heldBy returns the id of the task that a key's value names.
func heldBy(value string) string { return value[:min(len(value), idLength)] }

// freeable returns the key that a task lets go of when it is cancelled or
// deleted, or "".
func freeable(m *engine.Message) string {
	if m.KeyHold == engine.HoldTick {
		return ""
	}
	return m.Key
}

// heldUntilEnd returns the key that a task lets go of when it has begun or
// ended, in the form of the conclude script: the way in which it is held goes
// before. A key held for a time lives as long as that.
func heldUntilEnd(m *engine.Message) string {
	if m.Key == "" || m.KeyHold != engine.HoldActive && m.KeyHold != engine.HoldWaiting {
		return ""
	}
	return strconv.Itoa(int(m.KeyHold)) + m.Key
}

// keyUntil returns when the time ends for which a task holds its key.
func keyUntil(m *engine.Message) time.Time { return m.Meta.EnqueuedAt.Add(m.KeyFor) }

// heldAgain returns the key that a task takes when it is retried by hand, the
// key's value, and for how many ms. It returns "" if the task would not hold
// the key any more, or still does.
func heldAgain(m *engine.Message, p *reading, begun bool, now time.Time) (key, value string, ms any) {
	if m.Key == "" || m.KeyHold == engine.HoldTick || m.KeyHold.Free(engine.StatePending, begun, keyUntil(m), now) {
		return "", "", ""
	}
	value, ms = holding(m, p.id, keyUntil(m).Sub(now))
	return m.Key, value, ms
}

// archivedFor is how long asynq keeps archived tasks, by their score.
const archivedFor = 90 * 24 * time.Hour

// keepFailed returns how long the record of a failed or cancelled task stays.
func (e *Engine) keepFailed(m *engine.Message) time.Duration {
	if m.KeepFailed > 0 {
		return min(m.KeepFailed, archivedFor)
	}
	return min(e.cfg.KeepFailedFor, archivedFor)
}

// archivedUntil returns the score of a task that is archived now. It lies
// before the end of its record by the time for which asynq keeps archived
// tasks, so that asynq forgets the task then too.
func (e *Engine) archivedUntil(m *engine.Message, now time.Time) float64 {
	keep := e.keepFailed(m)
	return score(wholly(now.Add(keep-archivedFor), keep))
}

// wholly returns the time rounded up to a second, unless it is soon: asynqmon, and
// versions of asynq before 0.26, list no tasks whose scores are not whole seconds.
func wholly(t time.Time, after time.Duration) time.Time {
	if after < time.Minute {
		return t
	}
	return t.Add(time.Second - 1).Truncate(time.Second)
}

// completedUntil returns the score of a task that has succeeded now: the end
// of its record, or of a key that it holds for a time, if that is later.
func completedUntil(m *engine.Message, now time.Time) float64 {
	at := now.Add(max(m.Keep, time.Second))
	if m.Key != "" && m.KeyHold == engine.HoldTime {
		at = later(at, keyUntil(m))
	}
	return score(wholly(at, at.Sub(now)))
}
