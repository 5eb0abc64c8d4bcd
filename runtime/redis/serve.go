package redis

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/remote"
)

// claim is a run's right to its task: the run owns the task while that has the
// same fence.
type claim struct{ queue, id, fence string }

// task is a run's knowledge of its task.
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
	e     *Engine
	names []any  // the worker's, as arguments
	about []byte // its description of itself, and whether the server still has it
	told  bool

	looked  time.Time   // for parked tasks; Step alone uses it
	resumed atomic.Bool // look for them at once
	dues    dues

	// Used only by the upkeep.
	cleaned  time.Time // when all expired records were forgotten
	tidied   time.Time // when the sets of our own were looked through
	sweeping uint64    // where the search for keys without a holder has got to
	asked    time.Time // when it was last asked whether journals are to be looked at
	passes   []pass    // the looks at journals that are under way
	sweptAt  time.Time // when the last sweep of places began
	swept    int       // how many lots of it are done, 0 when none is under way
}

var _ remote.Store[claim, task] = (*serve)(nil)

// Serve implements [engine.Engine]. It may be called again, at the same time
// or later. While the server cannot be reached it tries again, and running
// tasks go on.
func (e *Engine) Serve(ctx context.Context, w *engine.Worker) error {
	if err := e.closed(); err != nil {
		return err
	}
	for _, q := range w.Queues {
		e.queues.use(q)
	}
	now := time.Now()
	s := &serve{e: e, names: anys(w.Names)}
	s.cleaned, s.tidied = now.Add(-cleanEvery/2), now.Add(-tidyEvery/2) // not at once: many may start together
	s.Worker = remote.NewWorker(w, s, remote.Config{
		Engine: "redis", Lease: e.cfg.Lease, PollInterval: e.cfg.PollInterval, UpkeepEvery: e.cfg.PollInterval,
		Closing: e.closing, Logger: e.cfg.Logger, Workers: &e.workers,
	})
	if err := s.describe(); err != nil {
		return err
	}
	return s.Worker.Serve(ctx)
}

// SaveMemo implements [remote.Store].
func (s *serve) SaveMemo(ctx context.Context, c claim, memo json.RawMessage) (bool, error) {
	ok, err := s.e.run(ctx, saveMemoScript, s.ID, c.queue, c.id, c.fence, []byte(memo)).Int()
	if err != nil {
		return false, s.e.failed("save memo", err)
	}
	return ok != 0, nil
}
