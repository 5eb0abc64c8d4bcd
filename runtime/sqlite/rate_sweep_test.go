//go:build unix

package sqlite_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/engine"
)

// TestRate_NothingStays: of tasks with rates of their own nothing is known soon after their
// runs count no more, however many there were.
func TestRate_NothingStays(t *testing.T) {
	t.Parallel()
	const tasks = 5000
	path := filepath.Join(t.TempDir(), "tasks.db")
	e := open(t, path)
	ended := make(chan struct{}, tasks)
	ms := make([]*engine.Message, tasks)
	for i := range ms {
		key := fmt.Sprint("rate:", i)
		ms[i] = &engine.Message{Name: "rated", Queue: "default", Args: []byte("{}"), Keep: time.Hour, Limits: []engine.Limit{{Rule: key, Key: key, Most: 1, Per: time.Millisecond}}}
		ms[i].Meta.Version, ms[i].Meta.ID, ms[i].Meta.EnqueuedAt = engine.WireRated, uuid.Must(uuid.NewV7()), time.Now().UTC()
	}
	_, err := e.Insert(t.Context(), ms)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- e.Serve(ctx, &engine.Worker{
			ID: uuid.NewString(), Slots: 50, Queues: []string{"default"}, Names: []string{"rated"}, ParkFor: time.Hour,
			Abandon: make(chan struct{}), Now: time.Now,
			Run: func(context.Context, *engine.Delivery) engine.Outcome {
				ended <- struct{}{}
				return engine.Outcome{Kind: engine.OutcomeSucceed}
			},
		})
	}()
	defer func() {
		cancel()
		assert.NoError(t, <-done)
	}()
	for range tasks {
		<-ended
	}
	require.Eventually(t, func() bool {
		return query[int](t, path, "SELECT count(*) FROM rates") == 0 && query[int](t, path, "SELECT count(*) FROM starts") == 0
	}, time.Minute, 100*time.Millisecond)
}
