package postgres

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.Limiter = (*Engine)(nil)

// SetLimit implements [engine.Limiter]. It lets tasks of some keys in at a time.
func (e *Engine) SetLimit(ctx context.Context, rule string, most int) error {
	if err := e.closed(); err != nil {
		return err
	}
	hash, text := limitHash(rule), clean(rule)
	var err error
	if most < 0 {
		_, err = e.exec(ctx, e.sql.limit.clear, hash)
	} else {
		_, err = e.exec(ctx, e.sql.limit.set, hash, text, min(most, math.MaxInt32))
	}
	if err != nil {
		return e.failed("postgres", err)
	}
	for after := []byte{}; ; {
		var keys [][]byte
		if err := e.steered(ctx, e.sql.limit.ofRule, []any{hash, after, keysLot}, func(scan func(...any) error) error {
			var key []byte
			err := scan(&key)
			keys = append(keys, key)
			return err
		}); err != nil {
			return e.failed("postgres", err)
		}
		if len(keys) == 0 {
			return nil
		}
		after = keys[len(keys)-1]
		if err := e.letInMore(ctx, keys); err != nil && !ofOneRow(err) { // the sweep goes on with it
			return e.failed("postgres", err)
		}
	}
}

// keysLot is how many keys are locked at a time where that is free to choose.
const keysLot = 200

// Limits implements [engine.Limiter]. It reads a row for each place that is held or
// waited for.
func (e *Engine) Limits(ctx context.Context) ([]engine.LimitCount, error) {
	if err := e.closed(); err != nil {
		return nil, err
	}
	var counts []engine.LimitCount
	err := e.query(ctx, e.sql.limit.counts, nil, func(scan func(...any) error) error {
		var c engine.LimitCount
		var per int64
		err := scan(&c.Rule, &c.Set, &per, &c.Keys, &c.Held, &c.Waiting)
		c.Per = time.Duration(per)
		counts = append(counts, c)
		return err
	})
	if err != nil {
		return nil, e.failed("postgres", err)
	}
	return counts, nil
}

// leavePaused gives up the places of paused tasks that do not run.
func (e *Engine) leavePaused(ctx context.Context, p engine.Pause) error {
	var jobs []int64
	if err := e.query(ctx, e.sql.limit.pausedPlaces, []any{p.Queue, clean(p.Name)}, scanIDs(&jobs)); err != nil {
		return err
	}
	return e.leaveAll(ctx, jobs)
}

// sweeping looks at places that somebody did not give up: a program that knows none
// has ended, deleted or moved the task, or paused its queue. The workers go on from where
// one of them has got to, through all keys once in a lease.
type sweeping struct {
	s    *serve
	lots int // of this time
}

const (
	sweepKeys = 1000 // keys of a lot
	sweepLots = 5    // lots of one time: there may be many keys, and many workers
)

// sweepEvery is how often a worker looks at some keys.
func (e *Engine) sweepEvery() time.Duration { return max(e.cfg.Lease, 100*time.Millisecond) }

// lot looks at some keys.
func (w *sweeping) lot(ctx context.Context) (more bool, err error) {
	e := w.s.e
	var hurry bool
	var stale []int64
	var roomy, idle [][]byte
	again := e.sweepEvery() * 3 / 4 // so that each worker's next time may be it
	if err := e.steered(ctx, e.sql.limit.sweep, []any{sweepKeys, again.Microseconds()}, func(scan func(...any) error) error {
		return scan(&more, &hurry, &stale, &roomy, &idle)
	}); err != nil {
		return false, fmt.Errorf("look at the places of limits: %w", err)
	}
	for some := range slices.Chunk(stale, 100) {
		keys, err := e.placeKeys(ctx, e, some)
		if err == nil && len(keys.key) > 0 {
			err = w.s.leaveCarefully(ctx, some, keys)
		}
		if err != nil {
			return false, err
		}
	}
	if err := w.settle(ctx, roomy, idle); err != nil {
		return false, err
	}
	if w.lots++; w.lots >= sweepLots && !hurry || !more {
		w.lots, w.s.asked = 0, false
		return false, nil
	}
	return true, nil
}

// hurrySweep has all keys looked at now: there may be places for what was resumed.
func (e *Engine) hurrySweep(ctx context.Context) error {
	_, err := e.exec(ctx, e.sql.limit.hurrySweep)
	return err
}

// sweepNow makes the upkeep look at the keys of limits.
func (s *serve) sweepNow() {
	s.hurry.Store(true)
	s.Due(0)
}

// settle lets tasks in under keys that have free places, and forgets keys without
// places.
func (w *sweeping) settle(ctx context.Context, roomy, idle [][]byte) error {
	e := w.s.e
	for some := range slices.Chunk(roomy, keysLot) {
		if err := w.s.letInCarefully(ctx, some); err != nil {
			return err
		}
	}
	for some := range slices.Chunk(idle, keysLot) {
		k := &limitKeys{key: some}
		if err := e.inTx(ctx, func(ctx context.Context, d db) error {
			if err := e.lockLimits(ctx, d, k); err != nil {
				return err
			}
			if err := d.query(ctx, e.sql.limit.forgetStarts, []any{k.key}, nothing); err != nil {
				return err
			}
			return d.query(ctx, e.sql.limit.forget, []any{k.key}, nothing)
		}); err != nil {
			return err
		}
	}
	return nil
}

// leaveLater has the upkeep give up the places of a job that has ended in a transaction
// which could not.
func (s *serve) leaveLater(job int64) {
	s.mu.Lock()
	s.left = append(s.left, job)
	s.mu.Unlock()
	s.Due(0)
}

// leaveNow gives up the places of the jobs of leaveLater. If it fails, the sweep finds
// them.
func (s *serve) leaveNow(ctx context.Context) error {
	s.mu.Lock()
	jobs := s.left
	s.left = nil
	s.mu.Unlock()
	return s.e.leaveAll(ctx, jobs)
}

// leaving locks the keys of the limits of a task that ends in the transaction. It
// returns nil if it has none, or if the transaction sees the places of its beginning
// alone.
func (j joined) leaving(ctx context.Context, limits []engine.Limit) (*limitKeys, error) {
	if len(limits) == 0 {
		return nil, nil
	}
	level := ""
	err := j.d.query(ctx, "SELECT current_setting('transaction_isolation')", nil,
		func(scan func(...any) error) error { return scan(&level) })
	if err != nil || level != "read committed" {
		return nil, err
	}
	keys := keysOf(limits...)
	return keys, j.e.lockLimits(ctx, j.d, keys)
}
