package engine

import (
	"context"
	"slices"
	"time"
)

// Pause is something that is paused: a queue, or the tasks of a name in all
// queues. One of the two is set. Tasks that run go on, and what is enqueued
// waits; a task that no worker knows does not fail while it is paused.
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

// Pauser is implemented by engines that can pause queues and names. A pause is
// stored with the tasks: it holds for workers of all processes, and longer than
// any of them, until Resume.
//
// From the return of Pause on this engine hands out none of what is paused;
// workers of other handles hand out none from soon after, as the engine's
// document says.
type Pauser interface {
	// Pause pauses what p names. What is paused already stays so, with its Since.
	Pause(ctx context.Context, p Pause) error
	// Resume ends a pause: what waits is run at once, by workers of all processes.
	// What is not paused is left as it is.
	Resume(ctx context.Context, p Pause) error
	// Paused returns what is paused, in any order.
	Paused(ctx context.Context) ([]Pause, error)
}
