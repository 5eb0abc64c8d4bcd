package engine

import (
	"encoding/json"
	"time"
)

// MaxMemo and MaxReason bound, in bytes, the Memo and the Reason of an
// Outcome. The App keeps within them.
const (
	MaxMemo   = 64 << 10
	MaxReason = 4 << 10
)

// OutcomeKind says how a run ended.
type OutcomeKind uint8

// The outcomes of a run.
const (
	// OutcomeRelease gives the task back as it was: the worker shuts down.
	OutcomeRelease OutcomeKind = iota
	// OutcomeSucceed ends the task with its result.
	OutcomeSucceed
	// OutcomeFail ends the task as failed.
	OutcomeFail
	// OutcomeCancel ends the task as cancelled.
	OutcomeCancel
	// OutcomeRetry runs the task again after Outcome.After. It uses an attempt.
	OutcomeRetry
	// OutcomeDelay runs the task again after Outcome.After: a snooze, or a
	// task that no worker here can run yet. It uses no attempt.
	OutcomeDelay
	// OutcomeSuspend makes the task wait for Outcome.Wait, for Outcome.After at
	// most; with an After of zero, and a Need in Wait, for ever. If that has come
	// already, it is due at once. It uses no attempt, and keeps the Due that the
	// task had, so that it then goes before tasks that have not begun. Only a
	// [Journaler] is given it. An After that is not zero is never rounded to zero.
	OutcomeSuspend
)

// Outcome is how a run ended. An engine records it only if the delivery still
// owns the task, and calls Worker.Refused otherwise.
type Outcome struct {
	Kind OutcomeKind
	// After is how long to wait before the next run, never negative.
	After time.Duration
	// Result is the JSON of the task's result, nil for a task without one.
	Result json.RawMessage
	// Reason is why the task failed, was cancelled, or must run again. It is
	// valid UTF-8 without NUL bytes, at most [MaxReason] bytes.
	Reason string
	// Memo replaces the memo kept with the task; nil leaves it as it is.
	Memo json.RawMessage
	// Wait is a suspended task's condition to go on; nil is its zero value.
	Wait *Wait
	// Durable says that the task's function is durable: the task may have a
	// journal and children also if its message is of version [WirePlain], from a
	// producer to whom the function was not durable.
	Durable bool
}

// State returns the state in which the outcome leaves its task, as an [Entry]
// shows it. A suspended task may be due at once.
func (o *Outcome) State() State {
	switch o.Kind {
	case OutcomeSucceed:
		return StateSucceeded
	case OutcomeFail:
		return StateFailed
	case OutcomeCancel:
		return StateCancelled
	case OutcomeRetry, OutcomeDelay:
		return StateRetrying
	case OutcomeSuspend:
		return StateWaiting
	default:
		return StatePending
	}
}
