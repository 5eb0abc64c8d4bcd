package runtime_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// TestIn_Memory: there is no transaction to join, so that nothing is enqueued
// unless the engine is told that it may be at once.
//
// Proves: FEATURES 104
func TestIn_Memory(t *testing.T) {
	u := newUnit[int, runtime.Void]("test.In")
	for _, atOnce := range []bool{false, true} {
		e := memory.New(memory.Config{JoinAtOnce: atOnce})
		app := runtime.New(e, runtime.Config{Logger: discard})
		h, err := u.call(1).Enqueue(t.Context(), app.In("a transaction"))
		if atOnce {
			require.NoError(t, err)
			_, err = app.Lookup(t.Context(), h.ID())
			require.NoError(t, err)
			_, err = u.call(1).Enqueue(t.Context(), app.In(nil))
		}
		require.ErrorIs(t, err, runtime.ErrUnsupported)
		entries, _, err := e.List(t.Context(), engine.Query{})
		require.NoError(t, err)
		assert.Equal(t, atOnce, len(entries) == 1)
		require.NoError(t, e.Close())
	}
}

// TestIn_EngineWithout: an engine that knows no transactions says so.
//
// Proves: FEATURES 104
func TestIn_EngineWithout(t *testing.T) {
	e := memory.New(memory.Config{})
	defer e.Close()
	app := runtime.New(struct{ engine.Engine }{e}, runtime.Config{Logger: discard})
	var b runtime.Batch
	runtime.AddTo(&b, newUnit[int, runtime.Void]("test.In").call(1))
	require.ErrorIs(t, b.Enqueue(context.Background(), app.In("a transaction")), runtime.ErrUnsupported)
}

// unasked is an engine that cannot find out of any transaction whether it is its own.
type unasked struct{ engine.Engine }

var errUnasked = errors.New("the question has broken the transaction")

func (unasked) Join(context.Context, any) (engine.Inserter, error) { return nil, errUnasked }

// brokenTx is a transaction, in which nothing works any more.
type brokenTx struct{ ended []string }

func (b *brokenTx) Commit() error   { b.ended = append(b.ended, "commit"); return nil }
func (b *brokenTx) Rollback() error { b.ended = append(b.ended, "rollback"); return nil }

// TestCommit_UnknownTransaction: it is not committed when nobody knows whether that
// ends the task, and the error that the task fails with names the cause, also where
// the function has failed of it.
func TestCommit_UnknownTransaction(t *testing.T) {
	u := newUnit[bool, runtime.Void]("test.Unasked")
	e := memory.New(memory.Config{})
	app := runtime.New(unasked{e}, runtime.Config{Logger: discard})
	var txs []*brokenTx
	u.handle(app, func(ctx *runtime.Context, fails bool) (runtime.Void, error) {
		_, err := runtime.NewKey[*brokenTx]("tx", runtime.PerTask, nil).Provide(ctx,
			func(context.Context) (*brokenTx, func(error) error, error) {
				tx := new(brokenTx)
				txs = append(txs, tx)
				return tx, runtime.Commit(ctx, tx), nil
			})
		if err == nil && fails {
			err = errors.New("a statement failed")
		}
		return runtime.Void{}, err
	})
	require.NoError(t, app.Start(t.Context()))
	for _, fails := range []bool{false, true} {
		h, err := u.call(fails).Enqueue(t.Context(), app)
		require.NoError(t, err)
		_, err = h.Wait(t.Context())
		require.ErrorContains(t, err, errUnasked.Error())
		if fails {
			require.ErrorContains(t, err, "a statement failed")
		}
		assert.Equal(t, []string{"rollback"}, txs[len(txs)-1].ended)
	}
	require.NoError(t, app.Stop(context.Background()))
	require.NoError(t, e.Close())
}
