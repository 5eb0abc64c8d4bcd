package engines_test

import (
	"context"
	"flag"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/cputime"
	"github.com/taskctx/taskctx/runtime/engine"
)

var limitPaused = flag.Int("limitpaused", 500, "how many tasks with limits wait in a paused queue")

// TestLimit_PausedQueueGoesOn prints how long tasks with limits take that were enqueued
// while their queue was paused, from the resume on: about as long as others.
//
// Proves: FEATURES 98
func TestLimit_PausedQueueGoesOn(t *testing.T) {
	for name, open := range limitEngines() {
		for kind, keys := range map[string]int{"one key": 1, "many keys": *limitPaused / 10} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				limits := func(i int) []engine.Limit {
					return []engine.Limit{{Rule: "k", Key: fmt.Sprint("k", i%keys), Most: 2}, {Rule: "all", Key: "all", Most: 20}}
				}
				free := workOff(t, open(t), limits, false).took
				paused := workOff(t, open(t), limits, true).took
				t.Logf("%d tasks of %d keys take %v, and %v after a pause", *limitPaused, keys, free, paused)
				assert.Less(t, paused, 2*free+5*time.Second)
			})
		}
	}
}

const workOffSlots = 10

// workedOff is what tasks took: on the clock, and of the processors of this process and of
// the servers that it has started.
type workedOff struct{ inserted, took, insertCPU, workCPU time.Duration }

func usedCPU() time.Duration { return cputime.Used() + cputime.Below() }

// workOff returns what it takes to enqueue tasks, and a worker to work them off that
// begins then; or, if paused, that serves their queue when it is resumed.
func workOff(t *testing.T, e engine.Engine, limits func(i int) []engine.Limit, paused bool) (w workedOff) {
	defer func() { assert.NoError(t, e.Close()) }()
	pause, pauser := engine.Pause{Queue: "q"}, e.(engine.Pauser)
	if paused {
		require.NoError(t, pauser.Pause(t.Context(), pause))
	}
	insert := func() {
		began, used := time.Now(), usedCPU()
		for n := 0; n < *limitPaused; {
			var ms []*engine.Message
			for ; n < *limitPaused && len(ms) < 1000; n++ {
				m := &engine.Message{Name: "limited", Queue: "q", Args: []byte("{}"), Keep: time.Hour, Limits: limits(n)}
				m.Meta.ID = uuid.Must(uuid.NewV7())
				ms = append(ms, m)
			}
			_, err := e.Insert(t.Context(), ms)
			require.NoError(t, err)
		}
		w.inserted, w.insertCPU = time.Since(began), usedCPU()-used
	}
	if !paused {
		insert()
	}
	var ran atomic.Int64
	all, served := make(chan struct{}), make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	began, used := time.Now(), usedCPU()
	go func() {
		served <- e.Serve(ctx, &engine.Worker{
			ID: "paused", Slots: workOffSlots, Queues: []string{"q"}, Names: []string{"limited"}, ParkFor: time.Hour,
			Abandon: make(chan struct{}), Now: time.Now,
			Run: func(context.Context, *engine.Delivery) engine.Outcome {
				if ran.Add(1) == int64(*limitPaused) {
					close(all)
				}
				return engine.Outcome{Kind: engine.OutcomeSucceed}
			},
		})
	}()
	if paused {
		insert()
		began, used = time.Now(), usedCPU()
		require.NoError(t, pauser.Resume(t.Context(), pause))
	}
	<-all
	w.took = time.Since(began)
	stop()
	require.NoError(t, <-served)
	w.workCPU = usedCPU() - used
	return w
}
