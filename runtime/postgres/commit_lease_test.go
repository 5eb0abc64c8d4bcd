package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/postgres"
)

// TestCommit_LostLease: what a worker wrote that stood still in the middle of its
// transaction is gone, whether the run that has its task by then goes on or has ended.
//
// Proves: RELIABILITY 37
//
// Proves: FEATURES 102
func TestCommit_LostLease(t *testing.T) {
	slow(t)
	t.Parallel()
	url := servertest.Postgres(t)
	for _, library := range []string{"pgx", "database/sql"} {
		for _, level := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.Serializable} {
			for _, ended := range []bool{false, true} {
				t.Run(fmt.Sprint(library, " ", level, " ended ", ended), func(t *testing.T) {
					testLostLease(t, url, library, level, ended)
				})
			}
		}
	}
}

// standing is one of two workers of one task, each with an engine of its own.
type standing struct {
	app    *runtime.App
	wrote  chan int // attempts, when they have written their row
	goOn   chan struct{}
	goesOn func()
	after  chan error // of its cleanups
}

func newStanding(t *testing.T, e *postgres.Engine, begin beginner, level pgx.TxIsoLevel, table, writes string) *standing {
	s := &standing{
		app:   runtime.New(e, runtime.Config{Workers: 1, Logger: slog.New(slog.DiscardHandler)}),
		wrote: make(chan int, 4), goOn: make(chan struct{}), after: make(chan error, 4),
	}
	glue.Register(s.app, rowTask, func(ctx *runtime.Context, x *rowArgs) (int, error) {
		_, err := runtime.NewKey[int]("before", runtime.PerTask, nil).Provide(ctx,
			func(context.Context) (int, func(error) error, error) {
				return 0, func(err error) error { s.after <- err; return nil }, nil
			})
		if err != nil {
			return 0, err
		}
		patient := ctx.With(context.WithoutCancel(ctx)) // as a function that does not look at its context
		exec, err := begin(patient, level)
		if err != nil {
			return 0, err
		}
		if err := exec(patient, "INSERT INTO "+table+" VALUES ($1, $2)", x.n, writes); err != nil {
			return 0, err
		}
		s.wrote <- ctx.Metadata().Attempt
		<-s.goOn
		return len(writes), nil
	})
	start(t, s.app)
	s.goesOn = sync.OnceFunc(func() { close(s.goOn) })
	t.Cleanup(func() {
		s.goesOn()
		assert.NoError(t, s.app.Stop(context.Background()))
	})
	return s
}

// next receives within a time that is far too long.
func next[T any](t *testing.T, c chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(time.Minute):
		require.Fail(t, "nothing comes")
	}
	return v
}

func testLostLease(t *testing.T, url, library string, level pgx.TxIsoLevel, ended bool) {
	schema := newSchema(t, url)
	proxy := servertest.NewProxy(t, url)
	cfg := postgres.Config{Schema: schema, Lease: 600 * time.Millisecond, Logger: quiet}
	pool := newPool(t, url, 2)
	begin, table := newBeginner(t, pool, library), schema+".ledger"
	slowEngine := open(t, proxy.URL, cfg)
	_, err := pool.Exec(t.Context(), "CREATE TABLE "+table+"(n int, by text)")
	require.NoError(t, err)
	late := newStanding(t, slowEngine, begin, level, table, "late")
	h, err := addRow(7).Enqueue(t.Context(), late.app)
	require.NoError(t, err)
	assert.Equal(t, 0, next(t, late.wrote))
	resume := sync.OnceFunc(proxy.Pause())
	t.Cleanup(resume)
	owner := newStanding(t, open(t, url, cfg), begin, level, table, "of the owner")
	assert.Equal(t, 1, next(t, owner.wrote))
	if ended {
		owner.goesOn()
		require.NoError(t, next(t, owner.after))
	}
	late.goesOn()
	err = next(t, late.after)
	require.Error(t, err)
	if level == pgx.ReadCommitted {
		require.ErrorIs(t, err, engine.ErrLeaseLost)
	} else { // the row has changed since the transaction began
		require.ErrorContains(t, err, "40001")
	}
	resume()
	if !ended {
		owner.goesOn()
		require.NoError(t, next(t, owner.after))
	}
	v, err := runtime.HandleOf[int](owner.app, h.ID()).Wait(t.Context())
	require.NoError(t, err)
	assert.Equal(t, len("of the owner"), v)
	rows, err := pool.Query(t.Context(), "SELECT by FROM "+table)
	require.NoError(t, err)
	by, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	assert.Equal(t, []string{"of the owner"}, by)
	r, err := owner.app.Lookup(t.Context(), h.ID())
	require.NoError(t, err)
	assert.Equal(t, engine.StateSucceeded, r.State)
	assert.Equal(t, 1, r.Attempt)
}
