//go:build unix

package postgres_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/internal/servertest/process"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/postgres"
)

func TestMain(m *testing.M) {
	if schema := os.Getenv(envEffects); schema != "" {
		effectsMain(schema)
		return
	}
	process.Main(work)
	goleak.VerifyTestMain(m)
}

// The environment of a worker process.
const (
	envURL    = "POSTGRES_TEST_URL"
	envSchema = "POSTGRES_TEST_SCHEMA"
)

// work is a worker process.
func work(ctx context.Context, slots int) error {
	url, schema := os.Getenv(envURL), os.Getenv(envSchema)
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	e, err := postgres.Open(ctx, url, postgres.Config{Schema: schema, Lease: process.WorkerLease(), Migrations: postgres.MigrationsCheck})
	if err != nil {
		return err
	}
	app := runtime.New(e, runtime.Config{Workers: slots})
	process.Register(app, func(ctx context.Context, id string, r process.Run) error {
		_, err := pool.Exec(ctx, "INSERT INTO "+schema+".ledger VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
			id, r.N, r.Attempt, r.PID)
		return err
	})
	return errors.Join(app.Run(ctx), e.Close())
}

// crew is a schema with a ledger, and worker processes on it.
type crew struct {
	*process.Crew
	tb     testing.TB
	schema string
	pool   *pgxpool.Pool
	app    *runtime.App // enqueues only
	engine *postgres.Engine
}

func newCrew(tb testing.TB, url string) *crew {
	tb.Helper()
	c := &crew{tb: tb, schema: newSchema(tb, url)}
	var err error
	if c.pool, err = pgxpool.New(context.Background(), url); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.pool.Close)
	e := open(tb, url, postgres.Config{Schema: c.schema, Lease: process.Lease})
	c.engine = e
	c.exec("CREATE TABLE " + c.schema + ".ledger (id text PRIMARY KEY, n bigint, attempt int, pid int)")
	c.app = runtime.New(e, runtime.Config{Logger: testLog(tb)})
	c.Crew = process.NewCrew(tb, c, c.app, envURL+"="+url, envSchema+"="+c.schema)
	return c
}

func (c *crew) exec(sql string) {
	c.tb.Helper()
	if _, err := c.pool.Exec(context.Background(), sql); err != nil {
		c.tb.Fatal(err)
	}
}

func (c *crew) count(from string) (n int, err error) {
	err = c.pool.QueryRow(context.Background(), "SELECT count(*) FROM "+c.schema+"."+from).Scan(&n)
	return n, err
}

// Left implements [process.Storage].
func (c *crew) Left() (int, error) { return c.count("river_job WHERE finalized_at IS NULL") }

// Succeeded implements [process.Storage].
func (c *crew) Succeeded() (int, error) { return c.count("river_job WHERE state = 'completed'") }

// Workers implements [process.Storage].
func (c *crew) Workers() (int, error) { return c.count("taskctx_worker") }

// Runs implements [process.Storage].
func (c *crew) Runs() ([]process.Run, error) {
	rows, err := c.pool.Query(context.Background(), "SELECT n, attempt, pid FROM "+c.schema+".ledger")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[process.Run])
}

func TestServe_KilledWorkers(t *testing.T) {
	slow(t)
	t.Parallel()
	process.Killed(t, newCrew(t, servertest.Postgres(t)).Crew)
}

func TestServe_Recovery(t *testing.T) {
	slow(t)
	t.Parallel()
	process.Recovery(t, newCrew(t, servertest.Postgres(t)).Crew)
}

func TestServe_ThreeProcesses(t *testing.T) {
	slow(t)
	t.Parallel()
	process.Three(t, newCrew(t, servertest.Postgres(t)).Crew)
}

func TestServe_SuspendedWorker(t *testing.T) {
	slow(t)
	t.Parallel()
	process.Suspended(t, newCrew(t, servertest.Postgres(t)).Crew)
}

func TestServe_ServerRestart(t *testing.T) {
	slow(t)
	t.Parallel()
	server := servertest.NewPostgres(t)
	process.Restarted(t, newCrew(t, server.URL).Crew, server)
}

// Proves: FEATURES 95
func TestLimit_KilledWorkers(t *testing.T) {
	slow(t)
	t.Parallel()
	c := newCrew(t, servertest.Postgres(t))
	process.Limited(t, c.Crew, c.engine)
}

// Proves: FEATURES 96
func TestRate_Processes(t *testing.T) {
	slow(t)
	t.Parallel()
	process.Rated(t, newCrew(t, servertest.Postgres(t)).Crew)
}

// Proves: FEATURES 97
func TestOrder_KilledWorkers(t *testing.T) {
	slow(t)
	t.Parallel()
	c := newCrew(t, servertest.Postgres(t))
	process.InOrder(t, c.Crew, c.engine)
}
