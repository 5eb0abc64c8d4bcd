package engine

import "time"

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

// Free reports whether a task in the given state has let go of its key. begun
// says that the task has had a run; until is when KeyFor ends. Engines call it
// for the holder of a key when another task wants the key, or when a retry by
// hand takes it again.
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
