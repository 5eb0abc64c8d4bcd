package runtime

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// Count is how many tasks of a queue are in a state.
type Count struct {
	Queue string `json:"queue"`
	State State  `json:"state"`
	Tasks int64  `json:"tasks"`
	// Estimated says that Tasks was not counted one by one. Engines count
	// exactly to [ExactCounts] for each queue and state.
	Estimated bool `json:"estimated,omitempty"`
}

// ExactCounts is the number up to which engines count tasks exactly.
const ExactCounts = 10_000

// Counter is implemented by engines that count their tasks without reading
// them. Of other engines an App reads all pages of List.
type Counter interface {
	// Counts returns a Count for each queue and state that has tasks, in any
	// order.
	Counts(ctx context.Context) ([]Count, error)
}

// countPage is the page size when tasks are counted by reading them.
const countPage = 1000

// Counts returns how many tasks each queue has in each state, by queue, and
// within it in the order of a task's life. States without tasks are left out.
func (a *App) Counts(ctx context.Context) ([]Count, error) {
	counts, err := a.countTasks(ctx)
	if err != nil {
		return nil, fmt.Errorf("count tasks: %w", err)
	}
	slices.SortFunc(counts, func(x, y Count) int {
		return cmp.Or(cmp.Compare(x.Queue, y.Queue), cmp.Compare(x.State.order(), y.State.order()))
	})
	return counts, nil
}

func (a *App) countTasks(ctx context.Context) ([]Count, error) {
	if c, ok := EngineAs[Counter](a.engine); ok {
		return c.Counts(ctx)
	}
	type place struct {
		queue string
		state State
	}
	tally := make(map[place]int64)
	q := Query{Limit: countPage}
	for {
		entries, next, err := a.engine.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			tally[place{e.Message.Queue, e.State}]++
		}
		if next == "" {
			break
		}
		q.Cursor = next
	}
	counts := make([]Count, 0, len(tally))
	for p, n := range tally {
		counts = append(counts, Count{Queue: p.queue, State: p.state, Tasks: n})
	}
	return counts, nil
}

// States returns all states, in the order of a task's life.
func States() []State {
	return []State{
		StateScheduled, StatePending, StateRunning, StateRetrying, StateSucceeded, StateFailed, StateCancelled,
	}
}

func (s State) order() int { return slices.Index(States(), s) }
