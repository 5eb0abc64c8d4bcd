package postgres

import (
	"context"
	"strings"

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
