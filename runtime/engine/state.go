package engine

// States returns all states, in the order of a task's life.
func States() []State {
	return []State{
		StateScheduled, StatePending, StateRunning, StateRetrying, StateWaiting, StateSucceeded, StateFailed, StateCancelled,
	}
}

// State is where a task is in its life.
type State string

// The states of a task. Succeeded, failed and cancelled are final.
const (
	StateScheduled State = "scheduled" // due later
	StatePending   State = "pending"   // due, waiting for a worker
	StateRunning   State = "running"
	StateRetrying  State = "retrying" // waiting for its next run after a failed or snoozed one
	StateWaiting   State = "waiting"  // suspended: waiting for its children, a signal or a time
	StateSucceeded State = "succeeded"
	StateFailed    State = "failed"
	StateCancelled State = "cancelled"
)

// Final reports whether a task in this state has ended.
func (s State) Final() bool {
	return s == StateSucceeded || s == StateFailed || s == StateCancelled
}
