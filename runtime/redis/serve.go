package redis

import (
	"context"
	"encoding/json"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/internal/remote"
)

// claim is what a run holds of its task: it is the owner's as long as the
// task's fence is the same.
type claim struct{ queue, id, fence string }

// task is what a run knows of its task.
type task struct {
	msg    *taskMessage
	own    details
	parked bool // it never ran: no worker here knows its name
}

type (
	delivery = remote.Delivery[claim, task]
	outcome  = remote.Outcome[claim, task]
)

// serve is one call of Serve: a worker, and its scripts.
type serve struct {
	*remote.Worker[claim, task]
	e       *Engine
	cleaned time.Time // the upkeep alone uses it
}

var _ remote.Store[claim, task] = (*serve)(nil)

// Serve implements [runtime.Engine]. It may be called again, at the same time
// or later. While the server cannot be reached it tries again, and running
// tasks go on.
func (e *Engine) Serve(ctx context.Context, w *runtime.Worker) error {
	if err := e.closed(); err != nil {
		return err
	}
	s := &serve{e: e, cleaned: time.Now().Add(-cleanEvery + cleanEvery/10)} // not at once: many may start together
	s.Worker = remote.NewWorker(w, s, remote.Config{
		Engine: "redis", Lease: e.cfg.Lease, PollInterval: e.cfg.PollInterval, UpkeepEvery: e.cfg.PollInterval,
		Closing: e.closing, Logger: e.cfg.Logger, Workers: &e.workers,
	})
	return s.Worker.Serve(ctx)
}

// SaveMemo implements [remote.Store].
func (s *serve) SaveMemo(ctx context.Context, c claim, memo json.RawMessage) (bool, error) {
	ok, err := saveMemoScript.Run(ctx, s.e.db, nil, s.ID, c.queue, c.id, c.fence, []byte(memo)).Int()
	if err != nil {
		return false, s.e.failed("save memo", err)
	}
	return ok != 0, nil
}
