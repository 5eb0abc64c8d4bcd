package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/remote"
)

// DefaultHashTag is the Config.HashTag of an engine on a Redis Cluster that names none.
const DefaultHashTag = "taskctx"

// Config sets up an engine. Its zero value works.
type Config struct {
	// Lease is how long a worker process may be silent before others take its
	// tasks over. A task whose worker was killed runs again after Lease and
	// about a fifth of it more. Defaults to 15 s, at least 100 ms.
	Lease time.Duration
	// PollInterval is how often a worker looks for tasks without a
	// notification: those of asynq clients. Defaults to 100 ms, at least 1 ms.
	PollInterval time.Duration
	// KeepFor is how long the record of a succeeded task stays if its message
	// names no time: a task from a foreign producer without asynq.Retention.
	// Defaults to 24 h.
	KeepFor time.Duration
	// KeepFailedFor is how long the record of a failed or cancelled task stays
	// if its message names no time: a task of a foreign producer, or of an
	// older version. Defaults to 7 days; asynq keeps none for more than 90.
	KeepFailedFor time.Duration
	// HashTag puts all keys of the engine into one slot of a Redis Cluster, and
	// apart from those of other tags: on a server that is in no cluster, too.
	// asynq's tools see the queue "mail" as "tag}mail" then. It has ASCII letters,
	// digits and ".", ":", "_", "-". Defaults to DefaultHashTag on a cluster of
	// several shards, and to none on a server. All programs of an app must have the same.
	HashTag string
	// Logger gets the engine's messages: failing connections, tasks taken over
	// from lost workers. Defaults to slog.Default() at the time of opening.
	Logger *slog.Logger
}

func (c *Config) setDefaults() error {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if err := checkTag(c.HashTag); err != nil {
		return err
	}
	return remote.Set(
		remote.Duration{Name: "Lease", Value: &c.Lease, Least: 100 * time.Millisecond, Default: 15 * time.Second},
		remote.Duration{Name: "PollInterval", Value: &c.PollInterval, Least: time.Millisecond, Default: 100 * time.Millisecond},
		remote.Duration{Name: "KeepFor", Value: &c.KeepFor, Least: 0, Default: 24 * time.Hour},
		remote.Duration{Name: "KeepFailedFor", Value: &c.KeepFailedFor, Least: 0, Default: 7 * 24 * time.Hour},
	)
}

// Engine stores tasks as asynq does in a Redis database, and works them off.
// All methods may be called concurrently.
type Engine struct {
	layout
	cfg   Config
	db    redis.UniversalClient
	owned bool   // Close closes db
	lines *lines // the connections of db; nil for a client of the caller's
	in    remote.Gatherer[*lot]
	watch remote.Waiters[string]
	// workers are the calls of Serve.
	workers remote.Workers
	queues  directory
	listed  listed

	closing context.Context // of work without a caller
	close   context.CancelFunc
}

var (
	_ engine.Engine  = (*Engine)(nil)
	_ engine.Waiter  = (*Engine)(nil)
	_ engine.Counter = (*Engine)(nil)
)

// New returns an engine on the client, which the caller closes after the
// engine. On a *redis.ClusterClient all keys are in one slot; see Config.HashTag.
// A *redis.Ring is [engine.ErrUnsupported], and so is a client of one of a cluster's
// shards, and one that reads from replicas. A
// cancelled context does not end a command that is under way: it goes on until
// the server answers or the client's ReadTimeout, 3 s by default, has passed.
// The same holds for the context's deadline, unless the client has
// ContextTimeoutEnabled.
func New(ctx context.Context, db redis.UniversalClient, cfg Config) (*Engine, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("open redis: %w", err)
	}
	tag, err := checkClient(ctx, db, cfg.HashTag)
	if err != nil {
		return nil, fmt.Errorf("open redis: %w", err)
	}
	e := &Engine{layout: newLayout(tag), cfg: cfg, db: db}
	if err := e.probe(ctx); err != nil {
		return nil, fmt.Errorf("open redis: %w", err)
	}
	e.closing, e.close = context.WithCancel(context.Background())
	e.in.Store, e.in.Own, e.in.Closing = e.store, conflict, e.closing
	e.in.Lost = func(err error) bool { return errors.As(err, new(lostAnswer)) }
	e.in.IDs = func(l *lot) []uuid.UUID { return l.ids }
	e.watch.Hear, e.watch.LookEvery, e.watch.Closing = e.hearEnds, lookEvery, e.closing
	e.watch.Passing = isUnreachable
	return e, nil
}

// closeGrace is how long Close waits for the server to answer.
const closeGrace = 2 * time.Second

// Close implements [engine.Engine]. A Serve that still runs returns
// [engine.ErrClosed]; others take its tasks over when its lease ends. Current
// requests have 2 s to end; then an engine from Open closes its connections.
func (e *Engine) Close() error {
	if e.owned {
		silent := time.AfterFunc(closeGrace, func() {
			_ = e.db.Close()
			e.lines.hangUp()
		})
		defer silent.Stop()
	}
	e.watch.Close(e.close)
	e.in.Close(e.close)
	if e.owned {
		if err := e.db.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
			return fmt.Errorf("close redis: %w", err)
		}
	}
	return nil
}

// closed returns ErrClosed after Close.
func (e *Engine) closed() error { return remote.Closed(e.closing) }

// failed wraps an operation's error with its name, or with ErrClosed if the
// engine is closed.
func (e *Engine) failed(doing string, err error) error {
	return remote.Failed(e.closing, doing, e.explained(err))
}

// Check implements [engine.Engine]. A list in Redis has no priorities, asynq's
// messages hold only valid UTF-8, and its archive keeps nothing for longer
// than 90 days.
func (e *Engine) Check(m *engine.Message) error {
	switch {
	case m.Priority != 0:
		return fmt.Errorf("priority %d: a queue in Redis has no priorities: %w", m.Priority, engine.ErrUnsupported)
	case m.Name == "" || !utf8.ValidString(m.Name):
		return fmt.Errorf("the name %q is no task type of asynq: %w", m.Name, engine.ErrUnsupported)
	case strings.TrimSpace(m.Queue) == "" || !utf8.ValidString(m.Queue):
		return fmt.Errorf("the name %q is no queue of asynq: %w", m.Queue, engine.ErrUnsupported)
	case m.KeepFailed > archivedFor:
		return fmt.Errorf("the record of a failed task kept for %s (WithKeepFailed, or Config.KeepFailed): "+
			"asynq keeps it for at most %s: %w",
			m.KeepFailed, archivedFor, engine.ErrUnsupported)
	}
	return nil
}
