package runtime

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/taskctx/taskctx/runtime/engine"
)

// countPage is the page size when tasks are counted by reading them.
const countPage = 1000

// Counts returns how many tasks each queue has in each state, by queue, and
// within it in the order of a task's life. States without tasks are left out.
func (a *App) Counts(ctx context.Context) ([]engine.Count, error) {
	counts, err := a.countTasks(ctx)
	if err != nil {
		return nil, fmt.Errorf("count tasks: %w", err)
	}
	order := engine.States()
	slices.SortFunc(counts, func(x, y engine.Count) int {
		return cmp.Or(
			cmp.Compare(x.Queue, y.Queue), cmp.Compare(slices.Index(order, x.State), slices.Index(order, y.State)))
	})
	return counts, nil
}

func (a *App) countTasks(ctx context.Context) ([]engine.Count, error) {
	if c, ok := engine.As[engine.Counter](a.engine); ok {
		return c.Counts(ctx)
	}
	type place struct {
		queue string
		state engine.State
	}
	tally := make(map[place]int64)
	q := engine.Query{Limit: countPage}
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
	counts := make([]engine.Count, 0, len(tally))
	for p, n := range tally {
		counts = append(counts, engine.Count{Queue: p.queue, State: p.state, Tasks: n})
	}
	return counts, nil
}
