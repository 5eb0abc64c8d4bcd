package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.Historian = (*Engine)(nil)

const (
	// addHistorySQL adds tallies, and forgets old ones: in the order of the key, so
	// that processes that add the same wait for each other and not in a circle.
	addHistorySQL = `
WITH old AS (
	DELETE FROM %[1]s.taskctx_history h USING unnest($6::int[], $7::timestamptz[]) AS k (step, at)
	WHERE h.step = k.step AND h.at < k.at
)
INSERT INTO %[1]s.taskctx_history AS h (step, at, queue, kind, tasks)
SELECT * FROM unnest($1::int[], $2::timestamptz[], $3::text[], $4::text[], $5::bigint[])
ON CONFLICT (step, at, queue, kind) DO UPDATE SET tasks = h.tasks + excluded.tasks`

	historySQL = `SELECT at, queue, kind, tasks FROM %[1]s.taskctx_history
WHERE step = $1 AND at >= $2 AND ($3::timestamptz IS NULL OR at < $3) AND CASE WHEN $5::bool THEN queue <> '' ELSE queue = $4::text END`
)

// AddHistory implements [engine.Historian], with one statement.
func (e *Engine) AddHistory(ctx context.Context, ts []engine.Tally) error {
	if err := e.closed(); err != nil {
		return err
	}
	fresh, before := engine.FreshTallies(ts, time.Now())
	var steps, oldSteps []int32
	var ats, oldAts []time.Time
	var queues, kinds []string
	var tasks []int64
	for _, t := range fresh {
		steps, ats, queues = append(steps, int32(t.Step/time.Second)), append(ats, t.At), append(queues, t.Queue)
		kinds, tasks = append(kinds, t.Kind), append(tasks, t.Tasks)
	}
	for step, at := range before {
		oldSteps, oldAts = append(oldSteps, int32(step/time.Second)), append(oldAts, at)
	}
	_, err := e.exec(ctx, fmt.Sprintf(addHistorySQL, quoted(e.cfg.Schema)), steps, ats, queues, kinds, tasks, oldSteps, oldAts)
	if err != nil {
		return e.failed("add to the history", err)
	}
	return nil
}

// History implements [engine.Historian].
func (e *Engine) History(ctx context.Context, q engine.HistoryQuery) ([]engine.Tally, error) {
	if err := e.closed(); err != nil {
		return nil, err
	}
	var until *time.Time
	if !q.Until.IsZero() {
		until = &q.Until
	}
	since := q.Since
	if since.Before(time.Unix(0, 0)) {
		since = time.Unix(0, 0)
	}
	var ts []engine.Tally
	err := e.query(ctx, fmt.Sprintf(historySQL, quoted(e.cfg.Schema)), []any{int32(q.Step / time.Second), since, until, q.Queue, q.Queues},
		func(scan func(...any) error) error {
			t := engine.Tally{Step: q.Step}
			err := scan(&t.At, &t.Queue, &t.Kind, &t.Tasks)
			t.At = t.At.UTC()
			ts = append(ts, t)
			return err
		})
	if err != nil {
		return nil, e.failed("read the history", err)
	}
	return ts, nil
}
