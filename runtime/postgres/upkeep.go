package postgres

import (
	"context"
	"fmt"
	"time"
)

// River's leader schedules, rescues and cleans. In a schema of ours there may
// be no River client, so every worker does it, passing over what another has
// locked.

// cleanEvery is how often records that are over their time are forgotten.
var cleanEvery = time.Minute // a variable for tests

const (
	// parkGrace is how long a task may be due before it is put aside because no
	// worker knows it.
	parkGrace = 10 * time.Second
	// uniqueEvery is how often jobs with a unique key of River's own are made
	// available, as River's scheduler does.
	uniqueEvery = 5 * time.Second
)

// Upkeep implements [remote.Store]: it makes tasks available when they are due,
// and does the rest now and then.
func (s *serve) Upkeep(ctx context.Context) (next time.Duration, err error) {
	if !s.welcomed {
		s.welcome(ctx)
		s.welcomed = true
	}
	next, err = s.promote(ctx)
	now := time.Now()
	if err == nil && now.Sub(s.unique) >= uniqueEvery {
		s.unique, err = now, s.promoteUnique(ctx)
	}
	if err == nil && now.Sub(s.parked) >= s.grace {
		s.parked, err = now, s.park(ctx, s.grace)
	}
	if err == nil && now.Sub(s.cleaned) >= cleanEvery {
		s.cleaned, err = now, s.clean(ctx)
	}
	return next, err
}

// welcome shows the worker's queues to River's tools, and takes back tasks that
// were put aside for want of a worker that knows them.
func (s *serve) welcome(ctx context.Context) {
	if _, err := s.e.pool.Exec(ctx, s.e.sql.queues, s.Queues); err != nil && ctx.Err() == nil {
		s.Warn("list the queues", err)
	}
	tag, err := s.e.pool.Exec(ctx, s.e.sql.unpark, s.Queues, s.Names)
	if err != nil && ctx.Err() == nil {
		s.Warn("take back parked tasks", err)
	}
	if tag.RowsAffected() > 0 {
		s.News()
	}
	if err := s.readPaused(ctx); err != nil && ctx.Err() == nil {
		s.Warn("read the paused queues", err)
	}
}

// promote makes due tasks available, and returns how long until the next is
// due, negative when none is.
func (s *serve) promote(ctx context.Context) (time.Duration, error) {
	for {
		var moved, told int
		var next float64
		if err := s.e.pool.QueryRow(ctx, s.e.sql.promote, s.e.sql.insertChannel).Scan(&moved, &told, &next); err != nil {
			return 0, err
		}
		if moved > 0 {
			s.NewsUnlessTold()
		}
		if moved < 1000 {
			if next < 0 {
				return -1, nil
			}
			return time.Duration(min(next, 3600) * float64(time.Second)), nil
		}
	}
}

func (s *serve) promoteUnique(ctx context.Context) error {
	for range 100 {
		var moved, told int
		if err := s.e.pool.QueryRow(ctx, s.e.sql.promoteUnique, s.e.sql.insertChannel).Scan(&moved, &told); err != nil || moved == 0 {
			return err
		}
	}
	return nil
}

// park puts aside what no worker knows, and ends what none has known for too
// long.
func (s *serve) park(ctx context.Context, grace time.Duration) error {
	db := pgxDB{s.e.pool}
	var queue, kind string
	err := db.query(ctx, s.e.sql.park, []any{s.Queues, s.Names, grace.Microseconds()},
		func(scan func(...any) error) error {
			err := scan(&queue, &kind)
			if err == nil {
				s.Unknown(kind, fmt.Sprintf("no worker of queue %q knows it", queue))
			}
			return err
		})
	if err != nil {
		return err
	}
	var ended []int64
	err = db.query(ctx, s.e.sql.expire,
		[]any{s.Queues, s.Names, s.ParkFor.Microseconds(), s.ParkFor.String()},
		func(scan func(...any) error) error {
			var id int64
			err := scan(&id, &queue, &kind)
			ended = append(ended, id)
			return err
		})
	if len(ended) > 0 {
		s.Warn("tasks have failed that no worker knew", fmt.Errorf("%d tasks, the last %s of queue %q", len(ended), kind, queue))
	}
	s.e.watch.Tell(ended...)
	return err
}

// clean forgets what has been kept for its time.
func (s *serve) clean(ctx context.Context) error {
	if _, err := s.e.pool.Exec(ctx, s.e.sql.cleanKeys); err != nil {
		return err
	}
	if _, err := s.e.pool.Exec(ctx, s.e.sql.queues, s.Queues); err != nil {
		return err
	}
	upTo := make(map[int64]time.Time)
	err := pgxDB{s.e.pool}.query(ctx, s.e.sql.keeps, nil, func(scan func(...any) error) error {
		var keep int64
		var at time.Time
		err := scan(&keep, &at)
		upTo[keep] = at
		return err
	})
	if err != nil {
		return err
	}
	for keep, at := range upTo {
		held := time.Duration(keep)
		if keep == 0 {
			held = s.e.cfg.KeepFor
			at = at.Add(-held)
		}
		for {
			tag, err := s.e.pool.Exec(ctx, s.e.sql.clean, keep, held.Microseconds(), s.swept[keep])
			if err != nil {
				return err
			}
			if tag.RowsAffected() < 1000 {
				break
			}
		}
		s.swept[keep] = at
	}
	return nil
}
