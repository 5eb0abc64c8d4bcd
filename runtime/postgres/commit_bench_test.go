package postgres_test

import (
	"context"
	"database/sql"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/postgres"
)

// statements counts what is asked of a server.
type statements struct{ atomic.Int64 }

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	s.Add(1)
	return ctx
}

func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (s *statements) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (s *statements) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) { s.Add(1) }

func (s *statements) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// BenchmarkCommit is a task that adds a row in its transaction: with its end in
// it, and apart, over either library. It reports the statements and the round trips
// of a task, those of the engine included.
func BenchmarkCommit(b *testing.B) {
	url := servertest.Postgres(b)
	proxy, asked := servertest.NewProxy(b, url), new(statements)
	cfg, err := pgxpool.ParseConfig(proxy.URL)
	require.NoError(b, err)
	cfg.ConnConfig.Tracer = asked
	pool, err := pgxpool.NewWithConfig(b.Context(), cfg)
	require.NoError(b, err)
	defer pool.Close()
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	key, sqlKey := runtime.NewKey[pgx.Tx]("tx", runtime.PerTask, nil), runtime.NewKey[*sql.Tx]("tx", runtime.PerTask, nil)
	onPgx := func(commit func(ctx context.Context, tx pgx.Tx) func(error) error) func(*runtime.Context, string, int) error {
		return func(ctx *runtime.Context, insert string, n int) error {
			tx, err := key.Provide(ctx, func(context.Context) (pgx.Tx, func(error) error, error) {
				tx, err := pool.Begin(ctx)
				return tx, commit(ctx, tx), err
			})
			if err == nil {
				_, err = tx.Exec(ctx, insert, n)
			}
			return err
		}
	}
	onSQL := func(commit func(ctx context.Context, tx *sql.Tx) func(error) error) func(*runtime.Context, string, int) error {
		return func(ctx *runtime.Context, insert string, n int) error {
			tx, err := sqlKey.Provide(ctx, func(context.Context) (*sql.Tx, func(error) error, error) {
				tx, err := db.BeginTx(ctx, nil)
				return tx, commit(ctx, tx), err
			})
			if err == nil {
				_, err = tx.ExecContext(ctx, insert, n)
			}
			return err
		}
	}
	for _, bench := range []struct {
		name string
		run  func(*runtime.Context, string, int) error
	}{
		{"pgx/joined", onPgx(func(ctx context.Context, tx pgx.Tx) func(error) error { return runtime.Commit(ctx, tx) })},
		{"pgx/apart", onPgx(func(ctx context.Context, tx pgx.Tx) func(error) error {
			return func(err error) error {
				if err != nil {
					return tx.Rollback(ctx)
				}
				return tx.Commit(ctx)
			}
		})},
		{"sql/joined", onSQL(func(ctx context.Context, tx *sql.Tx) func(error) error { return runtime.Commit(ctx, tx) })},
		{"sql/apart", onSQL(func(_ context.Context, tx *sql.Tx) func(error) error {
			return func(err error) error {
				if err != nil {
					return tx.Rollback()
				}
				return tx.Commit()
			}
		})},
	} {
		b.Run(bench.name, func(b *testing.B) {
			schema := newSchema(b, url)
			e, err := postgres.New(b.Context(), pool, postgres.Config{Schema: schema, Logger: quiet})
			require.NoError(b, err)
			defer e.Close()
			app := runtime.New(e, runtime.Config{Workers: 8, Logger: quiet})
			_, err = pool.Exec(b.Context(), "CREATE TABLE "+schema+".ledger(n int)")
			require.NoError(b, err)
			glue.Register(app, rowTask, func(ctx *runtime.Context, x *rowArgs) (int, error) {
				return x.n, bench.run(ctx, "INSERT INTO "+schema+".ledger VALUES ($1)", x.n)
			})
			var batch runtime.Batch
			var hs []*runtime.Handle[int]
			for n := range b.N {
				hs = append(hs, runtime.AddTo(&batch, addRow(n)))
			}
			require.NoError(b, batch.Enqueue(b.Context(), app))
			trips, before := proxy.Requests(), asked.Load()
			b.ResetTimer()
			require.NoError(b, app.Start(b.Context()))
			for _, h := range hs {
				_, err := h.Wait(b.Context())
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
			b.ReportMetric(float64(asked.Load()-before)/float64(b.N), "statements/task")
			b.ReportMetric(float64(proxy.Requests()-trips)/float64(b.N), "trips/task")
			require.NoError(b, app.Stop(context.Background()))
		})
	}
}
