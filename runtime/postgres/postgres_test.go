package postgres_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/enginetest"
	"github.com/taskctx/taskctx/runtime/postgres"
)

var schemas atomic.Int64

// newSchema returns the name of a schema of the test's own, dropped at its end.
func newSchema(tb testing.TB, url string) string {
	tb.Helper()
	name := fmt.Sprintf("t%d_%d", os.Getpid(), schemas.Add(1))
	tb.Cleanup(func() {
		ctx := context.Background()
		c, err := pgx.Connect(ctx, url)
		if err != nil {
			tb.Errorf("drop schema: %v", err)
			return
		}
		defer c.Close(ctx)
		if _, err := c.Exec(ctx, "DROP SCHEMA IF EXISTS "+name+" CASCADE"); err != nil {
			tb.Errorf("drop schema: %v", err)
		}
	})
	return name
}

var quiet = slog.New(slog.DiscardHandler)

var (
	slow    = servertest.Slow
	testLog = servertest.Log
)

func open(tb testing.TB, url string, cfg postgres.Config) *postgres.Engine {
	tb.Helper()
	if cfg.Logger == nil {
		cfg.Logger = testLog(tb)
	}
	e, err := postgres.Open(context.Background(), url, cfg)
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

func TestEngine(t *testing.T) {
	slow(t)
	t.Parallel()
	url := servertest.Postgres(t)
	schema := newSchema(t, url)
	cfg := postgres.Config{Schema: schema, Lease: time.Second}
	var mu sync.Mutex
	proxies := make(map[engine.Engine]*servertest.Proxy)
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: schema, Logger: quiet})
	require.NoError(t, err)
	enginetest.Run(t, func(tb testing.TB) engine.Engine {
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
		Remove: func(tb testing.TB, _ engine.Engine, id uuid.UUID) {
			tb.Helper()
			_, err := client.JobDelete(context.Background(), int64(binary.BigEndian.Uint64(id[8:])&(1<<62-1)))
			require.NoError(tb, err)
		},
		Begin: func(tb testing.TB, _ engine.Engine) enginetest.Transaction { return beginPgx(tb, pool) },
		Foreign: map[string]func(tb testing.TB) enginetest.Transaction{
			"another database":                 func(tb testing.TB) enginetest.Transaction { return beginPgx(tb, otherDatabase(tb, url)) },
			"another database of database/sql": func(tb testing.TB) enginetest.Transaction { return beginSQL(tb, otherDatabase(tb, url)) },
		},
		Lease: 2 * time.Second,
	})
}
