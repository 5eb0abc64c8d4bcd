package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

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

	pausedQueuesSQL = `
SELECT name, '', paused_at FROM %[1]s.river_queue WHERE paused_at IS NOT NULL
UNION ALL
SELECT '', name, since FROM %[1]s.taskctx_pause`

	// Names are paused by a table of ours. Workers hear of it in a channel of ours.
	pauseNameSQL = `
WITH marked AS (INSERT INTO %[1]s.taskctx_pause (name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING name)
SELECT pg_notify($2::text, '` + namesChanged + `') FROM marked`

	resumeNameSQL = `
WITH marked AS (DELETE FROM %[1]s.taskctx_pause WHERE name = $1 RETURNING name)
SELECT pg_notify($2::text, '` + namesChanged + `') FROM marked`
)

// namesChanged is the message that names were paused or resumed.
const namesChanged = "names"

// Pause implements [engine.Pauser]: River's mark of a queue, so that River's clients
// and tools obey and show it, and one of ours of a name.
func (e *Engine) Pause(ctx context.Context, p engine.Pause) error {
	if err := e.markPaused(ctx, p, pauseQueueSQL, pauseNameSQL); err != nil {
		return err
	}
	e.eachServe(func(s *serve) { s.pauseNow(p) })
	if err := e.leavePaused(ctx, p); err != nil {
		return e.failed("postgres", err)
	}
	return nil
}

// Resume implements [engine.Pauser].
func (e *Engine) Resume(ctx context.Context, p engine.Pause) error {
	if err := e.markPaused(ctx, p, resumeQueueSQL, resumeNameSQL); err != nil {
		return err
	}
	err := e.hurrySweep(ctx)
	e.eachServe(func(s *serve) {
		s.Check() // it may not listen
		s.sweepNow()
	})
	if err != nil {
		return e.failed("postgres", err)
	}
	return nil
}

// markPaused runs the statement for a queue, or the one for a name.
func (e *Engine) markPaused(ctx context.Context, p engine.Pause, ofQueue, ofName string) error {
	if err := e.closed(); err != nil {
		return err
	}
	text, args := ofName, []any{clean(p.Name), e.sql.dueChannel}
	if p.Queue != "" {
		if err := checkQueue(p.Queue); err != nil {
			return err
		}
		if p.Queue == "*" {
			return unsupported("the name %q, which means all queues to River's clients", p.Queue)
		}
		text, args = ofQueue, []any{p.Queue, e.sql.controlChannel}
	}
	if _, err := e.exec(ctx, fmt.Sprintf(text, quoted(e.cfg.Schema)), args...); err != nil {
		return e.failed("postgres", err)
	}
	return nil
}

// pauseNow takes no more of what is paused, before the worker has read that it is. It
// waits for a step that may have begun before.
func (s *serve) pauseNow(p engine.Pause) {
	s.addPaused(p)
	s.step.Lock()
	defer s.step.Unlock()
}

func (s *serve) addPaused(p engine.Pause) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pauses++
	p.Since = time.Time{}
	paused := make(map[engine.Pause]bool, len(s.paused)+1)
	for q := range s.paused {
		paused[q] = true
	}
	paused[p] = true
	s.paused = paused
}

// openNames are the names of the worker's tasks that are not paused.
func (s *serve) openNames() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.paused) == 0 {
		return s.Names
	}
	return slices.DeleteFunc(slices.Clone(s.Names), func(n string) bool { return s.paused[engine.Pause{Name: n}] })
}

// Paused implements [engine.Pauser].
func (e *Engine) Paused(ctx context.Context) ([]engine.Pause, error) {
	if err := e.closed(); err != nil {
		return nil, err
	}
	var ps []engine.Pause
	err := e.query(ctx, fmt.Sprintf(pausedQueuesSQL, quoted(e.cfg.Schema)), nil, func(scan func(...any) error) error {
		var p engine.Pause
		err := scan(&p.Queue, &p.Name, &p.Since)
		p.Since = p.Since.UTC()
		ps = append(ps, p)
		return err
	})
	if err != nil {
		return nil, e.failed("postgres", err)
	}
	return ps, nil
}
