package postgres

import (
	"context"
	"log/slog"
	"time"

	"github.com/taskctx/taskctx/runtime"
)

// A worker process proves that it lives by counting up in its row. Whether it
// has gone silent is told by the clock of the process that watches it, by how
// long the count has stood still there: no clock on the wall, the server's
// neither, can take a task from a worker that is alive.

// beatsPerLease is how often a worker beats and looks at the others in a lease.
const beatsPerLease = 5

// sight is what a worker has seen of another.
type sight struct {
	beats int64
	since time.Time // when the count was first seen
}

// join makes the worker's row, or beats.
func (s *serve) join(ctx context.Context) error {
	_, err := s.e.pool.Exec(ctx, s.e.sql.beat, s.owner, s.w.Slots, s.w.Queues, s.w.Names)
	return err
}

// leave removes the worker's row, after it has given back its tasks.
func (s *serve) leave() {
	ctx, cancel := context.WithTimeout(s.e.closing, abandonGrace)
	defer cancel()
	if _, err := s.e.pool.Exec(ctx, s.e.sql.leave, s.owner); err != nil && s.e.closing.Err() == nil {
		s.warn("leave the workers", err)
	}
}

// beatLoop beats, reviews what runs, and takes over from workers that are gone.
func (s *serve) beatLoop(ctx context.Context) {
	interval := s.e.cfg.Lease / beatsPerLease
	beat := time.NewTicker(interval)
	defer beat.Stop()
	again := time.NewTimer(0)
	again.Stop()
	seen := make(map[string]sight)
	var last time.Time // of the last look at the others
	for {
		limited, cancel := context.WithTimeout(ctx, max(s.e.cfg.Lease, time.Second))
		select {
		case <-beat.C:
			if err := s.beat(limited, seen, &last); err != nil && ctx.Err() == nil {
				s.warn("heartbeat", err)
			}
		case <-s.check:
			if err := s.readPaused(limited); err == nil && s.review(limited) == nil && s.mayHaveMissed() {
				again.Reset(interval / 10)
			}
		case <-again.C:
			signal(s.check)
		case <-ctx.Done():
			cancel()
			return
		}
		cancel()
	}
}

// beat is one round of the heartbeat.
func (s *serve) beat(ctx context.Context, seen map[string]sight, last *time.Time) error {
	if err := s.join(ctx); err != nil {
		return err
	}
	if err := s.review(ctx); err != nil {
		return err
	}
	if err := s.readPaused(ctx); err != nil {
		return err
	}
	now := time.Now()
	if now.Sub(*last) > s.e.cfg.Lease/2 {
		clear(seen) // this process was paused, or the server away: start anew
	}
	*last = now
	present := make(map[string]struct{})
	err := pgxDB{s.e.pool}.query(ctx, s.e.sql.others, []any{s.owner}, func(scan func(...any) error) error {
		var owner string
		var beats int64
		if err := scan(&owner, &beats); err != nil {
			return err
		}
		present[owner] = struct{}{}
		if old, ok := seen[owner]; !ok || old.beats != beats {
			seen[owner] = sight{beats, now}
		}
		return nil
	})
	if err != nil {
		return err
	}
	// Half a beat less than the lease, so that a look a moment early need not
	// wait for the next: from its last beat to here a worker has a lease, and
	// one beat more at most.
	for owner, was := range seen {
		if _, ok := present[owner]; !ok {
			delete(seen, owner)
		} else if now.Sub(was.since) >= s.e.cfg.Lease-s.e.cfg.Lease/beatsPerLease/2 {
			if err := s.takeOver(ctx, owner, was.beats); err != nil {
				return err
			}
			delete(seen, owner)
		}
	}
	return nil
}

// errWorkerLost is the reason of a task whose worker was lost, until it has run
// again.
const errWorkerLost = "the worker that ran the task was lost"

// takeOver makes the tasks of a worker that is gone available to others.
func (s *serve) takeOver(ctx context.Context, owner string, beats int64) error {
	var tasks, told, gone int
	err := s.e.pool.QueryRow(ctx, s.e.sql.takeOver, owner, beats, errWorkerLost, s.e.sql.insertChannel).Scan(&tasks, &told, &gone)
	if err != nil {
		return err
	}
	if tasks > 0 || gone > 0 {
		s.log.LogAttrs(ctx, slog.LevelWarn, "postgres: a worker is gone; its tasks run again",
			slog.String("lost", owner), slog.Int("tasks", tasks), slog.String("worker", s.w.ID))
	}
	signal(s.news)
	return nil
}

// mayHaveMissed reports whether a cancelled job had no run to be told of it: it
// may just have been claimed.
func (s *serve) mayHaveMissed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unsettled
}

// review compares what this worker runs with what the database says it runs. A
// run that is no longer there has lost its lease; one that was cancelled is
// told. A job that no run here is of is perhaps an orphan: the next step, which
// knows of all that was claimed, decides.
func (s *serve) review(ctx context.Context) error {
	s.mu.Lock()
	before := make(map[*delivery]struct{}, len(s.active))
	for d := range s.active {
		before[d] = struct{}{}
	}
	s.mu.Unlock()
	type state struct {
		cancelled bool
		reason    string
	}
	running := make(map[orphan]state)
	err := pgxDB{s.e.pool}.query(ctx, s.e.sql.mine, []any{s.owner}, func(scan func(...any) error) error {
		var o orphan
		var st state
		if err := scan(&o.job, &o.attempt, &st.cancelled, &st.reason); err != nil {
			return err
		}
		running[o] = st
		return nil
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for d := range s.active {
		o := orphan{d.job, d.attempt}
		st, ok := running[o]
		_, old := before[d]
		switch {
		case ok && st.cancelled:
			d.Stop(runtime.CancelCause(st.reason))
		case !ok && old:
			d.Stop(runtime.ErrLeaseLost)
		}
	}
	known := s.known(s.outcomes)
	s.orphans, s.unsettled = nil, false
	for o, st := range running {
		if _, ok := known[o]; !ok {
			s.orphans = append(s.orphans, o)
			s.unsettled = s.unsettled || st.cancelled
		}
	}
	if len(s.orphans) > 0 {
		signal(s.ready)
	}
	return nil
}

// known are the jobs that run here, and those of the outcomes. It is called
// with the lock held.
func (s *serve) known(outcomes []*outcome) map[orphan]struct{} {
	known := make(map[orphan]struct{}, len(s.active)+len(outcomes))
	for d := range s.active {
		known[orphan{d.job, d.attempt}] = struct{}{}
	}
	for _, o := range outcomes {
		known[orphan{o.d.job, o.d.attempt}] = struct{}{}
	}
	return known
}

// readPaused learns which queues are paused, by River's tools.
func (s *serve) readPaused(ctx context.Context) error {
	paused := make(map[string]bool)
	err := pgxDB{s.e.pool}.query(ctx, s.e.sql.paused, []any{s.w.Queues}, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		paused[name] = true
		return err
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	fewer := len(paused) < len(s.paused)
	s.paused = paused
	s.mu.Unlock()
	if fewer {
		signal(s.news)
	}
	return nil
}
