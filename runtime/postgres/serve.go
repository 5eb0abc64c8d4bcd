package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/remote"
)

// ownerPrefix begins our workers' entries in attempted_by, and distinguishes
// their jobs from those of River's clients.
const ownerPrefix = "taskctx:"

// claim is a run's right to its job: the worker owns the job while River's
// count of attempts is the same.
type claim struct {
	job     int64
	attempt int16
}

type (
	delivery = remote.Delivery[claim, struct{}]
	outcome  = remote.Outcome[claim, struct{}]
)

// serve is one call of Serve: a worker, and its statements.
type serve struct {
	*remote.Worker[claim, struct{}]
	e     *Engine
	owner string
	host  string

	listed atomic.Bool // the queues were listed when the worker joined
	hurry  atomic.Bool // the keys of limits are to be looked at
	unsure atomic.Bool // the answer of a step was lost since the running tasks were listed

	dead  deadRows
	aside aside
	// claims, stuck and wroteAt are used by Step alone: see write.go.
	claims  lots
	stuck   map[claim]time.Time
	wroteAt time.Time

	deaf time.Time // since when the listener, which alone uses it, may have missed something

	step sync.Mutex // held by each Step, which Pause waits for

	mu     sync.Mutex
	paused map[engine.Pause]bool // guarded by mu: queues and names
	pauses int                   // guarded by mu: how often Pause has added to them
	left   []int64               // guarded by mu: jobs that have ended and still hold places
	looks  []int64               // guarded by mu: jobs that another program may have ended

	upkeep
}

var _ remote.Store[claim, struct{}] = (*serve)(nil)

// Serve implements [engine.Engine]. It may be called again, at the same time
// or later. While the database cannot be reached it tries again, and running
// tasks go on.
func (e *Engine) Serve(ctx context.Context, w *engine.Worker) error {
	if err := e.closed(); err != nil {
		return err
	}
	if err := served(w.Queues); err != nil {
		return err
	}
	s := &serve{e: e, owner: ownerPrefix + w.ID, stuck: make(map[claim]time.Time), deaf: time.Now()}
	s.host, _ = os.Hostname() // for people: without a name it has none
	s.claims = lots{doing: "claim tasks", most: w.Slots}
	s.upkeep = newUpkeep(s, w)
	s.Worker = remote.NewWorker(w, s, remote.Config{
		Engine: "postgres", Lease: e.cfg.Lease, PollInterval: e.cfg.PollInterval, Cooldown: e.cfg.FetchCooldown, Eager: e.eager,
		UpkeepEvery: min(e.cfg.PollInterval, s.grace), Closing: e.closing, Logger: e.cfg.Logger, Workers: &e.workers,
		Hopeless: undefined,
	})
	e.serving.Store(s, nil)
	defer e.serving.Delete(s)
	if err := s.Worker.Serve(ctx); err != nil {
		if undefined(err) {
			return fmt.Errorf("join the workers: %w", err)
		}
		return err
	}
	return nil
}

// eachServe calls f with each call of Serve that runs.
func (e *Engine) eachServe(f func(s *serve)) {
	e.serving.Range(func(s, _ any) bool {
		f(s.(*serve))
		return true
	})
}

// SaveMemo implements [remote.Store].
func (s *serve) SaveMemo(ctx context.Context, c claim, memo json.RawMessage) (bool, error) {
	p := memoPatch(memo)
	own, empty, err := p.texts()
	if err != nil {
		return false, fmt.Errorf("save memo: %w", err)
	}
	saved := false
	err = s.e.steered(ctx, s.e.sql.saveMemo, []any{s.owner, c.job, c.attempt, s.e.stored([]string{own})[0], empty},
		func(func(...any) error) error { saved = true; return nil })
	if err != nil {
		return false, s.e.failed("save memo", err)
	}
	return saved, nil
}

// served checks the queues that a worker is to serve.
func served(queues []string) error {
	for _, q := range queues {
		if err := checkQueue(q); err != nil {
			return err
		}
	}
	return nil
}
