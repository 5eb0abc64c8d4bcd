package redis

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// What asynq's forwarder and janitor do: any worker does it here, and several
// at a time do no harm.

const (
	cleanEvery = time.Minute
	// archivedFor is how long asynq keeps archived tasks.
	archivedFor = 90 * 24 * time.Hour
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

// upkeepLoop makes tasks pending when they are due, and forgets old ones now
// and then.
func (s *serve) upkeepLoop(ctx context.Context) {
	idle := s.e.cfg.PollInterval
	t := time.NewTimer(0)
	defer t.Stop()
	cleaned := time.Now().Add(-cleanEvery + cleanEvery/10) // not at once: many may start together
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
		next, err := s.forward(ctx)
		now := time.Now()
		if err == nil && now.Sub(cleaned) >= cleanEvery {
			cleaned, err = now, s.clean(ctx)
		}
		pause := idle
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.warn("upkeep", err)
			pause = max(pause, lastPause)
		case !next.IsZero():
			pause = min(pause, max(time.Until(next), 0))
		}
		t.Reset(s.sooner.pause(max(pause, time.Millisecond)))
	}
}

// forward makes due tasks pending, and returns when the next is due, zero if
// none is.
func (s *serve) forward(ctx context.Context) (time.Time, error) {
	for {
		now := time.Now()
		args := append([]any{score(now), now.UnixNano()}, anys(s.w.Queues)...)
		res, err := forwardScript.Run(ctx, s.e.db, nil, args...).Slice()
		if err != nil || len(res) < 2 {
			return time.Time{}, err
		}
		moved, _ := res[0].(int64)
		if moved > 0 && !s.listening.Load() {
			signal(s.news)
		}
		if moved > 0 {
			continue // there may be more
		}
		if text(res[1]) == "" {
			return time.Time{}, nil
		}
		next, err := strconv.ParseFloat(text(res[1]), 64)
		if err != nil {
			return time.Time{}, fmt.Errorf("read when the next task is due: %w", err)
		}
		return fromScore(next), nil
	}
}

// clean forgets tasks that ended long enough ago.
func (s *serve) clean(ctx context.Context) error {
	for {
		now := time.Now()
		args := append([]any{score(now), score(now.Add(-archivedFor))}, anys(s.w.Queues)...)
		n, err := cleanScript.Run(ctx, s.e.db, nil, args...).Int()
		if err != nil || n == 0 {
			return err
		}
	}
}
