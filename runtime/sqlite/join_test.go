//go:build unix

package sqlite_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// TestServe_JoiningWorkerFindsItsTask: a task that comes at the very moment at which
// the worker joins that knows it, beside one that does not, is run.
func TestServe_JoiningWorkerFindsItsTask(t *testing.T) {
	e := open(t, filepath.Join(t.TempDir(), "tasks.db"))
	ran := make(chan struct{}, 1)
	serve := func(ctx context.Context, name string) error {
		return e.Serve(ctx, &engine.Worker{
			ID: uuid.NewString(), Slots: 1, Queues: []string{"default"}, Names: []string{name}, ParkFor: time.Hour,
			Abandon: make(chan struct{}), Now: time.Now, RunInline: func(_ context.Context, _ *engine.Delivery, o *engine.Outcome) {
				*o = engine.Outcome{Kind: engine.OutcomeSucceed}
				ran <- struct{}{}
			},
		})
	}
	var workers sync.WaitGroup
	start := func(name string) context.CancelFunc {
		ctx, stop := context.WithCancel(t.Context())
		workers.Go(func() {
			if err := serve(ctx, name); err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
		return stop
	}
	t.Cleanup(workers.Wait) // t.Context has ended by then
	start("join.other")
	rounds := 300
	if testing.Short() {
		rounds = 30
	}
	for n := range rounds {
		stop := start("join.task")
		if _, err := e.InsertOne(t.Context(), message("join.task")); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ran:
		case <-time.After(time.Minute):
			t.Fatalf("the task of round %d was not run", n)
		}
		stop()
	}
}
