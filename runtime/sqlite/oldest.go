package sqlite

import (
	"math"

	"github.com/taskctx/taskctx/runtime/engine"
)

const (
	// oldestQueues is of how many queues the oldest waiting task is looked for.
	oldestQueues = 1000
	// oldestRows is how many rows are read where no index has the oldest first.
	oldestRows = 5000
	// oldestLevels is how many priorities of a queue are looked at.
	oldestLevels = 8
)

// addOldest finds since when the oldest pending task of each queue has been due.
func (t *tally) addOldest() error {
	if err := t.oldestAside(); err != nil {
		return err
	}
	st, err := t.c.Prepare(`SELECT priority, due FROM @tasks INDEXED BY @ready
		WHERE state <= 3 AND queue = ?1 AND priority < ?2 ORDER BY priority DESC, due LIMIT 1`)
	if err != nil {
		return err
	}
	defer st.Close()
	queues := 0
	for p, n := range t.places {
		if p.state != engine.StatePending {
			continue
		}
		if queues++; queues > oldestQueues {
			return nil
		}
		below := int64(math.MaxInt64)
		for range oldestLevels {
			st.Reset()
			st.BindText(1, p.queue)
			st.BindInt(2, below)
			ok, err := st.Step()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			below = st.Int(0)
			n.older(st.Int(1))
		}
	}
	return nil
}

// oldestAside looks at tasks that are due but not among those that are ready:
// parked ones, and those that no worker has moved yet.
func (t *tally) oldestAside() error {
	st, err := t.c.Prepare(`SELECT queue, min(due) FROM (
			SELECT * FROM (SELECT queue, due FROM @tasks INDEXED BY @parked WHERE state = 5 LIMIT ?2)
			UNION ALL SELECT * FROM (SELECT queue, due FROM @tasks INDEXED BY @later
				WHERE state IN (6, 7) AND due <= ?1 ORDER BY due LIMIT ?2)
		) GROUP BY queue LIMIT ?3`)
	if err != nil {
		return err
	}
	defer st.Close()
	st.BindInt(1, t.now)
	st.BindInt(2, oldestRows)
	st.BindInt(3, oldestQueues)
	return st.Each(func() bool {
		if n := t.places[place{st.Text(0), engine.StatePending}]; n != nil {
			n.older(st.Int(1))
		}
		return true
	})
}

// older takes note of a task that is due since a time.
func (n *number) older(due int64) {
	if n.oldest == 0 || due < n.oldest {
		n.oldest = due
	}
}
