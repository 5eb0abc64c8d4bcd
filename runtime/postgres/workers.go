package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.WorkerLister = (*Engine)(nil)

// Workers implements [engine.WorkerLister]. It knows workers of this package, not
// River's.
func (e *Engine) Workers(ctx context.Context) ([]engine.WorkerInfo, error) {
	if err := e.closed(); err != nil {
		return nil, err
	}
	infos := []engine.WorkerInfo{}
	err := e.steered(ctx, e.sql.alive, nil, func(scan func(...any) error) error {
		var w engine.WorkerInfo
		var silent float64
		var running int64
		if err := scan(&w.ID, &w.Host, &w.PID, &w.StartedAt, &w.SeenAt, &w.Slots, &w.Queues, &w.Names, &silent, &running); err != nil {
			return err
		}
		w.ID, w.Running = strings.TrimPrefix(w.ID, ownerPrefix), int(running)
		w.StartedAt, w.SeenAt = w.StartedAt.UTC(), w.SeenAt.UTC()
		w.Lost = silent > (e.cfg.Lease + e.cfg.Lease/5).Seconds() // of this handle's configuration: each has its own
		infos = append(infos, w)
		return nil
	})
	if err != nil {
		return nil, e.failed("list workers", err)
	}
	return infos, nil
}

// oldestQueues is of how many queues the oldest waiting task is looked for.
const oldestQueues = 1000

// addOldest finds since when the oldest pending task of each queue has been due.
func (e *Engine) addOldest(ctx context.Context, t tally) error {
	var queues []string
	for at := range t {
		if at.state == engine.StatePending && len(queues) < oldestQueues {
			queues = append(queues, at.queue)
		}
	}
	if len(queues) == 0 {
		return nil
	}
	older := func(scan func(...any) error) error {
		var queue string
		var at *time.Time
		if err := scan(&queue, &at); err != nil {
			return err
		}
		c := t[tallied{queue, engine.StatePending}]
		if c != nil && at != nil && (c.Oldest.IsZero() || at.Before(c.Oldest)) {
			c.Oldest = at.UTC()
		}
		return nil
	}
	if err := e.steered(ctx, e.sql.oldest, []any{queues}, older); err != nil {
		return err
	}
	return e.steered(ctx, e.sql.oldestAside, nil, older)
}
