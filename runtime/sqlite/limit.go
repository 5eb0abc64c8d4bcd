package sqlite

import (
	"context"
	"time"

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
		t.sets = unasked
		return t.letInAll(rule)
	}, nil)
}

// Limits implements [engine.Limiter]. It reads a row for each place that is held or
// waited for, and for each run that counts under a rate.
func (e *Engine) Limits(ctx context.Context) ([]engine.LimitCount, error) {
	r, err := e.reader(ctx)
	if err != nil {
		return nil, err
	}
	defer e.readers.put(r)
	st, err := r.c.Prepare(`SELECT rule, coalesce((SELECT most FROM @limits l WHERE l.rule = c.rule), -1), max(per),
			count(DISTINCT key), total(held), total(waiting)
		FROM (
			SELECT rule, key, per, held, 1 - held AS waiting FROM @places
			UNION ALL
			SELECT r.rule, r.key, r.per, 1, 0 FROM @rates r JOIN @starts s ON s.key = r.key
			WHERE s.at > ?1 - r.per - min(r.per / 50, 1000000000)
			UNION ALL
			SELECT rule, NULL, 0, 0, 0 FROM @limits
		) c GROUP BY rule`)
	if err != nil {
		return nil, e.explain(err)
	}
	defer st.Close()
	st.BindInt(1, nanos(e.now()))
	var counts []engine.LimitCount
	err = st.Each(func() bool {
		counts = append(counts, engine.LimitCount{
			Rule: st.Text(0), Set: int(st.Int(1)), Per: time.Duration(st.Int(2)),
			Keys: int(st.Int(3)), Held: int(st.Int(4)), Waiting: int(st.Int(5)),
		})
		return true
	})
	return counts, e.explain(err)
}
