package redis_test

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/enginetest"
	"github.com/taskctx/taskctx/runtime/redis"
)

var quiet = slog.New(slog.DiscardHandler)

var (
	slow    = servertest.Slow
	testLog = servertest.Log
)

func open(tb testing.TB, url string, cfg redis.Config) *redis.Engine {
	tb.Helper()
	if cfg.Logger == nil {
		cfg.Logger = testLog(tb)
	}
	e, err := redis.Open(context.Background(), url, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := e.Close(); err != nil {
			tb.Error(err)
		}
	})
	return e
}

func client(url string) (*goredis.Client, error) {
	o, err := goredis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	return goredis.NewClient(o), nil
}

// server returns the URL of an empty database. Tests on databases of their own
// run at the same time; on a server that was named they share one.
func server(tb testing.TB) string {
	tb.Helper()
	url, named := servertest.Redis(tb)
	if !named {
		if t, ok := tb.(*testing.T); ok {
			t.Parallel()
		}
		return url
	}
	db, err := client(url)
	if err != nil {
		tb.Fatal(err)
	}
	if err := errors.Join(db.FlushDB(context.Background()).Err(), db.Close()); err != nil {
		tb.Fatal(err)
	}
	return url
}

var wholeCluster = flag.Bool("cluster", false, "run the whole suite on a cluster of three shards, as make cluster does")

func TestEngine(t *testing.T) { suite(t, onServer(t, server(t), ""), time.Second, 500, nil) }

// TestEngine_HashTag: all promises hold on a server where the keys have a hash tag.
func TestEngine_HashTag(t *testing.T) {
	if !*wholeCluster {
		t.Skip("run by make cluster: TestEngine_Cluster shows it on a cluster")
	}
	url := server(t)
	suite(t, onServer(t, url, "one.tag"), time.Second, 100, nil)
	db, err := client(url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	keys, err := db.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	for _, key := range keys {
		assert.Regexp(t, `^(asynq:queues|asynq:\{one\.tag\}[\s\S]*|taskctx:\{one\.tag\}:[\s\S]*)$`, key)
	}
}

// place is where the suite runs.
type place struct {
	// open opens an engine on it, and through one that can be held up.
	open    func(tb testing.TB, cfg redis.Config) *redis.Engine
	through func(tb testing.TB, cfg redis.Config) (e *redis.Engine, pause func() (resume func()))
	asynq   asynq.RedisConnOpt
	prefix  string // of queues in asynq
}

// onServer is a database, on which keys have the hash tag, if there is one.
func onServer(t *testing.T, url, tag string) place {
	t.Helper()
	p := place{asynq: asynqOpt(t, url)}
	if tag != "" {
		p.prefix = tag + "}"
	}
	p.open = func(tb testing.TB, cfg redis.Config) *redis.Engine {
		cfg.HashTag = tag
		return open(tb, url, cfg)
	}
	p.through = func(tb testing.TB, cfg redis.Config) (*redis.Engine, func() func()) {
		proxy := servertest.NewProxy(tb, url)
		cfg.HashTag = tag
		return open(tb, proxy.URL, cfg), proxy.Pause
	}
	return p
}

// suite runs the engine's conformance suite somewhere, with workers of the lease,
// and so many tasks where there are to be many. after, if not nil, follows each test.
func suite(t *testing.T, p place, lease time.Duration, tasks int, after func()) {
	cfg := redis.Config{Lease: lease}
	var mu sync.Mutex
	pauses := make(map[engine.Engine]func() func())
	ins := asynq.NewInspector(p.asynq)
	t.Cleanup(func() { _ = ins.Close() })
	enginetest.Run(t, func(tb testing.TB) engine.Engine {
		if after != nil {
			tb.Cleanup(after)
		}
		e, pause := p.through(tb, cfg)
		mu.Lock()
		defer mu.Unlock()
		pauses[e] = pause
		return e
	}, enginetest.Options{
		Second: func(tb testing.TB, _ engine.Engine) engine.Engine { return p.open(tb, cfg) },
		Logged: func(tb testing.TB, l *slog.Logger) engine.Engine {
			cfg := cfg
			cfg.Logger = l
			return p.open(tb, cfg)
		},
		Pause: func(_ testing.TB, e engine.Engine) func() {
			mu.Lock()
			pause := pauses[e]
			mu.Unlock()
			return pause()
		},
		Remove: func(tb testing.TB, e engine.Engine, id uuid.UUID) {
			tb.Helper()
			en, err := e.Get(context.Background(), id)
			require.NoError(tb, err)
			require.NoError(tb, ins.DeleteTask(p.prefix+en.Message.Queue, id.String()))
		},
		Unsupported: []enginetest.Feature{enginetest.Priorities, enginetest.Order},
		Lease:       2 * lease,
		Tasks:       tasks,
	})
}
