package engine

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Pause pauses a queue, or the tasks of a name in all queues. One of the two
// is set. Running tasks go on, and enqueued ones wait; a task that no worker
// knows does not fail while it is paused.
type Pause struct {
	Queue string `json:"queue,omitempty"`
	Name  string `json:"name,omitempty"`
	// Since is when it was paused first, zero if the engine does not know.
	Since time.Time `json:"since,omitzero"`
}

// Same reports whether both are of the same queue or name.
func (p Pause) Same(o Pause) bool { return p.Queue == o.Queue && p.Name == o.Name }

// Holds reports whether a task of the name in the queue is paused by one of ps.
func Holds(ps []Pause, queue, name string) bool {
	return slices.ContainsFunc(ps, func(p Pause) bool {
		return p.Queue == queue && p.Queue != "" || p.Name == name && p.Name != ""
	})
}

// PausedReason returns the [Entry.Reason] of a task that waits since its name is paused.
func PausedReason(name string) string { return fmt.Sprintf("tasks named %q are paused", name) }

// Pauser is implemented by engines that can pause queues and names. A pause is
// stored with the tasks: it holds for workers of all processes, and longer
// than any of them, until Resume.
//
// Once Pause has returned, this engine hands out no paused task. Workers of
// other handles follow soon after, as the engine's document says. A due task of a paused
// name has [PausedReason] for its reason, at the latest when a worker has looked at it.
type Pauser interface {
	// Pause pauses a queue or name. A paused one stays as it is, with its
	// Since.
	Pause(ctx context.Context, p Pause) error
	// Resume ends a pause: waiting tasks run at once, by workers of all
	// processes. Without such a pause it does nothing.
	Resume(ctx context.Context, p Pause) error
	// Paused returns the pauses, in any order.
	Paused(ctx context.Context) ([]Pause, error)
}
