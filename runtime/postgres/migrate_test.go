package postgres_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime/postgres"
)

// TestMigrate_OldRiver brings forward the tables of each version of River,
// which is also what an engine meets while another process migrates.
func TestMigrate_OldRiver(t *testing.T) {
	url := servertest.Postgres(t)
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for version := 1; version <= 5; version++ {
		schema := newSchema(t, url)
		if _, err := pool.Exec(t.Context(), "CREATE SCHEMA "+schema); err != nil {
			t.Fatal(err)
		}
		m, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: schema, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		opts := &rivermigrate.MigrateOpts{TargetVersion: version}
		if _, err := m.Migrate(t.Context(), rivermigrate.DirectionUp, opts); err != nil {
			t.Fatal(err)
		}
		cfg := postgres.Config{Schema: schema, Logger: quiet, Migrations: postgres.MigrationsCheck}
		if _, err := postgres.Open(t.Context(), url, cfg); !errors.Is(err, postgres.ErrMigrations) {
			t.Errorf("Open of River's version %d without migrating: %v, want ErrMigrations", version, err)
		}
		cfg.Migrations = postgres.MigrationsRun
		e, err := postgres.Open(t.Context(), url, cfg)
		if err != nil {
			t.Errorf("Open of River's version %d: %v", version, err)
			continue
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}
