package redis

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/remote"
)

// beatLife is how long the beat of a lost worker stays.
const beatLife = 24 * time.Hour

// Join implements [remote.Store]: it counts up the worker's beat.
func (s *serve) Join(ctx context.Context) error {
	p := s.e.db.Pipeline()
	count := p.Incr(ctx, s.e.ours+"beat:"+s.ID)
	p.Expire(ctx, s.e.ours+"beat:"+s.ID, max(beatLife, 2*s.e.cfg.Lease))
	told := s.show(ctx, p)
	var known *redis.IntCmd
	if s.e.tag == "" { // otherwise the upkeep does it
		known = p.SAdd(ctx, allQueues, anys(s.Queues)...) // for asynq's tools
	}
	for _, c := range s.Active() {
		p.ZAddXX(ctx, s.e.queueKey(c.queue, "lease"), redis.Z{Score: float64(s.leaseScore()), Member: c.id})
	}
	_, err := p.Exec(ctx)
	if known != nil && redis.HasErrorPrefix(known.Err(), "WRONGTYPE") { // nobody can use it
		err = s.e.db.Del(ctx, allQueues).Err()
	}
	if count.Err() == nil {
		err = spoilt(err)
	}
	s.told = told.Err() == nil && told.Val()
	return err
}

// Leave implements [remote.Store].
func (s *serve) Leave(ctx context.Context) error {
	p := s.e.db.Pipeline()
	p.Del(ctx, s.e.ours+"beat:"+s.ID, s.e.ours+"worker:"+s.ID)
	p.ZRem(ctx, s.e.ours+"workers", s.ID)
	_, err := p.Exec(ctx)
	return spoilt(err)
}

// leaseAhead is how far ahead asynq's own leases are set; only its tools, and
// the recoverers of its servers, use them.
const leaseAhead = 10

func (s *serve) leaseScore() int64 {
	return time.Now().Add(max(leaseAhead*s.e.cfg.Lease, time.Minute)).Unix()
}

// Running implements [remote.Store].
func (s *serve) Running(ctx context.Context) (*remote.Running[claim], error) {
	rows, err := s.e.run(ctx, runningScript, anys(s.Queues)...).Slice()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	running := &remote.Running[claim]{Mine: make(map[claim]remote.Cancel), Others: make(map[string][]claim)}
	for _, row := range rows {
		r, ok := row.([]any)
		if !ok || len(r) < 6 {
			continue
		}
		c := claim{text(r[0]), text(r[1]), text(r[3])}
		if owner := text(r[2]); owner != s.ID {
			running.Others[owner] = append(running.Others[owner], c)
			continue
		}
		n, _ := r[5].(int64)
		running.Mine[c] = remote.Cancel{Cancelled: n == 1, Reason: text(r[4])}
	}
	return running, nil
}

// Beats implements [remote.Store].
func (s *serve) Beats(ctx context.Context, others map[string][]claim) (map[string]string, error) {
	present := make(map[string]string, len(others))
	for worker := range others {
		beat, err := s.e.db.Get(ctx, s.e.ours+"beat:"+worker).Result()
		if err = spoilt(err); err != nil && !errors.Is(err, redis.Nil) {
			return nil, err
		}
		present[worker] = beat
	}
	return present, nil
}

// TakeOver implements [remote.Store]. A task that cannot be taken over does
// not keep others from it.
func (s *serve) TakeOver(ctx context.Context, worker, beat string, claims []claim) (taken int, lost bool, err error) {
	for _, c := range claims {
		n, failed := s.takeOver(ctx, worker, beat, c)
		if taken += n; failed != nil {
			err = failed
		}
		if ctx.Err() != nil {
			break
		}
	}
	if taken > 0 {
		err = nil
	}
	return taken, taken > 0, err
}

func (s *serve) takeOver(ctx context.Context, worker, beat string, c claim) (taken int, err error) {
	v, err := s.e.db.HMGet(ctx, s.e.taskKey(c.queue, c.id), "msg", "taskctx", "taskctx_started").Result()
	if err != nil {
		return 0, spoilt(err)
	}
	now, raw, of := time.Now(), []byte(text(v[0])), new(engine.Message)
	m, err := decodeTaskMessage(raw)
	if err != nil { // the next worker to take it reports that
		m = &taskMessage{raw: raw}
	} else {
		of, _ = m.message(s.e.cfg.KeepFor)
	}
	m.retried = max(m.retried, m.retried+1)
	m.errorMsg, m.lastFailedAt = remote.ErrWorkerLost, now.Unix()
	own := decodeDetails(text(v[1]))
	own.Reason, own.Again = remote.ErrWorkerLost, false
	if us, err := strconv.ParseFloat(text(v[2]), 64); err == nil {
		own.StartedAt, own.Worker = fromScore(us/1e6), worker
	}
	return s.e.run(ctx, takeOverScript, worker, beat, c.queue, c.id, c.fence, m.encode(),
		own.encode(), now.UnixNano(), now.UTC().Format(time.RFC3339Nano), s.e.archivedUntil(of, now)).Int()
}

// text returns a string of an answer, empty for nil.
func text(v any) string {
	s, _ := v.(string)
	return s
}

// anys returns strings as arguments of a script.
func anys(ss []string) []any {
	as := make([]any, len(ss))
	for i, s := range ss {
		as[i] = s
	}
	return as
}
