package postgres_test

import (
	"context"
	"flag"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/engine"
)

var pausedTasks = flag.Int("pausedtasks", 3000, "how many tasks wait in TestPause_OfANameCostsOthersNothing")

// TestPause_OfANameCostsOthersNothing: tasks of a paused name that are due first keep
// nobody waiting, and all run when they are resumed.
//
// Proves: FEATURES 100
func TestPause_OfANameCostsOthersNothing(t *testing.T) {
	b := newNeighbours(t)
	ran := make(chan string, 1)
	held := 0
	b.serve([]string{"bench.charge", "bench.held"}, func(_ context.Context, d *engine.Delivery) engine.Outcome {
		ran <- d.Message.Name
		return engine.Outcome{Kind: engine.OutcomeSucceed}
	})
	require.NoError(t, b.e.Pause(t.Context(), engine.Pause{Name: "bench.held"}))
	for n := *pausedTasks; n > 0; n -= 500 {
		ms := make([]*engine.Message, min(n, 500))
		for i := range ms {
			ms[i] = benchMessage()
			ms[i].Name = "bench.held"
		}
		_, err := b.e.Insert(t.Context(), ms)
		require.NoError(t, err)
	}
	began := time.Now()
	const others = 50
	for range others {
		_, err := b.e.InsertOne(t.Context(), benchMessage())
		require.NoError(t, err)
		select {
		case name := <-ran:
			require.Equal(t, "bench.charge", name)
		case <-time.After(time.Minute):
			t.Fatal("a task is due, and was not run")
		}
	}
	each := time.Since(began) / others
	t.Logf("a task beside %d that are paused: %v", *pausedTasks, each)
	assert.Less(t, each, time.Second)
	require.NoError(t, b.e.Resume(t.Context(), engine.Pause{Name: "bench.held"}))
	end := time.After(2 * time.Minute)
	for held < *pausedTasks {
		select {
		case <-ran:
			held++
		case <-end:
			t.Fatalf("%d of %d ran when they were resumed", held, *pausedTasks)
		}
	}
}

// TestPause_AllQueuesOfRiver: to River's clients a notification about "*" is about all
// queues, also those that are paused one by one: so it is no name of a queue here.
func TestPause_AllQueuesOfRiver(t *testing.T) {
	b := newNeighbours(t)
	all := engine.Pause{Queue: "*"}
	require.ErrorIs(t, b.e.Pause(t.Context(), all), engine.ErrUnsupported)
	require.ErrorIs(t, b.e.Resume(t.Context(), all), engine.ErrUnsupported)
	ps, err := b.e.Paused(t.Context())
	require.NoError(t, err)
	assert.NotContains(t, ps, all)
}
