package redis

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// Upkeep does the work of asynq's forwarder and janitor: any worker does it
// here, and several at a time do no harm.

const (
	// cleanEvery is the pause between two cleanups, from the end of one that
	// has forgotten all expired records. cleanAtOnce is how many one script
	// forgets, and cleanPause the time between two scripts, in which other
	// requests go.
	cleanEvery  = 10 * time.Second
	cleanAtOnce = 500
	cleanPause  = 5 * time.Millisecond
	tidyEvery   = time.Minute
	// sentAgainFor is the least time for which the record of a task stays, so
	// that an enqueue that is sent again after a lost answer finds the tasks
	// it has stored.
	sentAgainFor = 10 * time.Second
	// lookAhead is the longest time for which the upkeep waits for a due task.
	lookAhead = time.Hour
)

// Upkeep implements [remote.Store]: it makes due tasks pending, and now and
// then forgets some old ones.
func (s *serve) Upkeep(ctx context.Context) (next time.Duration, err error) {
	s.e.enlist(ctx, s.Queues...)
	var f forwarded
	if f, err = s.forward(ctx); err != nil {
		return f.next, err
	}
	next = f.next
	now := time.Now()
	room, err := s.limits(ctx, f.room, now)
	if err != nil {
		return next, err
	}
	if room >= 0 && (next < 0 || room < next) {
		next = room
	}
	if more, err := s.journals(ctx, f.bereft, now); err != nil {
		return next, err
	} else if more {
		next = cleanPause
	}
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

// forwarded is what a look for due tasks has found.
type forwarded struct {
	next   time.Duration // until the next is due, negative if none is
	bereft *place        // a task whose children are to be cancelled
	room   time.Duration // until a rate has room for a task that waits, negative if none does
}

// forward makes due tasks pending.
func (s *serve) forward(ctx context.Context) (f forwarded, err error) {
	f.next, f.room = -1, -1
	for {
		now := time.Now()
		queues := s.dues.take(s.Queues, now, s.e.cfg.PollInterval)
		args := append([]any{score(now), now.UnixNano()}, anys(queues)...)
		res, err := s.e.run(ctx, forwardScript, args...).Slice()
		if err != nil || len(res) < 5 {
			s.dues.failed()
			return f, err
		}
		if waits := places(res[2]); len(waits) > 0 {
			if err := s.wakeDue(ctx, waits); err != nil {
				return f, err
			}
		}
		if moved, _ := res[0].(int64); moved > 0 {
			s.NewsUnlessTold()
			s.dues.by(now)
			continue // there may be more
		}
		f.room = untilRoomOf(res[4])
		if orphaned := places(res[3]); len(orphaned) > 0 {
			f.bereft = &orphaned[0]
		}
		if text(res[1]) != "" {
			next, err := strconv.ParseFloat(text(res[1]), 64)
			if err != nil {
				return f, fmt.Errorf("read when the next task is due: %w", err)
			}
			s.dues.by(fromScore(next))
		}
		f.next = s.dues.until()
		return f, nil
	}
}

// clean forgets tasks whose records have expired, and returns how many.
func (s *serve) clean(ctx context.Context, now time.Time) (int, error) {
	args := append([]any{cleanAtOnce, score(now.Add(-sentAgainFor)), score(now.Add(-archivedFor))}, anys(s.Queues)...)
	return s.e.run(ctx, cleanScript, args...).Int()
}

// tidy looks through a part of the engine's own sets beside asynq's keys.
func (s *serve) tidy(ctx context.Context) error {
	args := append([]any{rand.IntN(1 << 30)}, anys(s.Queues)...)
	if err := s.e.run(ctx, tidyScript, args...).Err(); err != nil {
		return err
	}
	db, err := s.e.server(ctx)
	if err != nil {
		return err
	}
	for range sweeps {
		names, cursor, err := db.Scan(ctx, s.sweeping, s.e.ours+"key:*", sweepAtOnce).Result()
		if err != nil {
			return err
		}
		if len(names) > 0 {
			if err := s.e.run(ctx, sweepScript, anys(names)...).Err(); err != nil {
				return err
			}
		}
		if s.sweeping = cursor; cursor == 0 {
			break
		}
	}
	return nil
}

// Bounds of the search for keys without a holder: how many steps it takes each
// time, over how many keys of the database. Most keys are deleted when they
// become free.
const (
	sweeps      = 5
	sweepAtOnce = 1000
)
