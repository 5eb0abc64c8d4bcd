package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/postgres"
	"github.com/taskctx/taskctx/runtime/wire"
)

// TestCommit_Lazy: a transaction that is made at the first use ends the task, over
// either library and a pool of one connection, also when many ask for it at once. A
// task that does not ask sends the pool nothing, and ends while another has its only
// connection.
//
// Proves: FEATURES 105
func TestCommit_Lazy(t *testing.T) {
	slow(t)
	url := servertest.Postgres(t)
	t.Run("pgx", func(t *testing.T) {
		proxy := servertest.NewProxy(t, url)
		pool := newPool(t, proxy.URL, 1)
		testLazy(t, url, proxy,
			func(ctx context.Context) (pgx.Tx, error) { return pool.Begin(ctx) },
			func(ctx context.Context, tx pgx.Tx, text string, n int) error {
				_, err := tx.Exec(ctx, text, n)
				return err
			})
	})
	t.Run("database/sql", func(t *testing.T) {
		proxy := servertest.NewProxy(t, url)
		db := stdlib.OpenDBFromPool(newPool(t, proxy.URL, 1))
		t.Cleanup(func() { _ = db.Close() })
		testLazy(t, url, proxy,
			func(ctx context.Context) (*sql.Tx, error) { return db.BeginTx(ctx, nil) },
			func(ctx context.Context, tx *sql.Tx, text string, n int) error {
				_, err := tx.ExecContext(ctx, text, n)
				return err
			})
	})
}

// What a task of testLazy does, by its number.
const (
	lazyNever = iota
	lazyMany  // asks in eight goroutines, and fails at first
	lazyHolds // keeps the connection until it may go on
)

func testLazy[T comparable](
	t *testing.T, url string, proxy *servertest.Proxy, begin func(context.Context) (T, error),
	exec func(ctx context.Context, tx T, text string, n int) error,
) {
	schema := newSchema(t, url)
	app := runtime.New(open(t, url, postgres.Config{Schema: schema}), runtime.Config{Workers: 2, Logger: quiet})
	direct := newPool(t, url, 1)
	_, err := direct.Exec(t.Context(), "CREATE TABLE "+schema+".ledger(n int)")
	require.NoError(t, err)
	var begun atomic.Int64
	key := runtime.NewKey[T]("tx", runtime.PerTask, nil)
	provide := func(ctx *runtime.Context) (T, error) { // what taskgen makes of a provider
		return key.Provide(ctx, func(context.Context) (T, func(error) error, error) {
			begun.Add(1)
			tx, err := begin(ctx)
			return tx, runtime.Commit(ctx, tx), err
		})
	}
	lazy := func(ctx *runtime.Context) func() (T, error) { // what taskgen makes of a field
		return func() (T, error) { return key.Lazy(ctx, provide) }
	}
	insert := "INSERT INTO " + schema + ".ledger VALUES ($1)"
	late, holds, goOn := make(chan func() (T, error), 1), make(chan struct{}), make(chan struct{})
	glue.Register(app, rowTask, func(ctx *runtime.Context, x *rowArgs) (int, error) {
		ask := lazy(ctx)
		switch x.n {
		case lazyNever:
			select {
			case late <- ask:
			default:
			}
			return x.n, nil
		case lazyMany:
			tx, err := askedByMany(ask)
			if err == nil {
				err = exec(ctx, tx, insert, x.n)
			}
			if err == nil && ctx.Metadata().Attempt == 0 {
				err = errNotYet
			}
			return x.n, err
		}
		tx, err := ask()
		if err != nil {
			return 0, err
		}
		close(holds)
		<-goOn
		return x.n, exec(ctx, tx, insert, x.n)
	})
	long := glue.NewTask[rowArgs, int](wire.Spec{
		Name: "test.Long", Func: "Long", Retries: 5, Delay: wire.NoDelay, Durable: true,
		Params: []wire.Param{{Name: "n", Sig: "int"}},
	}, (*rowArgs).fields)
	glue.Register(app, long, func(ctx *runtime.Context, x *rowArgs) (int, error) {
		if _, err := lazy(ctx)(); err == nil {
			return 0, runtime.Permanent(errors.New("a transaction outside of a step"))
		}
		return runtime.Step(ctx, "step", func(ctx *runtime.Context) (int, error) {
			tx, err := lazy(ctx)()
			if err != nil {
				return 0, err
			}
			return x.n, exec(ctx, tx, insert, x.n)
		})
	})
	start(t, app)
	t.Cleanup(func() { assert.NoError(t, app.Stop(context.Background())) })
	ends := func(c runtime.Call[int], want int64) {
		before := begun.Load()
		h, err := c.Enqueue(t.Context(), app)
		require.NoError(t, err)
		_, err = h.Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, begun.Load()-before, "transactions begun")
	}
	for range 5 {
		ends(addRow(lazyNever), 0)
	}
	assert.Zero(t, proxy.Requests(), "sent by tasks without a transaction")
	ends(addRow(lazyMany), 2)
	x := rowArgs{9}
	ends(long.Call(x.fields, nil), 1)
	holder, err := addRow(lazyHolds).Enqueue(t.Context(), app)
	require.NoError(t, err)
	<-holds
	ends(addRow(lazyNever), 0)
	close(goOn)
	_, err = holder.Wait(t.Context())
	require.NoError(t, err)
	_, err = (<-late)()
	require.ErrorIs(t, err, runtime.ErrTaskDone)
	rows, err := direct.Query(t.Context(), "SELECT n FROM "+schema+".ledger ORDER BY n")
	require.NoError(t, err)
	ns, err := pgx.CollectRows(rows, pgx.RowTo[int])
	require.NoError(t, err)
	assert.Equal(t, []int{lazyMany, lazyHolds, 9}, ns)
}

// askedByMany asks in eight goroutines at once for what must be one transaction.
func askedByMany[T comparable](ask func() (T, error)) (tx T, err error) {
	txs, errs := make([]T, 8), make([]error, 8)
	var wg sync.WaitGroup
	for i := range txs {
		wg.Go(func() { txs[i], errs[i] = ask() })
	}
	wg.Wait()
	for _, other := range txs {
		if other != txs[0] {
			return tx, runtime.Permanent(errors.New("not one transaction"))
		}
	}
	return txs[0], errors.Join(errs...)
}
