//go:build unix

package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/internal/servertest/beside"
	"github.com/taskctx/taskctx/runtime/postgres"
)

// BenchmarkBeside prints tables of the same work done by this engine and by
// plain River, on one server: River with its defaults, and with the fetch
// cooldown of ours.
//
//	go test ./runtime/postgres -run '^$' -bench Beside -benchtime 1x
func BenchmarkBeside(b *testing.B) {
	ours := beside.Side{Name: "taskctx", Open: func(tb testing.TB) beside.Queue {
		url := servertest.Postgres(tb)
		return beside.Engine{Engine: open(tb, url, postgres.Config{Schema: newSchema(tb, url), Logger: quiet})}
	}}
	side := func(name string, cooldown time.Duration) beside.Side {
		return beside.Side{Name: name, Open: func(tb testing.TB) beside.Queue { return newRiver(tb, cooldown) }}
	}
	river, again := side("River", river.FetchCooldownDefault), side("River again", river.FetchCooldownDefault)
	quick, quickAgain := side("River, FetchCooldown 1 ms", time.Millisecond), side("the same again", time.Millisecond)
	beside.Run(b, "River", []beside.Row{
		{Name: "enqueue, 1 caller", Callers: 1, Tasks: 1000, Sides: []beside.Side{ours, river, again}},
		{Name: "enqueue, 16 callers", Callers: 16, Tasks: 3000, Sides: []beside.Side{ours, river, again}},
		{Name: "enqueue in batches of 1,000", Batch: 1000, Tasks: 10_000, Sides: []beside.Side{ours, river, again}},
		{Name: "work off, 10 workers", Workers: 10, Tasks: 3000, Sides: []beside.Side{ours, quick, quickAgain}},
		{Name: "work off, 100 workers", Workers: 100, Tasks: 5000, Sides: []beside.Side{ours, quick, quickAgain}},
		{Name: "work off, 10 workers, defaults", Workers: 10, Tasks: 200, Sides: []beside.Side{ours, river, again}},
		{Name: "a task's wait for an idle worker", Idle: true, Sides: []beside.Side{ours, river, quick}},
	})
}

// plainRiver is River as its documentation shows it.
type plainRiver struct {
	pool     *pgxpool.Pool
	schema   string
	cooldown time.Duration
	client   *river.Client[pgx.Tx]
}

func newRiver(tb testing.TB, cooldown time.Duration) *plainRiver {
	url := servertest.Postgres(tb)
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		tb.Fatal(err)
	}
	pc.MaxConns = 8
	pool, err := pgxpool.NewWithConfig(context.Background(), pc)
	if err != nil {
		tb.Fatal(err)
	}
	r := &plainRiver{pool: pool, schema: newSchema(tb, url), cooldown: cooldown}
	tb.Cleanup(pool.Close)
	if err := postgres.Migrate(context.Background(), pool, postgres.Config{Schema: r.schema, Logger: quiet}); err != nil {
		tb.Fatal(err)
	}
	if r.client, err = river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: r.schema, Logger: quiet}); err != nil {
		tb.Fatal(err)
	}
	return r
}

// Insert implements [beside.Queue].
func (r *plainRiver) Insert(ctx context.Context, n int) error {
	if n == 1 {
		_, err := r.client.Insert(ctx, benchArgs(beside.Charge), nil)
		return err
	}
	params := make([]river.InsertManyParams, n)
	for i := range params {
		params[i].Args = benchArgs(beside.Charge)
	}
	_, err := r.client.InsertMany(ctx, params)
	return err
}

// Serve implements [beside.Queue].
func (r *plainRiver) Serve(ctx context.Context, workers int, done func()) (func() error, error) {
	ws := river.NewWorkers()
	river.AddWorker(ws, river.WorkFunc(func(context.Context, *river.Job[benchArgs]) error {
		done()
		return nil
	}))
	c, err := river.NewClient(riverpgxv5.New(r.pool), &river.Config{
		Schema: r.schema, Logger: quiet, Workers: ws, FetchCooldown: r.cooldown,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}},
	})
	if err != nil {
		return nil, err
	}
	if err := c.Start(ctx); err != nil {
		return nil, err
	}
	return func() error { return c.Stop(context.Background()) }, nil
}
