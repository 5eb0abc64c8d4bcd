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

// ErrNewerSchema says that the schema was changed by a later version of this package
// in a way that this one would not understand. Nothing was touched. Where a later
// version has only added to it, this one works.
var ErrNewerSchema = errors.New("the database schema is of a newer version")

// ownVersion is the number of ownMigrations.
const ownVersion = 13

// ownMigrations create what this package adds to River's tables. {s} is the
// schema. Each brings the schema from the version before it to the next.
//
// A migration that versions before it cannot live with sets readable_from to its
// own number. New tables, columns with defaults and indexes are none.
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
`, `
ALTER TABLE {s}.taskctx_schema ADD COLUMN readable_from integer NOT NULL DEFAULT 1;

-- engine.KeyHold. With 1 and 2 the job says whether the key is held, and until
-- is when to look whether this row is of use.
ALTER TABLE {s}.taskctx_key ADD COLUMN hold smallint NOT NULL DEFAULT 0;
CREATE INDEX taskctx_key_job ON {s}.taskctx_key (job_id);

-- Finds the records that have been kept for their time.
CREATE INDEX taskctx_expiry ON {s}.river_job ({expiry}) WHERE finalized_at IS NOT NULL;
DROP TABLE {s}.taskctx_keep;
`, `
-- What dashboards show of workers.
ALTER TABLE {s}.taskctx_worker ADD COLUMN host text NOT NULL DEFAULT '', ADD COLUMN pid integer NOT NULL DEFAULT 0;
`, `
-- The heads of journals: what has come, and what a suspended task waits for. No
-- foreign key: it would keep TRUNCATE from river_job.
CREATE TABLE {s}.taskctx_wait (
	job_id      bigint PRIMARY KEY,
	came        bigint NOT NULL DEFAULT 0, -- the greatest came of its entries
	failed      bigint NOT NULL DEFAULT 0, -- children that ended, and did not succeed
	others      bigint NOT NULL DEFAULT 0, -- entries that are no children
	bytes       bigint NOT NULL DEFAULT 0, -- of names, values, results and reasons
	wake_came   bigint,                    -- it is woken when so many have come,
	wake_failed bigint,                    -- or more than so many have failed,
	wake_name   text,                      -- or when the entry of this name has come,
	wake_at     timestamptz,               -- or at this time; null: it does not wait
	bereft      text,                      -- the state in which it ended: its children are to be cancelled,
	bereft_at   bigint NOT NULL DEFAULT 0  -- those after this entry; -1: all are
) WITH (fillfactor = 50);
CREATE INDEX taskctx_wait_at ON {s}.taskctx_wait (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX taskctx_wait_bereft ON {s}.taskctx_wait (job_id) WHERE bereft IS NOT NULL AND bereft_at >= 0;

CREATE TABLE {s}.taskctx_journal (
	seq     bigint   GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- in the order of recording
	job_id  bigint   NOT NULL,
	kind    text     NOT NULL,                                 -- s step, c child, g signal, t rest
	name    text     NOT NULL,
	key     text,                                              -- of a signal that counts once
	attempt smallint NOT NULL,
	child   bigint,
	orphan  boolean  NOT NULL DEFAULT false,
	came    bigint   NOT NULL DEFAULT 0,
	state   text,                                              -- in which the child ended
	value   text,
	result  text,
	reason  text
) WITH (fillfactor = 80);
CREATE INDEX taskctx_journal_of ON {s}.taskctx_journal (job_id, seq);
CREATE UNIQUE INDEX taskctx_journal_name ON {s}.taskctx_journal (job_id, name) WHERE kind <> 'g';
CREATE INDEX taskctx_journal_signal ON {s}.taskctx_journal (job_id, name) WHERE kind = 'g';
`, `
-- How many tasks something happened to, in each minute, hour and day. Each process that
-- counts adds to a few rows once a minute.
CREATE TABLE {s}.taskctx_history (
	step  integer     NOT NULL, -- in seconds
	at    timestamptz NOT NULL,
	queue text        NOT NULL, -- empty for all queues
	kind  text        NOT NULL,
	tasks bigint      NOT NULL,
	PRIMARY KEY (step, at, queue, kind)
) WITH (fillfactor = 70);
`, `
-- What SetLimit has set, by the hash of the rule.
CREATE TABLE {s}.taskctx_limit (
	rule_key bytea   PRIMARY KEY,
	rule     text    NOT NULL,
	most     integer NOT NULL
);

-- The keys of limits that have places, by their hashes. Whoever changes the places of
-- a key locks its row.
CREATE TABLE {s}.taskctx_limit_key (
	key      bytea PRIMARY KEY,
	rule_key bytea NOT NULL,
	rule     text  NOT NULL
);
CREATE INDEX taskctx_limit_key_rule ON {s}.taskctx_limit_key (rule_key, key);

-- The places that jobs hold under their limits, or wait for.
CREATE TABLE {s}.taskctx_place (
	job_id   bigint      NOT NULL,
	n        smallint    NOT NULL, -- of the job's limits
	key      bytea       NOT NULL,
	most     integer     NOT NULL,
	ordered  boolean     NOT NULL,
	held     boolean     NOT NULL,
	priority smallint    NOT NULL,
	due      timestamptz NOT NULL,
	turn     bigint      NOT NULL,
	PRIMARY KEY (job_id, n)
);
CREATE INDEX taskctx_place_held ON {s}.taskctx_place (key) WHERE held;
CREATE INDEX taskctx_place_wait ON {s}.taskctx_place (key, priority, due, turn) WHERE NOT held;
CREATE SEQUENCE {s}.taskctx_turn;
`, `
-- Those of the waiting tasks that were retried, put aside or suspended, so that an
-- index alone counts all others.
CREATE INDEX taskctx_marked ON {s}.river_job (state, queue) WHERE {marked};
`, `
-- Runs that began under a rate, and until when they count.
CREATE TABLE {s}.taskctx_start (
	id    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	key   bytea       NOT NULL,
	until timestamptz NOT NULL
);
CREATE INDEX taskctx_start_key ON {s}.taskctx_start (key, until);

-- per is the time of a rate in ns, 0 of a limit. At wake a rate has room for a job that
-- waits.
ALTER TABLE {s}.taskctx_limit_key ADD COLUMN per bigint NOT NULL DEFAULT 0, ADD COLUMN wake timestamptz;
CREATE INDEX taskctx_limit_key_wake ON {s}.taskctx_limit_key (wake) WHERE wake IS NOT NULL;
`, `
-- The names of tasks that are paused. Queues are, by River's mark.
CREATE TABLE {s}.taskctx_pause (
	name  text        PRIMARY KEY,
	since timestamptz NOT NULL DEFAULT now()
);
`, `
-- How far the workers have got in looking at the keys of limits, one after the other, and
-- when to begin with the first again.
CREATE TABLE {s}.taskctx_scan (
	after bytea       NOT NULL,
	due   timestamptz NOT NULL
);
INSERT INTO {s}.taskctx_scan VALUES ('', '-infinity');
`, `
-- The job's queue and name, by which what is paused is passed over.
ALTER TABLE {s}.taskctx_place ADD COLUMN queue text NOT NULL DEFAULT '', ADD COLUMN kind text NOT NULL DEFAULT '';
UPDATE {s}.taskctx_place p SET queue = j.queue, kind = j.kind FROM {s}.river_job j WHERE j.id = p.job_id;
CREATE INDEX taskctx_place_lane ON {s}.taskctx_place (key, queue, kind, priority, due, turn) WHERE NOT held;
-- hurry is set when something was resumed: all keys are looked at without a rest.
ALTER TABLE {s}.taskctx_scan ADD COLUMN hurry boolean NOT NULL DEFAULT false;
`, `
-- Limits are a text within metadata, which versions before cannot read.
UPDATE {s}.taskctx_schema SET readable_from = 12;
`, `
-- One index less for each entry, and room for a child's end on its entry's page. Children
-- are told by a text within metadata: versions before, which do not read it, park them.
CREATE UNIQUE INDEX taskctx_journal_place ON {s}.taskctx_journal (job_id, seq);
ALTER TABLE {s}.taskctx_journal DROP CONSTRAINT taskctx_journal_pkey,
	ADD PRIMARY KEY USING INDEX taskctx_journal_place, SET (fillfactor = 45);
DROP INDEX {s}.taskctx_journal_of;
`}

// Migrate creates the schema and brings River's tables and this package's own
// in it up to date, as opening an engine does by default. Of cfg it needs
// Schema and Logger.
func Migrate(ctx context.Context, pool *pgxpool.Pool, cfg Config) error {
	cfg.Migrations = MigrationsRun
	if err := cfg.setDefaults(); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	own, _, err := newPool(ctx, pool.Config())
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer endPool(own)
	return prepare(ctx, own, &cfg)
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
		if err := createSchema(ctx, pool, cfg.Schema); err != nil {
			return err
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
	own, readable, err := readOwnVersion(ctx, pool, schema)
	switch {
	case err != nil:
		return "", err
	case readable > ownVersion:
		return "", fmt.Errorf("schema %q: version %d, for this package from version %d on, this is %d: %w",
			schema, own, readable, ownVersion, ErrNewerSchema)
	case own < ownVersion:
		return fmt.Sprintf("taskctx's own tables are of version %d, want %d", own, ownVersion), nil
	}
	return "", nil
}

// row is what can be asked for one row: a pool or a transaction.
type row interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// readOwnVersion returns the version, and the first one that can live with it. It
// is 0 when there are no tables yet.
func readOwnVersion(ctx context.Context, db row, schema string) (version, readable int, err error) {
	// Schemas of version 1 lack the column.
	err = db.QueryRow(ctx, "SELECT version, coalesce((to_jsonb(s) ->> 'readable_from')::int, 1) FROM "+
		quoted(schema)+".taskctx_schema s").Scan(&version, &readable)
	if undefined(err) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read the version of taskctx's tables: %w", err)
	}
	return version, readable, nil
}

func migrateOwn(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	version, _, err := readOwnVersion(ctx, pool, schema)
	if err != nil || version >= ownVersion {
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		for ; version < ownVersion; version++ {
			if _, err := tx.Exec(ctx, inSchema(ownMigrations[version], schema)); err != nil {
				return fmt.Errorf("migrate taskctx's tables to version %d: %w", version+1, err)
			}
		}
		_, err := tx.Exec(ctx, "UPDATE "+quoted(schema)+".taskctx_schema SET version = $1", version)
		return err
	})
}

// createSchema creates the schema unless it exists: CREATE SCHEMA IF NOT EXISTS
// asks for the right to create one in any case.
func createSchema(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	var exists bool
	err := pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)", schema).Scan(&exists)
	if err == nil && !exists {
		_, err = pool.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+quoted(schema))
	}
	if err != nil {
		return fmt.Errorf("create schema %q: %w", schema, err)
	}
	return nil
}

// withLock runs f while no other process migrates the schema. The lock is a
// transaction's: one of a session would stay with a pooler's connection.
func withLock(ctx context.Context, pool *pgxpool.Pool, schema string, f func() error) error {
	h := fnv.New64a()
	_, _ = h.Write([]byte("taskctx " + schema)) // never fails
	conn, err := pgx.ConnectConfig(ctx, pool.Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("connect to migrate: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) // and with it ends the lock
	return pgx.BeginTxFunc(ctx, conn, readCommitted, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(h.Sum64())); err != nil {
			return fmt.Errorf("wait for other migrations: %w", err)
		}
		return f()
	})
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

// inSchema completes a migration.
func inSchema(text, schema string) string {
	return strings.NewReplacer("{s}", quoted(schema), "{expiry}", "("+expiry+")", "{marked}", isMarked).Replace(text)
}

// quoted is the schema as an identifier in SQL.
func quoted(schema string) string { return pgx.Identifier{schema}.Sanitize() }
