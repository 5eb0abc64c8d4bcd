package redis

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/taskctx/taskctx/runtime"
)

// A worker process proves that it lives by counting up in a key of its own.
// Whether it has gone silent is told by the clock of the process that watches
// it, by how long the count has stood still there: no clock on the wall, the
// server's neither, can take a task from a worker that is alive.

// beatsPerLease is how often a worker beats and looks at the others in a lease.
const beatsPerLease = 5

// sight is what a worker has seen of another.
type sight struct {
	beats string
	since time.Time // when the count was first seen
}

// beatLife is how long the count of a worker that is gone stays.
const beatLife = 24 * time.Hour

// join makes the worker's count, or beats.
func (s *serve) join(ctx context.Context) error {
	p := s.e.db.Pipeline()
	p.Incr(ctx, beatPrefix+s.w.ID)
	p.Expire(ctx, beatPrefix+s.w.ID, max(beatLife, 2*s.e.cfg.Lease))
	for _, q := range s.w.Queues {
		p.SAdd(ctx, allQueues, q) // for asynq's tools
	}
	_, err := p.Exec(ctx)
	return err
}

// leave removes the worker's count, after it has given back its tasks.
func (s *serve) leave() {
	ctx, cancel := context.WithTimeout(s.e.closing, abandonGrace)
	defer cancel()
	if err := s.e.db.Del(ctx, beatPrefix+s.w.ID).Err(); err != nil && s.e.closing.Err() == nil {
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
			if _, err := s.review(limited); err == nil && s.mayHaveMissed() {
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
	others, err := s.review(ctx)
	if err != nil {
		return err
	}
	if err := s.renew(ctx); err != nil {
		return err
	}
	now := time.Now()
	if now.Sub(*last) > s.e.cfg.Lease/2 {
		clear(seen) // this process was paused, or the server away: start anew
	}
	*last = now
	for owner := range seen {
		if _, ok := others[owner]; !ok {
			delete(seen, owner)
		}
	}
	for owner, tasks := range others {
		beats, err := s.e.db.Get(ctx, beatPrefix+owner).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		was, ok := seen[owner]
		switch {
		case !ok || was.beats != beats:
			seen[owner] = sight{beats, now}
		case now.Sub(was.since) >= s.e.cfg.Lease:
			if err := s.takeOver(ctx, owner, beats, tasks); err != nil {
				return err
			}
			delete(seen, owner)
		}
	}
	return nil
}

// leaseAhead is how far ahead asynq's own leases are set, of which only its
// tools, and the recoverers of its servers, take notice.
const leaseAhead = 10

func (s *serve) leaseScore() int64 {
	return time.Now().Add(max(leaseAhead*s.e.cfg.Lease, time.Minute)).Unix()
}

// renew sets the leases that asynq knows of further ahead.
func (s *serve) renew(ctx context.Context) error {
	s.mu.Lock()
	p := s.e.db.Pipeline()
	for d := range s.active {
		p.ZAddXX(ctx, queueKey(d.queue, "lease"), redis.Z{Score: float64(s.leaseScore()), Member: d.id})
	}
	s.mu.Unlock()
	if p.Len() == 0 {
		return nil
	}
	_, err := p.Exec(ctx)
	return err
}

// errWorkerLost is the reason of a task whose worker was lost, until it has run
// again.
const errWorkerLost = "the worker that ran the task was lost"

// takeOver makes the tasks of a worker that is gone available to others.
func (s *serve) takeOver(ctx context.Context, owner, beats string, tasks []claim) error {
	taken := 0
	for _, c := range tasks {
		v, err := s.e.db.HMGet(ctx, taskKey(c.queue, c.id), "msg", "taskctx").Result()
		if err != nil {
			return err
		}
		raw := []byte(text(v[0]))
		m, err := decodeTaskMessage(raw)
		if err != nil { // whoever takes it next says so
			m = &taskMessage{raw: raw}
		}
		now := time.Now()
		m.retried++
		m.errorMsg, m.lastFailedAt = errWorkerLost, now.Unix()
		own := decodeDetails(text(v[1]))
		own.Reason, own.Again = errWorkerLost, false
		n, err := takeOverScript.Run(ctx, s.e.db, nil, owner, beats, c.queue, c.id, c.fence, m.encode(),
			own.encode(), now.UnixNano(), score(now), now.UTC().Format(time.RFC3339Nano)).Int()
		if err != nil {
			return err
		}
		taken += n
	}
	if taken > 0 {
		s.log.LogAttrs(ctx, slog.LevelWarn, "redis: a worker is gone; its tasks run again",
			slog.String("lost", owner), slog.Int("tasks", taken), slog.String("worker", s.w.ID))
	}
	signal(s.news)
	return nil
}

// mayHaveMissed reports whether a cancelled task had no run to be told of it: it
// may just have been claimed.
func (s *serve) mayHaveMissed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unsettled
}

// review compares what this worker runs with what the server says it runs. A
// run that is no longer there has lost its lease; one that was cancelled is
// told. A task that no run here is of is perhaps an orphan: the next step, which
// knows of all that was claimed, decides. It returns what others run.
func (s *serve) review(ctx context.Context) (map[string][]claim, error) {
	s.mu.Lock()
	before := make(map[*delivery]struct{}, len(s.active))
	for d := range s.active {
		before[d] = struct{}{}
	}
	s.mu.Unlock()
	rows, err := runningScript.Run(ctx, s.e.db, nil, anys(s.w.Queues)...).Slice()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	others := make(map[string][]claim)
	running := make(map[claim]*string) // the reason of those that were cancelled
	for _, row := range rows {
		r, ok := row.([]any)
		if !ok || len(r) < 6 {
			continue
		}
		c := claim{text(r[0]), text(r[1]), text(r[3])}
		if owner := text(r[2]); owner != s.w.ID {
			others[owner] = append(others[owner], c)
			continue
		}
		running[c] = nil
		if n, _ := r[5].(int64); n == 1 {
			running[c] = new(text(r[4]))
		}
	}
	s.compare(before, running)
	return others, nil
}

func (s *serve) compare(before map[*delivery]struct{}, running map[claim]*string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for d := range s.active {
		reason, ok := running[d.claim]
		_, old := before[d]
		switch {
		case ok && reason != nil:
			d.Stop(runtime.CancelCause(*reason))
		case !ok && old:
			d.Stop(runtime.ErrLeaseLost)
		}
	}
	known := s.known(s.outcomes)
	s.orphans, s.unsettled = nil, false
	for c, reason := range running {
		if _, ok := known[c]; !ok {
			s.orphans = append(s.orphans, c)
			s.unsettled = s.unsettled || reason != nil
		}
	}
	if len(s.orphans) > 0 {
		signal(s.ready)
	}
}

// known are the tasks that run here, and those of the outcomes. It is called
// with the lock held.
func (s *serve) known(outcomes []*outcome) map[claim]struct{} {
	known := make(map[claim]struct{}, len(s.active)+len(outcomes))
	for d := range s.active {
		known[d.claim] = struct{}{}
	}
	for _, o := range outcomes {
		known[o.d.claim] = struct{}{}
	}
	return known
}

// text is a string of an answer, empty for nil.
func text(v any) string {
	s, _ := v.(string)
	return s
}

// anys are strings as arguments of a script.
func anys(ss []string) []any {
	as := make([]any, len(ss))
	for i, s := range ss {
		as[i] = s
	}
	return as
}
