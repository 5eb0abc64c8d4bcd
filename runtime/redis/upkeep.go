package redis

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// What asynq's forwarder and janitor do: any worker does it here, and several
// at a time do no harm.

const (
	// cleanEvery is from when all that was due to be forgotten is forgotten, to the
	// next look. cleanAtOnce is how many one script forgets, and cleanPause the time
	// between two: tasks become due in between.
	cleanEvery  = 10 * time.Second
	cleanAtOnce = 500
	cleanPause  = 5 * time.Millisecond
	tidyEvery   = time.Minute
	// sentAgainFor is how long the record of a task stays at least, so that an enqueue
	// that is sent again, since its answer was lost, finds what it has stored.
	sentAgainFor = 10 * time.Second
	// lookAhead is how far ahead a task is due at most that the upkeep waits for.
	lookAhead = time.Hour
)

// Upkeep implements [remote.Store]: it makes tasks pending when they are due,
// and now and then forgets some old ones.
func (s *serve) Upkeep(ctx context.Context) (next time.Duration, err error) {
	if next, err = s.forward(ctx); err != nil {
		return next, err
	}
	now := time.Now()
	if now.Sub(s.cleaned) >= cleanEvery {
		n, err := s.clean(ctx, now)
		if err != nil {
			return next, err
		}
		if n == cleanAtOnce { // there may be more
			return cleanPause, nil
		}
		s.cleaned = now
	}
	if now.Sub(s.tidied) >= tidyEvery {
		s.tidied = now
		return next, s.tidy(ctx)
	}
	return next, nil
}

// forward makes due tasks pending, and returns how long until the next is due,
// negative if none is.
func (s *serve) forward(ctx context.Context) (time.Duration, error) {
	for {
		now := time.Now()
		args := append([]any{score(now), now.UnixNano()}, anys(s.Queues)...)
		res, err := forwardScript.Run(ctx, s.e.db, nil, args...).Slice()
		if err != nil || len(res) < 2 {
			return -1, err
		}
		moved, _ := res[0].(int64)
		if moved > 0 {
			s.NewsUnlessTold()
			continue // there may be more
		}
		if text(res[1]) == "" {
			return -1, nil
		}
		next, err := strconv.ParseFloat(text(res[1]), 64)
		if err != nil {
			return -1, fmt.Errorf("read when the next task is due: %w", err)
		}
		return max(min(time.Until(fromScore(next)), lookAhead), 0), nil
	}
}

// clean forgets tasks that ended long enough ago, and returns how many.
func (s *serve) clean(ctx context.Context, now time.Time) (int, error) {
	args := append([]any{cleanAtOnce, score(now.Add(-sentAgainFor)), score(now.Add(-archivedFor))}, anys(s.Queues)...)
	return cleanScript.Run(ctx, s.e.db, nil, args...).Int()
}

// tidy looks through a part of what the engine keeps beside asynq's keys.
func (s *serve) tidy(ctx context.Context) error {
	args := append([]any{rand.IntN(1 << 30)}, anys(s.Queues)...)
	if err := tidyScript.Run(ctx, s.e.db, nil, args...).Err(); err != nil {
		return err
	}
	for range sweeps {
		names, cursor, err := s.e.db.Scan(ctx, s.sweeping, keyPrefix+"*", sweepAtOnce).Result()
		if err != nil {
			return err
		}
		if len(names) > 0 {
			if err := sweepScript.Run(ctx, s.e.db, nil, anys(names)...).Err(); err != nil {
				return err
			}
		}
		if s.sweeping = cursor; cursor == 0 {
			break
		}
	}
	return nil
}

// The search for keys that nobody holds takes so many steps each time, over so many
// keys of the database. Most keys are deleted when they become free.
const (
	sweeps      = 5
	sweepAtOnce = 1000
)
