package runtime_test

import (
	"context"
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
