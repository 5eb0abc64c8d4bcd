package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/engine"
)

// TestReplace_InTransaction: a message that is enqueued in a transaction of the
// caller's replaces the one that waits when that commits, and not if it rolls back.
func TestReplace_InTransaction(t *testing.T) {
	b := newNeighbours(t)
	message := func(args string) *engine.Message {
		m := benchMessage()
		m.Args, m.Due = []byte(args), time.Now().Add(time.Hour)
		m.Key, m.KeyHold, m.Replace = "k", engine.HoldWaiting, true
		return m
	}
	first, err := b.e.InsertOne(t.Context(), message(`{"n":1}`))
	require.NoError(t, err)
	stored := func() string {
		en, err := b.e.Get(t.Context(), first.ID)
		require.NoError(t, err)
		return string(en.Message.Args)
	}
	for _, commit := range []bool{false, true} {
		tx, err := b.pool.Begin(t.Context())
		require.NoError(t, err)
		in, err := b.e.Join(t.Context(), tx)
		require.NoError(t, err)
		ins, err := in.Insert(t.Context(), []*engine.Message{message(`{"n":2}`)})
		require.NoError(t, err)
		assert.Equal(t, engine.Inserted{ID: first.ID, Existing: true}, ins[0])
		assert.JSONEq(t, `{"n":1}`, stored())
		if !commit {
			require.NoError(t, tx.Rollback(t.Context()))
			assert.JSONEq(t, `{"n":1}`, stored())
			continue
		}
		require.NoError(t, tx.Commit(t.Context()))
		assert.JSONEq(t, `{"n":2}`, stored())
	}
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	in, err := b.e.Join(t.Context(), tx)
	require.NoError(t, err)
	limited := message(`{"n":3}`)
	limited.Limits = []engine.Limit{{Rule: "r", Key: "k", Most: 1}}
	_, err = in.Insert(t.Context(), []*engine.Message{limited})
	require.ErrorIs(t, err, engine.ErrUnsupported)
	require.NoError(t, tx.Rollback(t.Context()))
}
