package engines_test

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/engines"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/sqlite"
)

var (
	limitWaiting     = flag.Int("limitwaiting", 2000, "how many tasks wait in tests of limits")
	limitEngineNames = flag.String("limitengines", "memory,sqlite,postgres,redis", "their engines")
)

// limitEngines opens the engines of tests of limits.
func limitEngines() map[string]func(t *testing.T) engine.Engine {
	all := map[string]func(t *testing.T) engine.Engine{
		"memory": func(*testing.T) engine.Engine { return memory.New(memory.Config{Capacity: 10 * *limitWaiting}) },
		"sqlite": func(t *testing.T) engine.Engine {
			e, err := sqlite.Open(filepath.Join(t.TempDir(), "tasks.db"), sqlite.Config{})
			require.NoError(t, err)
			return e
		},
	}
	for _, name := range []string{"postgres", "redis"} {
		all[name] = func(t *testing.T) engine.Engine {
			e, err := engines.Open(t.Context(), engineURLs[name](t))
			require.NoError(t, err)
			return e
		}
	}
	for name := range all {
		if !slices.Contains(strings.Split(*limitEngineNames, ","), name) {
			delete(all, name)
		}
	}
	return all
}

// TestLimit_WaitingCostsOthersNothing prints how long a task without limits takes from
// its enqueue to its run, while many wait for the limit of one key, or each of two for
// a key of its own: about as long as while none waits.
//
// Proves: FEATURES 98
func TestLimit_WaitingCostsOthersNothing(t *testing.T) {
	for name, open := range limitEngines() {
		bound := 20 * time.Millisecond
		for _, keys := range []int{0, 1, *limitWaiting / 2} {
			t.Run(fmt.Sprintf("%s/%d keys", name, keys), func(t *testing.T) {
				e := open(t)
				defer func() { assert.NoError(t, e.Close()) }()
				const slots = 50
				block, ran := make(chan struct{}), make(chan struct{}, 1)
				ctx, stop := context.WithCancel(t.Context())
				served := make(chan error, 1)
				go func() {
					served <- e.Serve(ctx, &engine.Worker{
						ID: "test", Slots: slots, Queues: []string{"q"}, Names: []string{"free", "limited"}, ParkFor: time.Hour,
						Abandon: make(chan struct{}), Now: time.Now,
						Run: func(_ context.Context, d *engine.Delivery) engine.Outcome {
							if d.Message.Name == "free" {
								ran <- struct{}{}
							} else {
								<-block
							}
							return engine.Outcome{Kind: engine.OutcomeSucceed}
						},
					})
				}()
				insert := func(n int, limits func(i int) []engine.Limit, name string) {
					ms := make([]*engine.Message, n)
					for i := range ms {
						ms[i] = &engine.Message{Name: name, Queue: "q", Args: []byte("{}"), Keep: time.Hour}
						ms[i].Meta.ID = uuid.Must(uuid.NewV7())
						if limits != nil {
							ms[i].Limits = limits(i)
						}
					}
					_, err := e.Insert(ctx, ms)
					require.NoError(t, err)
				}
				if keys > 0 {
					limits := func(i int) []engine.Limit {
						k := fmt.Sprint("k", i%keys)
						return []engine.Limit{{Rule: "k", Key: k, Most: 1}, {Rule: "all", Key: "all", Most: slots / 2}} // the others have slots
					}
					for n := *limitWaiting; n > 0; n -= 1000 {
						insert(min(n, 1000), limits, "limited")
					}
				}
				free := func() time.Duration {
					began := time.Now()
					insert(1, nil, "free")
					<-ran
					return time.Since(began)
				}
				first := free()
				began := time.Now()
				const others = 200
				for range others {
					free()
				}
				each := time.Since(began) / others
				if keys == 0 && name == "postgres" { // each takes commits, whose time is the disk's
					bound += 2 * each
				}
				assert.Less(t, each, bound)
				t.Logf("a task without limits beside %d that wait: the first after %v, then %v each",
					*limitWaiting*min(keys, 1), first, each)
				close(block)
				stop()
				require.NoError(t, <-served)
			})
		}
	}
}

// TestLimit_LettingInIsFlat prints how long each task takes that is let in by the end of
// another, while few and while many wait for one key, and for a key of each five of them:
// about the same.
//
// Proves: FEATURES 98
func TestLimit_LettingInIsFlat(t *testing.T) {
	for name, open := range limitEngines() {
		for _, perKey := range []int{0, 5} {
			few, many := *limitWaiting/4, *limitWaiting
			kind := "one key"
			if perKey > 0 {
				kind = "many keys"
			}
			t.Run(name+"/"+kind, func(t *testing.T) {
				fewEach, manyEach := letInEach(t, open(t), few, perKey), letInEach(t, open(t), many, perKey)
				t.Logf("each of the tasks that are let in takes %v while %d wait, %v while %d do", fewEach, few, manyEach, many)
				assert.Less(t, manyEach, 3*fewEach+5*time.Millisecond)
			})
		}
	}
}

// letInEach enqueues tasks under limits, perKey under each key or all under one for 0, and
// returns what each of some takes.
func letInEach(t *testing.T, e engine.Engine, waiting, perKey int) time.Duration {
	defer func() { assert.NoError(t, e.Close()) }()
	for n := 0; n < waiting; {
		var ms []*engine.Message
		for ; n < waiting && len(ms) < 1000; n++ {
			l := engine.Limit{Rule: "k", Key: "k", Most: 5}
			if perKey > 0 {
				l.Key, l.Most = fmt.Sprint("k", n%(waiting/perKey)), 1
			}
			m := &engine.Message{Name: "flat", Queue: "q", Args: []byte("{}"), Keep: time.Hour, Limits: []engine.Limit{l}}
			m.Meta.ID = uuid.Must(uuid.NewV7())
			ms = append(ms, m)
		}
		_, err := e.Insert(t.Context(), ms)
		require.NoError(t, err)
	}
	ran, stopped := make(chan struct{}), make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- e.Serve(ctx, &engine.Worker{
			ID: "flat", Slots: 5, Queues: []string{"q"}, Names: []string{"flat"}, ParkFor: time.Hour,
			Abandon: make(chan struct{}), Now: time.Now,
			Run: func(context.Context, *engine.Delivery) engine.Outcome {
				select {
				case ran <- struct{}{}:
				case <-stopped:
				}
				return engine.Outcome{Kind: engine.OutcomeSucceed}
			},
		})
	}()
	const some = 300
	for range some / 3 {
		<-ran
	}
	began := time.Now()
	for range some {
		<-ran
	}
	each := time.Since(began) / some
	close(stopped)
	stop()
	require.NoError(t, <-served)
	return each
}
