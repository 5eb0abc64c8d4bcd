package sqlite

import (
	"context"
	"math"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.Historian = (*Engine)(nil)

const (
	addHistory = `INSERT INTO @history(step, at, queue, kind, tasks) VALUES(?,?,?,?,?)
		ON CONFLICT (step, at, queue, kind) DO UPDATE SET tasks = tasks + excluded.tasks`
	dropHistory = `DELETE FROM @history WHERE step = ? AND at < ?`
	// selectHistory reads tallies of a queue, or with the last parameter those of each.
	selectHistory = `SELECT at, queue, kind, tasks FROM @history WHERE step = ?1 AND at >= ?2 AND at < ?3
		AND iif(?5, queue <> '', queue = ?4)`
)

// AddHistory implements [engine.Historian]: with one transaction of the writer's.
// The statements are prepared for it, since it comes once a minute.
func (e *Engine) AddHistory(ctx context.Context, ts []engine.Tally) error {
	fresh, before := engine.FreshTallies(ts, e.now())
	return e.run(ctx, func(t *txn) error {
		drop, err := t.db.c.Prepare(dropHistory)
		if err != nil {
			return err
		}
		defer drop.Close()
		for step, at := range before {
			drop.BindInt(1, int64(step/time.Second))
			drop.BindInt(2, at.Unix())
			if err := drop.Run(); err != nil {
				return err
			}
		}
		add, err := t.db.c.Prepare(addHistory)
		if err != nil {
			return err
		}
		defer add.Close()
		for _, tally := range fresh {
			add.BindInt(1, int64(tally.Step/time.Second))
			add.BindInt(2, tally.At.Unix())
			add.BindText(3, tally.Queue)
			add.BindText(4, tally.Kind)
			add.BindInt(5, tally.Tasks)
			if err := add.Run(); err != nil {
				return err
			}
		}
		return nil
	}, nil)
}

// History implements [engine.Historian].
func (e *Engine) History(ctx context.Context, q engine.HistoryQuery) ([]engine.Tally, error) {
	r, err := e.reader(ctx)
	if err != nil {
		return nil, err
	}
	defer e.readers.put(r)
	st, err := r.c.Prepare(selectHistory)
	if err != nil {
		return nil, e.explain(err)
	}
	defer st.Close()
	until, each := int64(math.MaxInt64), int64(0)
	if !q.Until.IsZero() {
		until = q.Until.Unix()
	}
	if q.Queues {
		each = 1
	}
	st.BindInt(1, int64(q.Step/time.Second))
	st.BindInt(2, q.Since.Unix())
	st.BindInt(3, until)
	st.BindText(4, q.Queue)
	st.BindInt(5, each)
	var ts []engine.Tally
	err = st.Each(func() bool {
		ts = append(ts, engine.Tally{
			Step: q.Step, At: time.Unix(st.Int(0), 0).UTC(), Queue: st.Text(1), Kind: st.Text(2), Tasks: st.Int(3),
		})
		return true
	})
	if err != nil {
		return nil, e.explain(err)
	}
	return ts, nil
}
