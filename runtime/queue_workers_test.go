package runtime_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

// TestQueueWorkers: a queue with workers of its own takes those of no other, and no
// other takes its.
//
// Proves: FEATURES 99
func TestQueueWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{Workers: 3, QueueWorkers: map[string]int{"slow": 2, "mail": 1}})
		var c crowd
		u := newUnit[string, runtime.Void]("test.Work", func(s *wire.Spec) { s.Queue = "other" })
		u.handle(app, func(ctx *runtime.Context, _ string) (runtime.Void, error) {
			defer c.enter(ctx.Metadata().Queue)()
			return runtime.Void{}, ctx.Sleep(time.Second)
		})
		start(t, app)
		began := time.Now()
		var hs []*runtime.Handle[runtime.Void]
		for _, q := range []string{"slow", "mail", "default", "other"} {
			for range 6 {
				h, err := u.call("x", runtime.WithQueue(q)).Enqueue(t.Context(), app)
				require.NoError(t, err)
				hs = append(hs, h)
			}
		}
		for _, h := range hs {
			_, err := h.Wait(t.Context())
			require.NoError(t, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		assert.Equal(t, 2, c.most["slow"])
		assert.Equal(t, 1, c.most["mail"])
		assert.Equal(t, 6, c.peak)
		assert.Equal(t, 6*time.Second, time.Since(began), "the one worker of mail takes longest")
	})
}

// TestQueueWorkers_Stop: what all workers give back is told in one error.
func TestQueueWorkers_Stop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memory.New(memory.Config{})
		defer func() { require.NoError(t, e.Close()) }()
		app := runtime.New(e, runtime.Config{Workers: 1, QueueWorkers: map[string]int{"own": 1}, Logger: discard})
		release := make(chan struct{})
		u := newUnit[string, runtime.Void]("test.Work")
		u.handle(app, func(*runtime.Context, string) (runtime.Void, error) { <-release; return runtime.Void{}, nil })
		require.NoError(t, app.Start(t.Context()))
		for _, q := range []string{"own", "default"} {
			_, err := u.call("x", runtime.WithQueue(q)).Enqueue(t.Context(), app)
			require.NoError(t, err)
		}
		synctest.Wait()
		err := app.Stop(t.Context())
		var u2 *engine.UnfinishedError
		require.ErrorAs(t, err, &u2)
		assert.Len(t, u2.Tasks, 2)
		close(release)
	})
}

func TestQueueWorkers_Refused(t *testing.T) {
	e := memory.New(memory.Config{})
	defer func() { require.NoError(t, e.Close()) }()
	app := runtime.New(e, runtime.Config{Logger: discard, QueueWorkers: map[string]int{"": 1, "none": 0}})
	err := app.Start(t.Context())
	require.ErrorContains(t, err, "Config.QueueWorkers has a queue without a name")
	require.ErrorContains(t, err, `Config.QueueWorkers["none"] is 0: it must be positive`)
}

// TestQueueWeights: the workers take tasks by the weights of the queues, or in their
// strict order; a queue is served because it has a weight, and one with workers of its
// own takes no part.
//
// Proves: FEATURES 99
func TestQueueWeights(t *testing.T) {
	for _, strict := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			app := newUnitApp(t, runtime.Config{
				Workers: 1, QueueWorkers: map[string]int{"own": 1}, StrictQueues: strict,
				QueueWeights: map[string]int{"critical": 6, "low": 2},
			})
			var ran []string
			u := newUnit[string, runtime.Void]("test.Work", func(s *wire.Spec) { s.Queue = "own" })
			u.handle(app, func(ctx *runtime.Context, _ string) (runtime.Void, error) {
				if q := ctx.Metadata().Queue; q != "own" {
					ran = append(ran, q)
				}
				return runtime.Void{}, ctx.Sleep(time.Second)
			})
			var hs []*runtime.Handle[runtime.Void]
			for _, q := range []string{"own", "low", "critical"} {
				for range 50 {
					h, err := u.call("x", runtime.WithQueue(q)).Enqueue(t.Context(), app)
					require.NoError(t, err)
					hs = append(hs, h)
				}
			}
			start(t, app)
			for _, h := range hs {
				_, err := h.Wait(t.Context())
				require.NoError(t, err)
			}
			require.Len(t, ran, 100)
			critical := 0
			for _, q := range ran[:50] {
				if q == "critical" {
					critical++
				}
			}
			if strict {
				assert.Equal(t, 50, critical, "the first 50 are all of the queue that comes first")
			} else {
				assert.InDelta(t, 37.5, critical, 12.4, "the first 50 are by the weights")
			}
		})
	}
}

func TestQueueWeights_Refused(t *testing.T) {
	e := memory.New(memory.Config{})
	defer func() { require.NoError(t, e.Close()) }()
	err := runtime.New(e, runtime.Config{
		Logger: discard, QueueWorkers: map[string]int{"own": 1}, QueueWeights: map[string]int{"": 1, "none": 0, "own": 2},
	}).Start(t.Context())
	require.ErrorContains(t, err, "Config.QueueWeights has a queue without a name")
	require.ErrorContains(t, err, `Config.QueueWeights["none"] is 0: it must be positive`)
	require.ErrorContains(t, err, `Config.QueueWeights["own"]: the queue has workers of its own by Config.QueueWorkers`)
	err = runtime.New(e, runtime.Config{Logger: discard, StrictQueues: true}).Start(t.Context())
	require.ErrorContains(t, err, "Config.StrictQueues is set, but Config.QueueWeights is empty")
}

// pickyEngine refuses a queue.
type pickyEngine struct{ engine.Engine }

func (e pickyEngine) Check(m *engine.Message) error {
	if m.Queue == "odd" {
		return errors.New("no queue odd here")
	}
	return e.Engine.Check(m)
}

// TestQueues_RefusedByTheEngine: the error names the field of the configuration that
// has the queue.
func TestQueues_RefusedByTheEngine(t *testing.T) {
	for field, cfg := range map[string]runtime.Config{
		"Config.Queues":       {Queues: []string{"odd"}},
		"Config.QueueWorkers": {QueueWorkers: map[string]int{"odd": 1}},
		"Config.QueueWeights": {QueueWeights: map[string]int{"odd": 1}},
	} {
		e := memory.New(memory.Config{})
		cfg.Logger = discard
		err := runtime.New(pickyEngine{e}, cfg).Start(t.Context())
		require.ErrorContains(t, err, field+": no queue odd here")
		require.NoError(t, e.Close())
	}
}
