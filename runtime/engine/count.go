package engine

import (
	"context"
	"time"
)

// Count is how many tasks of a queue are in a state.
type Count struct {
	Queue string `json:"queue"`
	State State  `json:"state"`
	Tasks int64  `json:"tasks"`
	// Estimated says that Tasks is an estimate. Engines count exactly up to
	// [ExactCounts] for each queue and state.
	Estimated bool `json:"estimated,omitempty"`
	// Oldest, for pending tasks, is when the one that has been due longest
	// became due, if the engine knows.
	Oldest time.Time `json:"oldest,omitzero"`
}

// ExactCounts is the number up to which engines count tasks exactly.
const ExactCounts = 10_000

// Counter is implemented by engines that count their tasks without reading
// them. For other engines an App reads all pages of List.
type Counter interface {
	// Counts returns a Count for each queue and state that has tasks, in any
	// order.
	Counts(ctx context.Context) ([]Count, error)
}
