package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// run runs a script with the KEYS of the engine's layout.
func (e *Engine) run(ctx context.Context, s *redis.Script, args ...any) *redis.Cmd {
	return e.runOn(ctx, s, e.keys, args...)
}

func (e *Engine) runOn(ctx context.Context, s *redis.Script, keys []string, args ...any) *redis.Cmd {
	cmd := s.Run(ctx, e.db, keys, args...)
	if err := cmd.Err(); err != nil {
		cmd.SetErr(e.explained(err))
	}
	return cmd
}

// explained says what an error means that an engine without a hash tag gets on a cluster
// of several shards.
func (e *Engine) explained(err error) error {
	if e.tag != "" || !isDivided(err) {
		return err
	}
	return fmt.Errorf("the server is in a Redis Cluster that has divided its keys since, among which those of this engine are: "+
		"move all to one server again, or open the engine with Config.HashTag, under which it begins without tasks: %s", err)
}

// server returns a client of the server that has the engine's keys.
func (e *Engine) server(ctx context.Context) (redis.UniversalClient, error) {
	if cluster, ok := e.db.(*redis.ClusterClient); ok {
		return cluster.MasterForKey(ctx, e.keys[0])
	}
	return e.db, nil
}

// isDivided reports that a server of a cluster does not have all keys of a command.
func isDivided(err error) bool {
	return redis.HasErrorPrefix(err, "MOVED") || redis.HasErrorPrefix(err, "CROSSSLOT") ||
		strings.Contains(err.Error(), "non local key")
}

// What an engine with a hash tag has to do with keys outside of its slot, asynq's lists
// of queues and servers, ends after aside, and nothing depends on it.
const (
	aside = time.Second
	// listEvery is how often an engine adds a queue to asynq's list, which others may
	// have removed.
	listEvery = time.Minute
	// listedQueues is how many queues it remembers to have added.
	listedQueues = 10_000
)

// listed is when queues are to be added to asynq's list again.
type listed struct {
	mu   sync.Mutex // guards next
	next map[string]time.Time
}

// due returns those of the queues that are to be added.
func (l *listed) due(queues []string, now time.Time) (due []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, q := range queues {
		if (i == 0 || q != queues[i-1]) && !now.Before(l.next[q]) {
			due = append(due, q)
		}
	}
	return due
}

// put notes when the queues are to be added again.
func (l *listed) put(queues []string, next time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == nil || len(l.next)+len(queues) > listedQueues {
		l.next = make(map[string]time.Time)
	}
	for _, q := range queues {
		l.next[q] = next
	}
}

// enlist adds queues to asynq's list before they have tasks: with a hash tag no script
// can. Where that fails a worker of the queue does it later.
func (e *Engine) enlist(ctx context.Context, queues ...string) {
	if e.tag == "" {
		return
	}
	now := time.Now()
	due := e.listed.due(queues, now)
	if len(due) == 0 {
		return
	}
	names := make([]any, len(due))
	for i, q := range due {
		names[i] = e.inAsynq(q)
	}
	ctx, cancel := context.WithTimeout(ctx, aside)
	defer cancel()
	err := e.db.SAdd(ctx, allQueues, names...).Err()
	if redis.HasErrorPrefix(err, "WRONGTYPE") { // nobody can use it
		_ = e.db.Del(ctx, allQueues).Err()
		err = e.db.SAdd(ctx, allQueues, names...).Err()
	}
	next := now.Add(listEvery)
	if err != nil {
		next = now.Add(aside) // so that it does not hold up each task
	}
	e.listed.put(due, next)
}

// servers tells the scripts that take tasks out of a list whether there are servers of
// asynq; see waitingPrelude.
func (e *Engine) servers(ctx context.Context, now time.Time) any {
	if e.tag == "" {
		return score(now)
	}
	ctx, cancel := context.WithTimeout(ctx, aside)
	defer cancel()
	n, err := e.db.ZCount(ctx, "asynq:servers", strconv.FormatFloat(score(now), 'f', -1, 64), "+inf").Result()
	return flag(n > 0 || spoilt(err) != nil) // there may be some
}
