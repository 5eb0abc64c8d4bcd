package postgres_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/postgres"
	"github.com/taskctx/taskctx/runtime/wire"
)

// rowArgs and rowTask are what taskgen makes of func AddRow(ctx, n int) (int, error).
type rowArgs struct{ n int }

func (x *rowArgs) fields(f *wire.Fields) { f.JSON("n", &x.n) }

// rowTask is tried as often as it takes: behind a pooler attempts end with errors of prepared
// statements, one after the other while a session is another client's.
var rowTask = glue.NewTask[rowArgs, int](wire.Spec{
	Name: "test.AddRow", Func: "AddRow", Retries: 1000, Delay: time.Millisecond, Backoff: 1,
	Params: []wire.Param{{Name: "n", Sig: "int"}},
}, (*rowArgs).fields)

func addRow(n int) runtime.Call[int] {
	x := rowArgs{n}
	return rowTask.Call(x.fields, nil)
}

// execer adds rows in a transaction of either library.
type execer func(ctx context.Context, text string, args ...any) error

// beginIn makes the transaction of a task, as a provider does.
func beginIn[T any](ctx *runtime.Context, begin func(context.Context) (T, error)) (T, error) {
	key := runtime.NewKey[T]("tx", runtime.PerTask, nil)
	return key.Provide(ctx, func(context.Context) (T, func(error) error, error) {
		tx, err := begin(ctx)
		return tx, runtime.Commit(ctx, tx), err
	})
}

// TestCommit: each task adds one row, and one to a counter, exactly once, over
// either library, with the smallest pools and at each level of isolation.
func TestCommit(t *testing.T) {
	slow(t)
	t.Parallel()
	url := servertest.Postgres(t)
	for _, size := range []int32{1, 2} {
		for _, level := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable} {
			for _, library := range []string{"pgx", "database/sql"} {
				t.Run(fmt.Sprint(library, " ", level, " ", size), func(t *testing.T) {
					testCommit(t, newSchema(t, url), url, size, level, library)
				})
			}
		}
	}
}

// beginner begins the transaction of a task, by one of two libraries.
type beginner func(ctx *runtime.Context, level pgx.TxIsoLevel) (execer, error)

// newBeginner returns that of a library, over the pool.
func newBeginner(t *testing.T, pool *pgxpool.Pool, library string) beginner {
	if library == "pgx" {
		return func(ctx *runtime.Context, level pgx.TxIsoLevel) (execer, error) {
			tx, err := beginIn(ctx, func(ctx context.Context) (pgx.Tx, error) {
				return pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
			})
			return func(ctx context.Context, text string, args ...any) error {
				_, err := tx.Exec(ctx, text, args...)
				return err
			}, err
		}
	}
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { _ = db.Close() })
	levels := map[pgx.TxIsoLevel]sql.IsolationLevel{
		pgx.ReadCommitted: sql.LevelReadCommitted, pgx.RepeatableRead: sql.LevelRepeatableRead, pgx.Serializable: sql.LevelSerializable,
	}
	return func(ctx *runtime.Context, level pgx.TxIsoLevel) (execer, error) {
		tx, err := beginIn(ctx, func(ctx context.Context) (*sql.Tx, error) {
			return db.BeginTx(ctx, &sql.TxOptions{Isolation: levels[level]})
		})
		return func(ctx context.Context, text string, args ...any) error {
			_, err := tx.ExecContext(ctx, text, args...)
			return err
		}, err
	}
}

func newPool(t *testing.T, url string, size int32) *pgxpool.Pool {
	cfg, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	cfg.MaxConns = size
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func testCommit(t *testing.T, schema, url string, size int32, level pgx.TxIsoLevel, library string) {
	pool := newPool(t, url, size)
	begin := newBeginner(t, pool, library)
	ledger, counters := schema+".ledger", schema+".counter"
	app := runtime.New(open(t, url, postgres.Config{Schema: schema}), runtime.Config{Workers: 4, Logger: quiet})
	_, err := pool.Exec(t.Context(),
		fmt.Sprintf("CREATE TABLE %[1]s(n int); CREATE TABLE %[2]s(n int); INSERT INTO %[2]s VALUES (0)", ledger, counters),
		pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)
	var failures atomic.Int64
	var failed sync.Map // by number, the tasks that have failed as they are to
	glue.Register(app, rowTask, func(ctx *runtime.Context, x *rowArgs) (_ int, err error) {
		defer func() { assert.NoError(t, unexpected(err, url), "task %d", x.n) }()
		exec, err := begin(ctx, level)
		if err != nil {
			return 0, err
		}
		if err := exec(ctx, "INSERT INTO "+ledger+" VALUES ($1)", x.n); err != nil {
			return 0, err
		}
		if x.n%5 == 0 { // once, whichever attempt is the first that comes so far
			if _, again := failed.LoadOrStore(x.n, true); !again {
				failures.Add(1)
				return 0, errNotYet
			}
		}
		return x.n, exec(ctx, "UPDATE "+counters+" SET n = n + 1")
	})
	start(t, app)
	t.Cleanup(func() { assert.NoError(t, app.Stop(context.Background())) })
	const tasks = 40
	var b runtime.Batch
	var hs []*runtime.Handle[int]
	for n := range tasks {
		hs = append(hs, runtime.AddTo(&b, addRow(n)))
	}
	require.NoError(t, b.Enqueue(t.Context(), app))
	for n, h := range hs {
		v, err := h.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, n, v)
	}
	var rows, distinct, counter int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*), count(DISTINCT n), (SELECT n FROM "+counters+") FROM "+ledger).
		Scan(&rows, &distinct, &counter))
	assert.Equal(t, []int{tasks, tasks, tasks}, []int{rows, distinct, counter})
	assert.EqualValues(t, tasks/5, failures.Load())
}

// TestJoin_OfAnotherKind: a transaction of another database is refused, and can be
// used after.
func TestJoin_OfAnotherKind(t *testing.T) {
	url := servertest.Postgres(t)
	e := open(t, url, postgres.Config{Schema: newSchema(t, url)})
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "other.db"))
	require.NoError(t, err)
	defer db.Close()
	tx, err := db.Begin()
	require.NoError(t, err)
	_, err = e.Join(t.Context(), tx)
	require.ErrorIs(t, err, engine.ErrUnsupported)
	_, err = tx.Exec("CREATE TABLE t(n)")
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	defer pool.Close()
	ptx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = ptx.Rollback(context.Background()) }()
	_, err = e.Join(t.Context(), ptx)
	require.NoError(t, err)
}
