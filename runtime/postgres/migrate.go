package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// ErrMigrations says that the schema lacks tables or changes that this version needs.
var ErrMigrations = errors.New("the database schema is not up to date")

// ErrNewerSchema says that the schema was changed by a later version of this package,
// which this one would not understand. Nothing was touched.
var ErrNewerSchema = errors.New("the database schema is of a newer version")

// ownVersion is the number of ownMigrations.
const ownVersion = 1

// ownMigrations create what this package adds to River's tables. {s} is the
// schema. Each brings the schema from the version before it to the next.
var ownMigrations = [ownVersion]string{`
CREATE TABLE {s}.taskctx_schema (
	version integer NOT NULL,
	mark    bytea   NOT NULL
);
INSERT INTO {s}.taskctx_schema SELECT 0, substr(uuid_send(gen_random_uuid()), 9, 8);

-- One row for each worker process, renewed while it lives. It is logged: after
-- a crash of the server every task would else look as if its worker was gone.
CREATE TABLE {s}.taskctx_worker (
	id         text        PRIMARY KEY,
	beats      bigint      NOT NULL,
	started_at timestamptz NOT NULL DEFAULT now(),
	beat_at    timestamptz NOT NULL DEFAULT now(),
	slots      integer     NOT NULL,
	queues     text[]      NOT NULL,
	names      text[]      NOT NULL
);

-- Unique keys that are held: the SHA-256 of the key, and who holds it.
CREATE TABLE {s}.taskctx_key (
	key    bytea       PRIMARY KEY,
	job_id bigint      NOT NULL,
	until  timestamptz NOT NULL
);
CREATE INDEX taskctx_key_until ON {s}.taskctx_key (until);

-- The times, in nanoseconds, for which records are kept: what retention looks for.
CREATE TABLE {s}.taskctx_keep (keep bigint PRIMARY KEY);

-- Finds the tasks that have become due without reading those that wait.
CREATE INDEX taskctx_due ON {s}.river_job (scheduled_at) WHERE state IN ('scheduled', 'retryable');
`}

// Migrate creates the schema and brings River's tables and this package's own
// in it up to date, as opening an engine does by default. Of cfg it needs
// Schema and Logger.
func Migrate(ctx context.Context, pool *pgxpool.Pool, cfg Config) error {
	cfg.Migrations = MigrationsRun
	if err := cfg.setDefaults(); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return prepare(ctx, pool, &cfg)
}

// prepare checks the schema, and migrates it if it may and must.
func prepare(ctx context.Context, pool *pgxpool.Pool, cfg *Config) error {
	river, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: cfg.Schema, Logger: cfg.Logger})
	if err != nil {
		return fmt.Errorf("prepare River's migrations: %w", err)
	}
	missing, err := outdated(ctx, pool, river, cfg.Schema)
	if err != nil || missing == "" {
		return err
	}
	if cfg.Migrations == MigrationsCheck {
		return fmt.Errorf("schema %q: %s: %w", cfg.Schema, missing, ErrMigrations)
	}
	return withLock(ctx, pool, cfg.Schema, func() error {
		missing, err := outdated(ctx, pool, river, cfg.Schema)
		if err != nil || missing == "" { // another process was first
			return err
		}
		if _, err := pool.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+quoted(cfg.Schema)); err != nil {
			return fmt.Errorf("create schema %q: %w", cfg.Schema, err)
		}
		if _, err := river.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
			return fmt.Errorf("migrate River's tables: %w", err)
		}
		return migrateOwn(ctx, pool, cfg.Schema)
	})
}

// outdated says what the schema lacks, empty if nothing.
func outdated(ctx context.Context, pool *pgxpool.Pool, river *rivermigrate.Migrator[pgx.Tx], schema string) (string, error) {
	want := 0
	for _, m := range river.AllVersions() {
		want = max(want, m.Version)
	}
	var have int
	err := pool.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM "+quoted(schema)+".river_migration WHERE line = 'main'").Scan(&have)
	switch {
	case undefined(err):
		return "River's tables are missing", nil
	case undefinedColumn(err): // an old River's, or another process migrates now
		return "River's tables are of a version before 5", nil
	case err != nil:
		return "", fmt.Errorf("read the version of River's tables: %w", err)
	case have < want:
		return fmt.Sprintf("River's tables are of version %d, want %d", have, want), nil
	}
	own, err := readOwnVersion(ctx, pool, schema)
	switch {
	case err != nil:
		return "", err
	case own > ownVersion:
		return "", fmt.Errorf("schema %q: version %d, this package knows up to %d: %w", schema, own, ownVersion, ErrNewerSchema)
	case own < ownVersion:
		return fmt.Sprintf("taskctx's own tables are of version %d, want %d", own, ownVersion), nil
	}
	return "", nil
}

// row is what can be asked for one row: a pool or a transaction.
type row interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// readOwnVersion returns 0 when there are no tables yet.
func readOwnVersion(ctx context.Context, db row, schema string) (version int, err error) {
	err = db.QueryRow(ctx, "SELECT version FROM "+quoted(schema)+".taskctx_schema").Scan(&version)
	if undefined(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the version of taskctx's tables: %w", err)
	}
	return version, nil
}

func migrateOwn(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	version, err := readOwnVersion(ctx, pool, schema)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		for ; version < ownVersion; version++ {
			if _, err := tx.Exec(ctx, strings.ReplaceAll(ownMigrations[version], "{s}", quoted(schema))); err != nil {
				return fmt.Errorf("migrate taskctx's tables to version %d: %w", version+1, err)
			}
		}
		_, err := tx.Exec(ctx, "UPDATE "+quoted(schema)+".taskctx_schema SET version = $1", version)
		return err
	})
}

// withLock runs f while no other process migrates the schema.
func withLock(ctx context.Context, pool *pgxpool.Pool, schema string, f func() error) error {
	h := fnv.New64a()
	_, _ = h.Write([]byte("taskctx " + schema)) // never fails
	conn, err := pgx.ConnectConfig(ctx, pool.Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("connect to migrate: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) // and with it ends the lock
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(h.Sum64())); err != nil {
		return fmt.Errorf("wait for other migrations: %w", err)
	}
	return f()
}

// undefined reports that a schema or table does not exist.
func undefined(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "42P01" || pg.Code == "3F000")
}

// undefinedColumn reports that a column does not exist.
func undefinedColumn(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "42703"
}

// quoted is the schema as an identifier in SQL.
func quoted(schema string) string { return pgx.Identifier{schema}.Sanitize() }
