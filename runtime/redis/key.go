package redis

import (
	"strconv"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// A key is judged when another task wants it, by the record of the task that holds
// it; see holder. What the value of a key is: the task's id, how it is held, and its
// queue.

// idLength is how long an id is as text.
const idLength = 36

// holding is what the key of a task has for its value, and for how many ms it is
// held, or "" where that is for the task to say.
func holding(m *engine.Message, id string, left time.Duration) (value string, ms any) {
	value = id + strconv.Itoa(int(m.KeyHold)) + m.Queue
	if m.KeyHold == engine.HoldTime || m.KeyHold == engine.HoldTick {
		return value, max(left.Milliseconds(), 1)
	}
	return value, ""
}

// heldBy is the id of the task that a key's value names.
func heldBy(value string) string { return value[:min(len(value), idLength)] }

// freeable is the key that a task lets go of when it is cancelled or deleted, or "".
func freeable(m *engine.Message) string {
	if m.KeyHold == engine.HoldTick {
		return ""
	}
	return m.Key
}

// heldUntilEnd is the key that a task lets go of when it has begun, or has ended, as
// the conclude script takes it: with how it is held before it. One held for a time
// lives as long as that.
func heldUntilEnd(m *engine.Message) string {
	if m.Key == "" || m.KeyHold != engine.HoldActive && m.KeyHold != engine.HoldWaiting {
		return ""
	}
	return strconv.Itoa(int(m.KeyHold)) + m.Key
}

// keyUntil is when the time ends for which a task holds its key.
func keyUntil(m *engine.Message) time.Time { return m.Meta.EnqueuedAt.Add(m.KeyFor) }

// heldAgain is the key that a task takes when it is retried by hand, what the key is
// to hold, and for how many ms; "" if it would not hold it any more, or still does.
func heldAgain(m *engine.Message, p *reading, begun bool, now time.Time) (key, value string, ms any) {
	if m.Key == "" || m.KeyHold == engine.HoldTick || m.KeyHold.Free(engine.StatePending, begun, keyUntil(m), now) {
		return "", "", ""
	}
	value, ms = holding(m, p.id, keyUntil(m).Sub(now))
	return m.Key, value, ms
}

// archivedFor is how long asynq keeps archived tasks, by their score.
const archivedFor = 90 * 24 * time.Hour

// keepFailed is how long the record of a task stays that failed or was cancelled.
func (e *Engine) keepFailed(m *engine.Message) time.Duration {
	if m.KeepFailed > 0 {
		return min(m.KeepFailed, archivedFor)
	}
	return min(e.cfg.KeepFailedFor, archivedFor)
}

// archivedUntil is the score of a task that is archived now: so long before its
// record is forgotten as asynq keeps it, so that asynq forgets it then too.
func (e *Engine) archivedUntil(m *engine.Message, now time.Time) float64 {
	return score(now.Add(e.keepFailed(m) - archivedFor))
}

// completedUntil is the score of a task that has succeeded now: when its record is
// forgotten, which the key may outlive that it holds for a time.
func completedUntil(m *engine.Message, now time.Time) float64 {
	at := now.Add(max(m.Keep, time.Second))
	if m.Key != "" && m.KeyHold == engine.HoldTime {
		at = later(at, keyUntil(m))
	}
	return score(at)
}
