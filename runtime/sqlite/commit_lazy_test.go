//go:build unix

package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/wire"
)

// TestCommit_Step: what a step writes in its transaction, and what is remembered of
// the step, are there together, and once over all runs.
//
// Proves: FEATURES 103
func TestCommit_Step(t *testing.T) {
	l := newLedger(t, runtime.Config{Workers: 1}, nil)
	task := glue.NewTask[addArgs, int](wire.Spec{
		Name: "ledger.Steps", Func: "Steps", Retries: 5, Delay: wire.NoDelay, Durable: true,
		Params: []wire.Param{{Name: "a", Sig: "int"}, {Name: "b", Sig: "int"}},
	}, (*addArgs).fields)
	tries := map[int]int{}
	together := map[int]bool{}
	glue.Register(l.app, task, func(ctx *runtime.Context, x *addArgs) (int, error) {
		sum := 0
		for n := range 4 {
			v, err := runtime.Step(ctx, fmt.Sprint("step/", n), func(c *runtime.Context) (int, error) {
				tries[n]++
				if err := after(c, func(err error) error {
					if err == nil {
						es, jerr := ctx.App().Journal(context.Background(), ctx.Metadata().TaskID)
						together[n] = jerr == nil && len(es) == n+1 && l.rows()[n] == 1
						if n == 2 {
							return errors.New("of a later cleanup")
						}
					}
					return nil
				}); err != nil {
					return 0, err
				}
				tx, err := l.begin(c, l.db)
				if err != nil {
					return 0, err
				}
				if _, err := tx.Exec("INSERT INTO ledger VALUES (?, 1)", n); err != nil {
					return 0, err
				}
				if n == 1 && tries[n] == 1 {
					return 0, errors.New("not yet")
				}
				return n, nil
			})
			if err != nil {
				return 0, err
			}
			if sum += v; n == 0 && ctx.Metadata().Attempt == 0 {
				return 0, errors.New("after the first step")
			}
		}
		return sum, nil
	})
	l.start()
	h, err := add(task, 1, 1).Enqueue(t.Context(), l.app)
	require.NoError(t, err)
	sum, err := h.Wait(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 6, sum)
	assert.Equal(t, map[int]int{0: 1, 1: 1, 2: 1, 3: 1}, l.rows())
	assert.Equal(t, map[int]int{0: 1, 1: 2, 2: 1, 3: 1}, tries)
	assert.Equal(t, map[int]bool{0: true, 1: true, 2: true, 3: true}, together)
	assert.Contains(t, l.logs.String(), "of a later cleanup")
}

// TestCommit_Lazy: a transaction that is made at the first use ends the task as one
// that was there from the beginning, also when many ask for it at once; a task that
// does not ask has none, and a step that does has its own.
//
// Proves: FEATURES 105
func TestCommit_Lazy(t *testing.T) {
	l := newLedger(t, runtime.Config{Workers: 1}, nil)
	var begun atomic.Int64
	key := runtime.NewKey[*sql.Tx]("tx", runtime.PerTask, nil)
	provide := func(ctx *runtime.Context) (*sql.Tx, error) { // what taskgen makes of beginTx
		return key.Provide(ctx, func(context.Context) (*sql.Tx, func(error) error, error) {
			begun.Add(1)
			tx, err := l.db.BeginTx(ctx, nil)
			return tx, runtime.Commit(ctx, tx), err
		})
	}
	lazy := func(ctx *runtime.Context) func() (*sql.Tx, error) { // what it makes of a field
		return func() (*sql.Tx, error) { return key.Lazy(ctx, provide) }
	}
	insert := func(tx *sql.Tx, n int) error {
		_, err := tx.Exec("INSERT INTO ledger VALUES (?, 1)", n)
		return err
	}
	late := make(chan func() (*sql.Tx, error), 1)
	glue.Register(l.app, l.task, func(ctx *runtime.Context, x *addArgs) (int, error) {
		begin := lazy(ctx)
		if x.b == 0 {
			late <- begin
			return 0, nil
		}
		txs := make([]*sql.Tx, x.b)
		var wg sync.WaitGroup
		for i := range txs {
			wg.Go(func() { txs[i], _ = begin() })
		}
		wg.Wait()
		for _, tx := range txs {
			if tx == nil || tx != txs[0] {
				return 0, runtime.Permanent(errors.New("not one transaction"))
			}
		}
		if err := insert(txs[0], x.a); err != nil {
			return 0, err
		}
		if ctx.Metadata().Attempt == 0 {
			return 0, errors.New("not yet")
		}
		return x.a, nil
	})
	long := glue.NewTask[addArgs, int](wire.Spec{
		Name: "ledger.Long", Func: "Long", Retries: 5, Delay: wire.NoDelay, Durable: true,
		Params: []wire.Param{{Name: "a", Sig: "int"}, {Name: "b", Sig: "int"}},
	}, (*addArgs).fields)
	glue.Register(l.app, long, func(ctx *runtime.Context, x *addArgs) (int, error) {
		if _, err := lazy(ctx)(); err == nil || begun.Load() != 0 {
			return 0, runtime.Permanent(errors.New("a transaction outside of a step"))
		}
		return runtime.Step(ctx, "step", func(ctx *runtime.Context) (int, error) {
			tx, err := lazy(ctx)()
			if err != nil {
				return 0, err
			}
			return x.a, insert(tx, x.a)
		})
	})
	l.start()
	for _, c := range []struct{ task, a, b, begun int }{{0, 1, 0, 0}, {0, 2, 1, 2}, {0, 3, 8, 2}, {1, 4, 0, 1}} {
		begun.Store(0)
		task := []*glue.Task[addArgs, int]{l.task, long}[c.task]
		h, err := add(task, c.a, c.b).Enqueue(t.Context(), l.app)
		require.NoError(t, err)
		_, err = h.Wait(t.Context())
		require.NoError(t, err, c)
		assert.EqualValues(t, c.begun, begun.Load(), c)
	}
	assert.Equal(t, map[int]int{2: 1, 3: 1, 4: 1}, l.rows())
	_, err := (<-late)()
	require.ErrorIs(t, err, runtime.ErrTaskDone)
	assert.NotContains(t, l.logs.String(), "not on the database of its engine")
}
