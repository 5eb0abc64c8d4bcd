package engines_test

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
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

var limitWaiting = flag.Int("limitwaiting", 2000, "how many tasks wait in TestLimit_WaitingCostsOthersNothing")

// TestLimit_WaitingCostsOthersNothing prints how long a task without limits takes from
// its enqueue to its run, while many wait for the limit of one key, or each of two for
// a key of its own: about as long as while none waits.
//
// Proves: FEATURES 98
func TestLimit_WaitingCostsOthersNothing(t *testing.T) {
	open := map[string]func(t *testing.T) engine.Engine{
		"memory": func(*testing.T) engine.Engine { return memory.New(memory.Config{Capacity: 10 * *limitWaiting}) },
		"sqlite": func(t *testing.T) engine.Engine {
			e, err := sqlite.Open(filepath.Join(t.TempDir(), "tasks.db"), sqlite.Config{})
			require.NoError(t, err)
			return e
		},
		"postgres": func(t *testing.T) engine.Engine {
			e, err := engines.Open(t.Context(), engineURLs["postgres"](t))
			require.NoError(t, err)
			return e
		},
		"redis": func(t *testing.T) engine.Engine {
			e, err := engines.Open(t.Context(), engineURLs["redis"](t))
			require.NoError(t, err)
			return e
		},
	}
	for name, open := range open {
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
