package sqlite

import (
	"context"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.Limiter = (*Engine)(nil)

// SetLimit implements [engine.Limiter].
func (e *Engine) SetLimit(ctx context.Context, rule string, most int) error {
	return e.run(ctx, func(t *txn) error {
		st := t.db.places.clear
		if most >= 0 {
			st = t.db.places.set
			st.BindInt(2, int64(most))
		}
		st.BindText(1, rule)
		if err := st.Run(); err != nil {
			return err
		}
		return t.letInAll(rule)
	}, nil)
}

// Limits implements [engine.Limiter]. It reads a row for each place that is held or
// waited for.
func (e *Engine) Limits(ctx context.Context) ([]engine.LimitCount, error) {
	r, err := e.reader(ctx)
	if err != nil {
		return nil, err
	}
	defer e.readers.put(r)
	st, err := r.c.Prepare(`SELECT rule, coalesce((SELECT most FROM @limits l WHERE l.rule = c.rule), -1), sum(keys), sum(held), sum(waiting)
		FROM (
			SELECT rule, count(DISTINCT key) AS keys, total(held) AS held, total(1 - held) AS waiting FROM @places GROUP BY rule
			UNION ALL
			SELECT rule, 0, 0, 0 FROM @limits
		) c GROUP BY rule`)
	if err != nil {
		return nil, e.explain(err)
	}
	defer st.Close()
	var counts []engine.LimitCount
	err = st.Each(func() bool {
		counts = append(counts, engine.LimitCount{
			Rule: st.Text(0), Set: int(st.Int(1)), Keys: int(st.Int(2)), Held: int(st.Int(3)), Waiting: int(st.Int(4)),
		})
		return true
	})
	return counts, e.explain(err)
}
