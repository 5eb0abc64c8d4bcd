package web

import (
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// longest are the tasks that have been running longest, as of the snapshot.
func (q *request) longest(s *snapshot, n int) ([]row, error) {
	all, err := s.running.get(q.Context(), func() ([]*runtime.Record, error) {
		began := time.Now()
		all, err := q.running(s)
		q.h.pulse.added(s, time.Since(began))
		return all, err
	})
	if err != nil {
		return nil, err
	}
	rows := make([]row, 0, min(n, len(all)))
	for _, r := range all[:min(n, len(all))] {
		rows = append(rows, rowOf(r, q.now))
	}
	return rows, nil
}

// running reads the tasks that run, those first that have for longest.
func (q *request) running(s *snapshot) (all []*runtime.Record, err error) {
	if n, _ := s.total(engine.StateRunning); n == 0 {
		return nil, nil
	}
	ctx, cancel := q.store()
	defer cancel()
	_, err = q.each(ctx, engine.Query{States: []engine.State{engine.StateRunning}}, func(page []*runtime.Record, _ string) bool {
		for _, r := range page {
			all = append(all, sound(r))
		}
		return len(all) < countMost && !q.late()
	})
	slices.SortFunc(all, func(x, y *runtime.Record) int { return x.StartedAt.Compare(y.StartedAt) })
	return all, err
}
