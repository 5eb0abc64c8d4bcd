package redis_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	goredis "github.com/redis/go-redis/v9"
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

func TestEngine(t *testing.T) { suite(t, server(t), time.Second, 500, nil) }

// suite runs the engine's conformance suite on a server, with workers of the lease,
// and so many tasks where there are to be many. after, if not nil, follows each test.
func suite(t *testing.T, url string, lease time.Duration, tasks int, after func()) {
	cfg := redis.Config{Lease: lease}
	var mu sync.Mutex
	proxies := make(map[engine.Engine]*servertest.Proxy)
	ins := asynq.NewInspector(asynqOpt(t, url))
	t.Cleanup(func() { _ = ins.Close() })
	enginetest.Run(t, func(tb testing.TB) engine.Engine {
		if after != nil {
			tb.Cleanup(after)
		}
		p := servertest.NewProxy(tb, url)
		e := open(tb, p.URL, cfg)
		mu.Lock()
		defer mu.Unlock()
		proxies[e] = p
		return e
	}, enginetest.Options{
		Second: func(tb testing.TB, _ engine.Engine) engine.Engine { return open(tb, url, cfg) },
		Logged: func(tb testing.TB, l *slog.Logger) engine.Engine {
			cfg := cfg
			cfg.Logger = l
			return open(tb, url, cfg)
		},
		Pause: func(_ testing.TB, e engine.Engine) func() {
			mu.Lock()
			defer mu.Unlock()
			return proxies[e].Pause()
		},
		Remove: func(tb testing.TB, e engine.Engine, id uuid.UUID) {
			tb.Helper()
			en, err := e.Get(context.Background(), id)
			require.NoError(tb, err)
			require.NoError(tb, ins.DeleteTask(en.Message.Queue, id.String()))
		},
		Unsupported: []enginetest.Feature{enginetest.Priorities, enginetest.Order},
		Lease:       2 * lease,
		Tasks:       tasks,
	})
}
