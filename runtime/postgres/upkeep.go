package postgres

import (
	"context"
	"sync"
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

// sooner makes the upkeep look for due tasks before its time.
type sooner struct {
	mu   sync.Mutex
	next time.Time // guarded by mu: when to look
	wake chan struct{}
}

func (s *sooner) init() { s.wake = make(chan struct{}, 1) }

// at makes the upkeep look after d.
func (s *sooner) at(d time.Duration) {
	at := time.Now().Add(d)
	s.mu.Lock()
	earlier := s.next.IsZero() || at.Before(s.next)
	if earlier {
		s.next = at
	}
	s.mu.Unlock()
	if earlier {
		signal(s.wake)
	}
}

// pause returns how long to wait, at most d.
func (s *sooner) pause(d time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.next.IsZero() {
		d = min(d, max(time.Until(s.next), 0))
	}
	return d
}

func (s *sooner) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = time.Time{}
}

// upkeepLoop makes tasks available when they are due, and does the rest of the
// upkeep now and then.
func (s *serve) upkeepLoop(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	grace := min(max(s.w.ParkFor/4, 20*time.Millisecond), parkGrace)
	idle := min(s.e.cfg.PollInterval, grace)
	first := time.Now()
	var parked, unique time.Time
	cleaned := first.Add(-cleanEvery + cleanEvery/10) // not at once: many may start together
	swept := make(map[int64]time.Time)
	s.welcome(ctx)
	for {
		select {
		case <-t.C:
		case <-s.sooner.wake:
			t.Reset(s.sooner.pause(idle))
			continue
		case <-ctx.Done():
			return
		}
		s.sooner.reset()
		next, err := s.promote(ctx)
		now := time.Now()
		if err == nil && now.Sub(unique) >= uniqueEvery {
			unique, err = now, s.promoteUnique(ctx)
		}
		if err == nil && now.Sub(parked) >= grace {
			parked, err = now, s.park(ctx, grace)
		}
		if err == nil && now.Sub(cleaned) >= cleanEvery {
			cleaned, err = now, s.clean(ctx, swept)
		}
		pause := idle
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.warn("upkeep", err)
		case next >= 0:
			pause = min(pause, next)
		}
		t.Reset(s.sooner.pause(max(pause, time.Millisecond)))
	}
}

// welcome shows the worker's queues to River's tools, and takes back tasks that
// were put aside for want of a worker that knows them.
func (s *serve) welcome(ctx context.Context) {
	if _, err := s.e.pool.Exec(ctx, s.e.sql.queues, s.w.Queues); err != nil && ctx.Err() == nil {
		s.warn("list the queues", err)
	}
	tag, err := s.e.pool.Exec(ctx, s.e.sql.unpark, s.w.Queues, s.w.Names)
	if err != nil && ctx.Err() == nil {
		s.warn("take back parked tasks", err)
	}
	if tag.RowsAffected() > 0 {
		signal(s.news)
	}
	if err := s.readPaused(ctx); err != nil && ctx.Err() == nil {
		s.warn("read the paused queues", err)
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
		if moved > 0 && !s.listening.Load() {
			signal(s.news)
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
	if _, err := s.e.pool.Exec(ctx, s.e.sql.park, s.w.Queues, s.w.Names, grace.Microseconds()); err != nil {
		return err
	}
	var ended []int64
	err := pgxDB{s.e.pool}.query(ctx, s.e.sql.expire,
		[]any{s.w.Queues, s.w.Names, s.w.ParkFor.Microseconds(), s.w.ParkFor.String()},
		func(scan func(...any) error) error {
			var id int64
			err := scan(&id)
			ended = append(ended, id)
			return err
		})
	s.e.watch.tell(ended)
	return err
}

// clean forgets what has been kept for its time. swept is up to when each kind
// of record is known to be gone.
func (s *serve) clean(ctx context.Context, swept map[int64]time.Time) error {
	if _, err := s.e.pool.Exec(ctx, s.e.sql.cleanKeys); err != nil {
		return err
	}
	if _, err := s.e.pool.Exec(ctx, s.e.sql.queues, s.w.Queues); err != nil {
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
			tag, err := s.e.pool.Exec(ctx, s.e.sql.clean, keep, held.Microseconds(), swept[keep])
			if err != nil {
				return err
			}
			if tag.RowsAffected() < 1000 {
				break
			}
		}
		swept[keep] = at
	}
	return nil
}
