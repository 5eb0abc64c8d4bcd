package redis

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// What asynq's forwarder and janitor do: any worker does it here, and several
// at a time do no harm.

const (
	cleanEvery = time.Minute
	// archivedFor is how long asynq keeps archived tasks.
	archivedFor = 90 * 24 * time.Hour
)

// Upkeep implements [remote.Store]: it makes tasks pending when they are due,
// and forgets old ones now and then.
func (s *serve) Upkeep(ctx context.Context) (next time.Duration, err error) {
	next, err = s.forward(ctx)
	if now := time.Now(); err == nil && now.Sub(s.cleaned) >= cleanEvery {
		s.cleaned, err = now, s.clean(ctx)
	}
	return next, err
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
		return max(time.Until(fromScore(next)), 0), nil
	}
}

// clean forgets tasks that ended long enough ago.
func (s *serve) clean(ctx context.Context) error {
	for {
		now := time.Now()
		args := append([]any{score(now), score(now.Add(-archivedFor))}, anys(s.Queues)...)
		n, err := cleanScript.Run(ctx, s.e.db, nil, args...).Int()
		if err != nil || n == 0 {
			return err
		}
	}
}
