package engine

import (
	"cmp"
	"math/rand/v2"
	"slices"
)

// InTurn returns the queues in the order in which one claim looks at them, by
// Weights: each call draws another, in which a queue of weight 6 stands before one of
// weight 3 twice as often as behind it. If Strict, higher weights go first, and only
// queues of the same weight are drawn.
func (w *Worker) InTurn() []string {
	type drawn struct {
		queue  string
		weight int
		at     float64
	}
	all := make([]drawn, len(w.Queues))
	for i, q := range w.Queues {
		weight := max(w.Weights[q], 1)
		all[i] = drawn{queue: q, at: rand.ExpFloat64() / float64(weight)}
		if w.Strict {
			all[i].weight, all[i].at = weight, rand.Float64()
		}
	}
	slices.SortFunc(all, func(x, y drawn) int {
		return cmp.Or(cmp.Compare(y.weight, x.weight), cmp.Compare(x.at, y.at))
	})
	queues := make([]string, len(all))
	for i, d := range all {
		queues[i] = d.queue
	}
	return queues
}

// Places returns the place of each queue in the order of [Worker.InTurn].
func (w *Worker) Places() map[string]int {
	places := make(map[string]int, len(w.Queues))
	for i, q := range w.InTurn() {
		places[q] = i
	}
	return places
}
