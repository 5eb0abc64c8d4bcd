package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/remote"
)

// Migrations says whether opening an engine makes the tables it needs.
type Migrations int

const (
	// MigrationsRun creates the schema and brings River's tables and this
	// package's own up to date. Processes that start at once wait for each other.
	MigrationsRun Migrations = iota
	// MigrationsCheck changes nothing, and fails with [ErrMigrations] when
	// something is missing. [Migrate] does the work, from a program with the
	// permission.
	MigrationsCheck
)

// Config sets up an engine. Its zero value works.
type Config struct {
	// Schema is the schema that holds River's tables and this package's own:
	// letters, digits and underscores, at most 46 of them. Defaults to
	// "taskctx". Name the schema of a River client to share its tables; see
	// the package's documentation before.
	Schema string
	// Migrations says whether to create and update tables. Defaults to
	// MigrationsRun.
	Migrations Migrations
	// Lease is how long a worker process may be silent before others take its
	// tasks over. A task whose worker was killed runs again after Lease and
	// about a fifth of it more. Defaults to 15 s, at least 100 ms.
	Lease time.Duration
	// PollInterval is how often a worker looks for tasks without a
	// notification: some connection poolers deliver none, and a delayed task
	// of another process is found by looking. Defaults to 1 s.
	PollInterval time.Duration
	// FetchCooldown is the least time from the end of one fetch of a worker to
	// the next. More gathers more tasks and outcomes into each, and costs
	// latency. Defaults to 1 ms; by default it also ends early when a fetch
	// was full and all of its tasks have ended.
	FetchCooldown time.Duration
	// KeepFor is how long the record of a succeeded task stays if its message
	// names no time: a task from a foreign producer. Defaults to 24 h.
	KeepFor time.Duration
	// KeepFailedFor is the same for a task that failed or was cancelled.
	// Defaults to 7 days.
	KeepFailedFor time.Duration
	// Logger gets the engine's messages: failing connections, tasks taken over
	// from lost workers. Defaults to slog.Default() at the time of opening.
	Logger *slog.Logger
}

// schemaName matches River's names of a schema.
var schemaName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// maxSchema leaves room for the longest channel of notifications.
const maxSchema = 46

func (c *Config) setDefaults() error {
	if c.Schema == "" {
		c.Schema = "taskctx"
	}
	if !schemaName.MatchString(c.Schema) || len(c.Schema) > maxSchema {
		return fmt.Errorf("Config.Schema is %q: it must be letters, digits and underscores, at most %d", c.Schema, maxSchema)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return remote.Set(
		remote.Duration{Name: "Lease", Value: &c.Lease, Least: 100 * time.Millisecond, Default: 15 * time.Second},
		remote.Duration{Name: "PollInterval", Value: &c.PollInterval, Least: time.Millisecond, Default: time.Second},
		remote.Duration{Name: "FetchCooldown", Value: &c.FetchCooldown, Least: 0, Default: time.Millisecond},
		remote.Duration{Name: "KeepFor", Value: &c.KeepFor, Least: 0, Default: 24 * time.Hour},
		remote.Duration{Name: "KeepFailedFor", Value: &c.KeepFailedFor, Least: 0, Default: 7 * 24 * time.Hour},
	)
}

// Engine stores tasks as River jobs in a PostgreSQL database, and works them
// off. All methods may be called concurrently.
type Engine struct {
	cfg   Config
	pool  *pgxpool.Pool // the engine's own
	eager bool          // FetchCooldown is the default
	ascii bool          // the database has the encoding SQL_ASCII
	// pooled says that a pooler is between: sessions are not the engine's.
	pooled bool
	sql    statements
	mark   markBytes // in the ids of this schema's tasks
	in     remote.Gatherer[*lot]
	// journals reads those of durable tasks that begin a run.
	journals remote.Together[journalRead, journal]
	watch    remote.Waiters[int64]
	// workers are the calls of Serve.
	workers remote.Workers
	serving sync.Map // the *serve of each, which Pause tells
	// rates says that there are jobs with rates, as far as this engine has seen.
	rates atomic.Bool
	// pausing says that something is paused, as far as the last answer about limits knows.
	pausing atomic.Bool

	closing context.Context // of work without a caller
	close   context.CancelFunc

	numbers numbers

	mu      sync.Mutex
	renewed time.Time // guarded by mu: when all connections were given up last
}

var (
	_ engine.Engine         = (*Engine)(nil)
	_ engine.SingleInserter = (*Engine)(nil)
	_ engine.Waiter         = (*Engine)(nil)
	_ engine.Counter        = (*Engine)(nil)
)

// Open connects to the database of url, in the form of pgxpool.ParseConfig,
// and returns an engine on it. Close ends the connections. The parameter
// "schema" of the url is [Config.Schema].
func Open(ctx context.Context, url string, cfg Config) (*Engine, error) {
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("open postgres: %w", err)
	}
	if schema, ok := pc.ConnConfig.RuntimeParams["schema"]; ok {
		delete(pc.ConnConfig.RuntimeParams, "schema") // the server knows none
		if cfg.Schema != "" && cfg.Schema != schema {
			return nil, fmt.Errorf("open postgres: the URL names the schema %q, Config.Schema is %q", schema, cfg.Schema)
		}
		cfg.Schema = schema
	}
	return open(ctx, pc, cfg)
}

// minConns lets inserts, a worker's loop, its heartbeat and its upkeep work at
// the same time.
const minConns = 8

// New returns an engine on the pool's database. The engine takes the pool's
// configuration, and connects by itself: the pool stays the caller's, with all
// its connections.
func New(ctx context.Context, pool *pgxpool.Pool, cfg Config) (*Engine, error) {
	return open(ctx, pool.Config(), cfg)
}

func open(ctx context.Context, pc *pgxpool.Config, cfg Config) (*Engine, error) {
	eager := cfg.FetchCooldown == 0
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("open postgres: %w", err)
	}
	pool, of, err := newPool(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("open postgres: %w", err)
	}
	e := &Engine{
		cfg: cfg, pool: pool, eager: eager, ascii: of.encoding == "SQL_ASCII", pooled: of.pooled, sql: newStatements(cfg.Schema),
	}
	e.numbers.refill = make(chan struct{}, 1)
	if err := e.prepare(ctx); err != nil {
		endPool(pool)
		return nil, fmt.Errorf("open postgres: %w", err)
	}
	e.closing, e.close = context.WithCancel(context.Background())
	e.in.Store, e.in.Own, e.in.Lost, e.in.IDs, e.in.Closing = e.storeOnPool, ofOneRow, wasLost, e.idsOf, e.closing
	e.journals.Ask = e.readJournals
	e.watch.Hear, e.watch.Passing, e.watch.Closing = e.askForEnded, passing, e.closing
	return e, nil
}

func (e *Engine) prepare(ctx context.Context) error {
	if err := prepare(ctx, e.pool, &e.cfg); err != nil {
		return err
	}
	var mark string
	err := e.pool.QueryRow(ctx, e.sql.readMark).Scan(&mark)
	if err == nil {
		e.mark, err = decodeMark(mark)
	}
	if err != nil {
		return fmt.Errorf("read the schema's mark: %w", err)
	}
	return nil
}

// Close implements [engine.Engine]. A Serve that still runs returns
// [engine.ErrClosed]; others take its tasks over when its lease ends.
func (e *Engine) Close() error {
	e.watch.Close(e.close)
	e.in.Close(e.close)
	e.numbers.refill <- struct{}{} // nobody reserves numbers any more
	<-e.numbers.refill
	endPool(e.pool)
	return nil
}

// endPool closes the pool. It leaves connections that do not end in time to a
// goroutine, which pgx bounds.
func endPool(pool *pgxpool.Pool) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		pool.Close()
	}()
	t := time.NewTimer(closeTimeout)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
	}
}

// closed returns ErrClosed after Close.
func (e *Engine) closed() error { return remote.Closed(e.closing) }

// failed wraps an operation's error with its name, or with ErrClosed if the
// engine is closed.
func (e *Engine) failed(doing string, err error) error { return remote.Failed(e.closing, doing, err) }
