package memory_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// TestList_FewOfManyOnOnePage: those that run, failed or were cancelled are found
// without a look at the tasks between them.
func TestList_FewOfManyOnOnePage(t *testing.T) {
	const many = 20_000
	e := memory.New(memory.Config{Capacity: many})
	defer func() { require.NoError(t, e.Close()) }()
	ms := make([]*engine.Message, many)
	for i := range ms {
		ms[i] = &engine.Message{Name: "few.task", Queue: "idle", Meta: engine.Meta{ID: uuid.UUID{1, 14: byte(i >> 8), 15: byte(i)}}}
	}
	runs := ms[many/2]
	runs.Queue = "busy"
	_, err := e.Insert(t.Context(), ms)
	require.NoError(t, err)
	began, end, abandon := make(chan struct{}), make(chan struct{}), make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error)
	go func() {
		served <- e.Serve(ctx, &engine.Worker{
			ID: "one", Slots: 1, Queues: []string{"busy"}, Names: []string{"few.task"}, Abandon: abandon,
			Run: func(context.Context, *engine.Delivery) engine.Outcome {
				close(began)
				<-end
				return engine.Outcome{Kind: engine.OutcomeSucceed}
			},
		})
	}()
	<-began
	require.NoError(t, e.Cancel(t.Context(), ms[3].Meta.ID, ""))
	require.NoError(t, e.Cancel(t.Context(), ms[many-3].Meta.ID, ""))
	bad := []engine.State{engine.StateFailed, engine.StateCancelled}
	all := append([]engine.State{engine.StateRunning}, bad...)
	one, mid, last := ms[3].Meta.ID, runs.Meta.ID, ms[many-3].Meta.ID
	for i, c := range []struct {
		q    engine.Query
		want []uuid.UUID
	}{
		{engine.Query{States: all}, []uuid.UUID{one, mid, last}},
		{engine.Query{States: all, Newest: true, Brief: true}, []uuid.UUID{last, mid, one}},
		{engine.Query{States: bad, Queue: "idle"}, []uuid.UUID{one, last}},
		{engine.Query{States: all[:1]}, []uuid.UUID{mid}},
		{engine.Query{States: bad[:1]}, nil},
	} {
		entries, next, err := e.List(t.Context(), c.q)
		require.NoError(t, err)
		var ids []uuid.UUID
		for _, en := range entries {
			ids = append(ids, en.ID)
		}
		assert.Equal(t, c.want, ids, fmt.Sprint(i))
		assert.Empty(t, next, "%d: one page is enough", i)
	}
	entries, next, err := e.List(t.Context(), engine.Query{States: all, Limit: 2})
	require.NoError(t, err)
	require.Len(t, entries, 2)
	entries, next, err = e.List(t.Context(), engine.Query{States: all, Limit: 2, Cursor: next})
	require.NoError(t, err)
	require.Len(t, entries, 1)
	assert.Equal(t, last, entries[0].ID)
	assert.Empty(t, next)

	// While the worker leaves, what it runs is found all the same.
	stop()
	require.Eventually(t, func() bool { ws, err := e.Workers(t.Context()); return err == nil && len(ws) == 0 }, time.Minute, time.Millisecond)
	found := 0
	for q := (engine.Query{States: all[:1]}); ; q.Cursor = next {
		entries, next, err = e.List(t.Context(), q)
		require.NoError(t, err)
		if found += len(entries); next == "" {
			break
		}
	}
	assert.Equal(t, 1, found)
	close(end)
	require.NoError(t, <-served)
}
