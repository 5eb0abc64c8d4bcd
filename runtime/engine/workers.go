package engine

import (
	"context"
	"time"
)

// WorkerInfo is a worker that has not stopped, as its engine knows it: a copy.
type WorkerInfo struct {
	// ID is that of Worker.ID, and of the entries that it runs.
	ID string `json:"id"`
	// Host and PID are where it runs, empty if the engine does not know.
	Host string `json:"host,omitempty"`
	PID  int    `json:"pid,omitempty"`
	// StartedAt is when it began to serve, and SeenAt when it last showed that it
	// lives, by the clock of the store if that has one.
	StartedAt time.Time `json:"started_at,omitzero"`
	SeenAt    time.Time `json:"seen_at,omitzero"`
	// Lost says that it has not shown that it lives for longer than its lease: its
	// tasks go to others, as soon as one looks.
	Lost bool `json:"lost,omitempty"`
	// Slots is how many tasks it runs at a time, 0 if the engine does not know,
	// and Running how many it runs now.
	Slots   int `json:"slots,omitempty"`
	Running int `json:"running"`
	// Queues and Names are the queues and names that it serves.
	Queues []string `json:"queues"`
	Names  []string `json:"names"`
}

// WorkerLister is implemented by engines that can list the workers.
type WorkerLister interface {
	// Workers returns the workers that have not stopped, in every process, in any
	// order.
	Workers(ctx context.Context) ([]WorkerInfo, error)
}
