package postgres

import (
	"context"
	"fmt"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.Pauser = (*Engine)(nil)

// A queue is paused as River's clients pause one: by the row of river_queue, and a
// notification to the workers, theirs and ours.
const (
	pauseQueueSQL = `
WITH marked AS (
	INSERT INTO %[1]s.river_queue AS q (name, paused_at, updated_at) VALUES ($1, now(), now())
	ON CONFLICT (name) DO UPDATE SET paused_at = coalesce(q.paused_at, now()), updated_at = now()
	RETURNING name
)
SELECT pg_notify($2::text, json_build_object('action', 'pause', 'queue', name)::text) FROM marked`

	resumeQueueSQL = `
WITH marked AS (
	UPDATE %[1]s.river_queue SET paused_at = NULL, updated_at = now() WHERE name = $1 AND paused_at IS NOT NULL RETURNING name
)
SELECT pg_notify($2::text, json_build_object('action', 'resume', 'queue', name)::text) FROM marked`

	pausedQueuesSQL = `SELECT name, paused_at FROM %[1]s.river_queue WHERE paused_at IS NOT NULL`
)

// errNames is the error of pausing the tasks of a name.
var errNames = fmt.Errorf("pausing tasks by name on Postgres: %w", engine.ErrUnsupported)

// Pause implements [engine.Pauser]: River's mark of a queue, so that River's clients
// and tools obey and show it. Names are [engine.ErrUnsupported].
func (e *Engine) Pause(ctx context.Context, p engine.Pause) error {
	if p.Queue == "" {
		return errNames
	}
	if err := e.markQueue(ctx, pauseQueueSQL, p.Queue); err != nil {
		return err
	}
	e.serving.Range(func(s, _ any) bool {
		s.(*serve).pauseNow(p.Queue)
		return true
	})
	if err := e.leavePaused(ctx, p.Queue); err != nil {
		return e.failed("postgres", err)
	}
	return nil
}

// Resume implements [engine.Pauser].
func (e *Engine) Resume(ctx context.Context, p engine.Pause) error {
	if p.Queue == "" {
		return errNames
	}
	if err := e.markQueue(ctx, resumeQueueSQL, p.Queue); err != nil {
		return err
	}
	e.serving.Range(func(s, _ any) bool {
		s.(*serve).Check() // it may not listen
		return true
	})
	return nil
}

func (e *Engine) markQueue(ctx context.Context, text, queue string) error {
	if err := e.closed(); err != nil {
		return err
	}
	if err := checkQueue(queue); err != nil {
		return err
	}
	if _, err := e.exec(ctx, fmt.Sprintf(text, quoted(e.cfg.Schema)), queue, e.sql.controlChannel); err != nil {
		return e.failed("postgres", err)
	}
	return nil
}

// pauseNow takes no more from the queue, before the worker has read that it is
// paused. It waits for a step that may have begun before.
func (s *serve) pauseNow(queue string) {
	s.addPaused(queue)
	s.step.Lock()
	defer s.step.Unlock()
}

func (s *serve) addPaused(queue string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pauses++
	paused := make(map[string]bool, len(s.paused)+1)
	for q := range s.paused {
		paused[q] = true
	}
	paused[queue] = true
	s.paused = paused
}

// Paused implements [engine.Pauser].
func (e *Engine) Paused(ctx context.Context) ([]engine.Pause, error) {
	if err := e.closed(); err != nil {
		return nil, err
	}
	var ps []engine.Pause
	err := e.query(ctx, fmt.Sprintf(pausedQueuesSQL, quoted(e.cfg.Schema)), nil, func(scan func(...any) error) error {
		var p engine.Pause
		err := scan(&p.Queue, &p.Since)
		p.Since = p.Since.UTC()
		ps = append(ps, p)
		return err
	})
	if err != nil {
		return nil, e.failed("postgres", err)
	}
	return ps, nil
}
