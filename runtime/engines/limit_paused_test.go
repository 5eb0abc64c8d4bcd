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
				_, free := workOff(t, open(t), limits, false)
				_, paused := workOff(t, open(t), limits, true)
				t.Logf("%d tasks of %d keys take %v, and %v after a pause", *limitPaused, keys, free, paused)
				assert.Less(t, paused, 2*free+5*time.Second)
			})
		}
	}
}

// TestLimit_Cost prints what tasks with limits take beside as many without.
func TestLimit_Cost(t *testing.T) {
	for name, open := range limitEngines() {
		t.Run(name, func(t *testing.T) {
			none := func(int) []engine.Limit { return nil }
			workOff(t, open(t), none, false)
			for _, keys := range []int{1, 100, *limitPaused} {
				inserted, freed := workOff(t, open(t), none, false) // beside each: the machine may have other work
				limits := func(i int) []engine.Limit {
					return []engine.Limit{{Rule: "k", Key: fmt.Sprint("k", i%keys), Most: workOffSlots}}
				}
				in, took := workOff(t, open(t), limits, false)
				t.Logf("%d tasks of %d keys: enqueued in %v, %.2f of those without limits, worked off in %v, %.2f",
					*limitPaused, keys, in, in.Seconds()/inserted.Seconds(), took, took.Seconds()/freed.Seconds())
			}
		})
	}
}

const workOffSlots = 10

// workOff returns how long it takes to enqueue tasks, and a worker to work them off that
// begins then; or, if paused, that serves their queue when it is resumed.
func workOff(t *testing.T, e engine.Engine, limits func(i int) []engine.Limit, paused bool) (inserted, took time.Duration) {
	defer func() { assert.NoError(t, e.Close()) }()
	pause, pauser := engine.Pause{Queue: "q"}, e.(engine.Pauser)
	if paused {
		require.NoError(t, pauser.Pause(t.Context(), pause))
	}
	insert := func() {
		began := time.Now()
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
		inserted = time.Since(began)
	}
	if !paused {
		insert()
	}
	var ran atomic.Int64
	all, served := make(chan struct{}), make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	began := time.Now()
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
		began = time.Now()
		require.NoError(t, pauser.Resume(t.Context(), pause))
	}
	<-all
	took = time.Since(began)
	stop()
	require.NoError(t, <-served)
	return inserted, took
}
