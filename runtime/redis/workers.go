package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.WorkerLister = (*Engine)(nil)

// about is a worker's description of itself, for operators.
type about struct {
	Host      string        `json:"host,omitempty"`
	PID       int           `json:"pid"`
	StartedAt time.Time     `json:"started_at"`
	Lease     time.Duration `json:"lease"`
	Slots     int           `json:"slots"`
	Queues    []string      `json:"queues"`
	Names     []string      `json:"names"`
}

// describe makes the worker's description of itself.
func (s *serve) describe() (err error) {
	a := about{
		PID: os.Getpid(), StartedAt: time.Now().UTC(), Lease: s.e.cfg.Lease, Slots: s.Slots, Queues: s.Queues, Names: s.Worker.Names,
	}
	a.Host, _ = os.Hostname() // for people: without a name it has none
	if s.about, err = json.Marshal(a); err != nil {
		return fmt.Errorf("describe worker %s: %w", s.ID, err)
	}
	return nil
}

// show writes, with the worker's beat, that it lives. The answer says whether
// the server still has the worker's description.
func (s *serve) show(ctx context.Context, p redis.Pipeliner) *redis.BoolCmd {
	now := time.Now()
	life := max(beatLife, 2*s.e.cfg.Lease)
	all, own := s.e.ours+"workers", s.e.ours+"worker:"+s.ID
	p.ZAdd(ctx, all, redis.Z{Score: score(now), Member: s.ID})
	p.ZRemRangeByScore(ctx, all, "-inf", strconv.FormatFloat(score(now.Add(-life)), 'f', 0, 64))
	p.Expire(ctx, all, life)
	if !s.told {
		p.Set(ctx, own, s.about, life)
	}
	return p.Expire(ctx, own, life)
}

// maxWorkers bounds the workers that are listed.
const maxWorkers = 10_000

// Workers implements [engine.WorkerLister]. It knows workers of this package, not
// asynq's, and those of earlier versions only while they run something.
func (e *Engine) Workers(ctx context.Context) ([]engine.WorkerInfo, error) {
	if err := e.closed(); err != nil {
		return nil, err
	}
	infos, err := e.workersSeen(ctx)
	if err != nil {
		return nil, e.failed("list workers", err)
	}
	running, err := e.runningBy(ctx)
	if err != nil {
		return nil, e.failed("list workers", err)
	}
	for i := range infos {
		infos[i].Running = running[infos[i].ID]
		delete(running, infos[i].ID)
	}
	for id, n := range running {
		infos = append(infos, engine.WorkerInfo{ID: id, Running: n, Queues: []string{}, Names: []string{}})
	}
	return infos, nil
}

// workersSeen are those that have shown that they live.
func (e *Engine) workersSeen(ctx context.Context) ([]engine.WorkerInfo, error) {
	seen, err := e.db.ZRevRangeWithScores(ctx, e.ours+"workers", 0, maxWorkers-1).Result()
	if err = spoilt(err); err != nil || len(seen) == 0 {
		return []engine.WorkerInfo{}, err
	}
	infos := make([]engine.WorkerInfo, 0, len(seen))
	now := time.Now()
	for chunk := range slices.Chunk(seen, readAtOnce) {
		keys := make([]string, len(chunk))
		for i, z := range chunk {
			keys[i] = e.ours + "worker:" + text(z.Member)
		}
		told, err := e.db.MGet(ctx, keys...).Result()
		if err != nil {
			return nil, err
		}
		for i, z := range chunk {
			a := about{Lease: e.cfg.Lease}
			_ = json.Unmarshal([]byte(text(told[i])), &a) // an unreadable one shows nothing
			w := engine.WorkerInfo{
				ID: text(z.Member), Host: a.Host, PID: a.PID, StartedAt: a.StartedAt, SeenAt: fromScore(z.Score), Slots: a.Slots,
				Queues: append([]string{}, a.Queues...), Names: append([]string{}, a.Names...),
			}
			w.Lost = now.Sub(w.SeenAt) > a.Lease+a.Lease/5
			infos = append(infos, w)
		}
	}
	return infos, nil
}

// runningBy is how many tasks each worker runs.
func (e *Engine) runningBy(ctx context.Context) (map[string]int, error) {
	queues, err := e.allQueues(ctx)
	if err != nil {
		return nil, err
	}
	running := make(map[string]int)
	for chunk := range slices.Chunk(queues, queuesAtOnce) {
		owners, err := e.run(ctx, ownersScript, anys(chunk)...).Slice()
		if err != nil {
			return nil, err
		}
		for _, owner := range owners {
			running[text(owner)]++
		}
	}
	return running, nil
}

// oldestOf is since when the pending task is due that has been longest: of the first in
// the list a time in ns, of the first scheduled one a score. It is zero where there is none.
func oldestOf(of []string) (oldest time.Time) {
	if len(of) < 2 {
		return oldest
	}
	if ns, err := strconv.ParseInt(of[0], 10, 64); err == nil {
		oldest = fromScore(float64(ns) / 1e9)
	}
	if at, err := strconv.ParseFloat(of[1], 64); err == nil {
		if t := fromScore(at); oldest.IsZero() || t.Before(oldest) {
			oldest = t
		}
	}
	return oldest
}
