package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
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
	// queuesEvery is how often the queues are listed for River's tools.
	queuesEvery = time.Minute
)

// chore is something that the upkeep does now and then, a lot at a time: what is
// due goes before the next lot.
type chore struct {
	every time.Duration
	next  time.Time
	// lot does a bounded part of it, and reports whether there is more.
	lot func(ctx context.Context) (more bool, err error)
}

// upkeep is what is to be done, and when. The upkeep's goroutine alone uses it.
type upkeep struct {
	grace  time.Duration // before a task of an unknown name is put aside
	chores []*chore
}

func newUpkeep(s *serve, w *engine.Worker) upkeep {
	grace := min(max(w.ParkFor/4, 20*time.Millisecond), parkGrace)
	now := time.Now()
	soon := now.Add(cleanEvery / 10) // not at once: many may start together
	return upkeep{grace: grace, chores: []*chore{
		{every: queuesEvery, next: now, lot: s.listQueues},
		{every: never, next: now, lot: s.unpark},
		{every: uniqueEvery, next: now, lot: s.promoteUnique},
		{every: grace, next: now, lot: s.park},
		{every: grace, next: now, lot: s.expire},
		{every: cleanEvery, next: soon, lot: s.cleanKeys},
		{every: cleanEvery, next: soon, lot: s.clean(-1e11, 0)},
		{every: cleanEvery, next: soon, lot: s.clean(keepUnsaid/2, keepUnsaid-s.e.cfg.KeepFor.Seconds())},
		{every: cleanEvery, next: soon, lot: s.clean(keepFailedUnsaid*3/4, keepFailedUnsaid-s.e.cfg.KeepFailedFor.Seconds())},
	}}
}

// never is how often a chore is done that is done once.
const never = 1 << 62

// Upkeep implements [remote.Store]: it makes tasks available when they are due,
// and does a lot of the chore that is due the longest.
func (s *serve) Upkeep(ctx context.Context) (next time.Duration, err error) {
	next, err = s.promote(ctx)
	if err != nil {
		return next, err
	}
	now := time.Now()
	c := s.chores[0]
	for _, o := range s.chores {
		if o.next.Before(c.next) {
			c = o
		}
	}
	if !c.next.After(now) {
		more, err := c.lot(ctx)
		if c.next = now; err != nil || !more { // else once more, after the others
			c.next = now.Add(c.every)
		}
		if err != nil {
			return next, err
		}
	}
	for _, o := range s.chores {
		if d := max(o.next.Sub(now), 0); next < 0 || d < next {
			next = d
		}
	}
	return next, nil
}

// lotSize is how many rows a lot of a chore has at most, but for where its
// statement says otherwise.
const lotSize = 1000

// listQueues shows the worker's queues to River's tools, and learns which they
// have paused.
func (s *serve) listQueues(ctx context.Context) (bool, error) {
	if _, err := s.e.exec(ctx, s.e.sql.queues, s.Queues); err != nil {
		return false, fmt.Errorf("list the queues: %w", err)
	}
	return false, s.readPaused(ctx)
}

// unpark takes back tasks that were put aside for want of a worker that knows
// them.
func (s *serve) unpark(ctx context.Context) (bool, error) {
	n, err := s.e.exec(ctx, s.e.sql.unpark, s.Queues, s.Names)
	if err != nil {
		return false, fmt.Errorf("take back parked tasks: %w", err)
	}
	if n > 0 {
		s.News()
	}
	return n == lotSize, nil
}

// promoteLot is how many due tasks are made available with one statement.
const promoteLot = 500

// promote makes due tasks available, and returns how long until the next is
// due, negative when none is.
func (s *serve) promote(ctx context.Context) (time.Duration, error) {
	for {
		var moved, told int
		var next float64
		if err := s.e.row(ctx, s.e.sql.promote, []any{s.e.sql.insertChannel}, &moved, &told, &next); err != nil {
			return 0, fmt.Errorf("make due tasks available: %w", err)
		}
		if moved > 0 {
			s.NewsUnlessTold()
		}
		if moved < promoteLot {
			if next < 0 {
				return -1, nil
			}
			return time.Duration(min(next, 3600) * float64(time.Second)), nil
		}
	}
}

func (s *serve) promoteUnique(ctx context.Context) (bool, error) {
	var moved, told int
	if err := s.e.row(ctx, s.e.sql.promoteUnique, []any{s.e.sql.insertChannel}, &moved, &told); err != nil {
		return false, fmt.Errorf("make due tasks with unique keys available: %w", err)
	}
	return moved > 0, nil
}

// park puts aside what no worker knows.
func (s *serve) park(ctx context.Context) (bool, error) {
	n := 0
	err := s.e.query(ctx, s.e.sql.park, []any{s.Queues, s.Names, s.grace.Microseconds()},
		func(scan func(...any) error) error {
			var queue, kind string
			err := scan(&queue, &kind)
			if err == nil {
				s.Unknown(kind, fmt.Sprintf("no worker of queue %q knows it", queue))
			}
			n++
			return err
		})
	if err != nil {
		return false, fmt.Errorf("put tasks aside that no worker knows: %w", err)
	}
	return n == lotSize, nil
}

// expire ends what no worker has known for too long.
func (s *serve) expire(ctx context.Context) (bool, error) {
	var ended []int64
	var queue, kind string
	err := s.e.query(ctx, s.e.sql.expire,
		[]any{s.Queues, s.Names, s.ParkFor.Microseconds(), s.ParkFor.String()},
		func(scan func(...any) error) error {
			var id int64
			err := scan(&id, &queue, &kind)
			ended = append(ended, id)
			return err
		})
	if err != nil {
		return false, fmt.Errorf("end tasks that no worker knows: %w", err)
	}
	if len(ended) > 0 {
		s.Warn("tasks have failed that no worker knew", fmt.Errorf("%d tasks, the last %s of queue %q", len(ended), kind, queue))
	}
	s.e.watch.Tell(ended...)
	return len(ended) == lotSize, nil
}

// cleanLot is how many records are forgotten with one statement.
const cleanLot = 500

// clean returns the chore that forgets records whose expiry is over from, and over
// before now.
func (s *serve) clean(from, before float64) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		gone := 0
		err := s.e.steered(ctx, s.e.sql.clean, []any{from, before}, func(scan func(...any) error) error { return scan(&gone) })
		if err != nil {
			return false, fmt.Errorf("forget records: %w", err)
		}
		return gone == cleanLot, nil
	}
}

func (s *serve) cleanKeys(ctx context.Context) (bool, error) {
	var seen int
	if err := s.e.row(ctx, s.e.sql.cleanKeys, nil, &seen); err != nil {
		return false, fmt.Errorf("forget keys: %w", err)
	}
	return seen == lotSize, nil
}
