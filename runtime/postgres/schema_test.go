package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/postgres"
)

// TestRetention: records go when their time is over, keys too, and each by its
// own time.
func TestRetention(t *testing.T) {
	t.Cleanup(postgres.SetCleanEvery(50 * time.Millisecond)) // after the app has stopped
	app, pool, schema := newApp(t, runtime.Config{}, postgres.Config{PollInterval: 20 * time.Millisecond})
	start(t, app)
	short, err := echoCall(`1`, runtime.WithKeep(time.Millisecond), runtime.WithKey("k", 100*time.Millisecond)).Enqueue(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	long, err := echoCall(`1`, runtime.WithKeep(time.Hour)).Enqueue(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), "INSERT INTO "+schema+".river_job (kind, args, state, finalized_at) VALUES ('foreign.job', '{}', 'completed', now() - interval '1 year')"); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, err := app.Lookup(t.Context(), short.ID())
		var keys int
		if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM "+schema+".taskctx_key").Scan(&keys); err != nil {
			t.Fatal(err)
		}
		if errors.Is(err, engine.ErrNotFound) && keys == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the record is still there (%v), or its key (%d)", err, keys)
		}
	}
	if _, err := long.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := app.Lookup(t.Context(), long.ID()); err != nil {
		t.Errorf("a record that is kept for an hour: %v", err)
	}
	var foreign int
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM "+schema+".river_job WHERE kind = 'foreign.job'").Scan(&foreign); err != nil || foreign != 1 {
		t.Errorf("a job of River's own was forgotten: %d, %v", foreign, err)
	}
}

// TestMigrations: checked, run once by many at a time, and never backwards.
func TestMigrations(t *testing.T) {
	url := servertest.Postgres(t)
	ctx := context.Background()
	cfg := postgres.Config{Schema: newSchema(t, url), Logger: quiet, Migrations: postgres.MigrationsCheck}
	if _, err := postgres.Open(ctx, url, cfg); !errors.Is(err, postgres.ErrMigrations) {
		t.Errorf("Open of a schema that is not there: %v, want ErrMigrations", err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			cfg := cfg
			cfg.Migrations = postgres.MigrationsRun
			e, err := postgres.Open(ctx, url, cfg)
			if err != nil {
				t.Error(err)
				return
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	e, err := postgres.Open(ctx, url, cfg)
	if err != nil {
		t.Fatalf("after the migration: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, "UPDATE "+cfg.Schema+".taskctx_schema SET version = 99"); err != nil {
		t.Fatal(err)
	}
	if e, err = postgres.Open(ctx, url, cfg); err != nil {
		t.Errorf("Open of a newer schema that this version can read: %v", err)
	} else if err := e.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Exec(ctx, "UPDATE "+cfg.Schema+".taskctx_schema SET readable_from = 99"); err != nil {
		t.Fatal(err)
	}
	cfg.Migrations = postgres.MigrationsRun
	if _, err := postgres.Open(ctx, url, cfg); !errors.Is(err, postgres.ErrNewerSchema) {
		t.Errorf("Open of a newer schema that it cannot read: %v, want ErrNewerSchema", err)
	}
	for _, name := range []string{"a b", "a;b", `a"b`, "ä", "0a", "a234567890123456789012345678901234567890123456789"} {
		if _, err := postgres.Open(ctx, url, postgres.Config{Schema: name, Logger: quiet}); err == nil {
			t.Errorf("the schema name %q was accepted", name)
		}
	}
}
