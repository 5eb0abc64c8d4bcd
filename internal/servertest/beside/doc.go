// Package beside measures an engine on a server beside the library whose
// layout it keeps: the same work, in turns, on one server, round after round.
// It counts the CPU time of both sides' processes, since the time on the wall
// means little on a shared machine.
package beside

// Kind is the name of the task that all sides have, and Args are its arguments.
const Kind = "bench.charge"

// Args are what a task is enqueued with.
type Args struct {
	Customer string `json:"customer"`
	Cents    int64  `json:"cents"`
}

// Charge is what each task has.
var Charge = Args{"c-42", 1999}
