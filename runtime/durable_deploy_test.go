package runtime_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// release is one version of a durable task's code on a shared engine.
type release struct {
	t     *testing.T
	store engine.Engine
	task  unitTask[int, []string]
	mu    sync.Mutex
	steps map[string]int // runs of steps, by version and name
}

func newRelease(t *testing.T) *release {
	return &release{
		t: t, store: memory.New(memory.Config{}), task: newUnit[int, []string]("press.Publish", durably, retries(2)),
		steps: make(map[string]int),
	}
}

// deploy starts a version, and returns its app and how to take it back.
func (r *release) deploy(version string, fn func(ctx *runtime.Context, step func(name string) error) error) (*runtime.App, func()) {
	app := runtime.New(r.store, runtime.Config{Workers: 2, Logger: discard, ParkFor: time.Hour, Keep: 1000 * time.Hour})
	r.task.handle(app, func(ctx *runtime.Context, _ int) (said []string, err error) {
		err = fn(ctx, func(name string) error {
			v, err := runtime.Step(ctx, name, func(context.Context) (string, error) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.steps[version+" "+name]++
				return version, nil
			})
			said = append(said, name+" by "+v)
			return err
		})
		return said, err
	})
	require.NoError(r.t, app.Start(context.Background()))
	return app, func() { require.NoError(r.t, app.Stop(context.Background())) }
}

// inOrder runs steps, and then something else.
func inOrder(step func(string) error, names []string, then func() error) error {
	for _, name := range names {
		if err := step(name); err != nil {
			return err
		}
	}
	return then()
}

// Proves: FEATURES 87, 90
func TestDeploy_InTheMiddleAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRelease(t)
		first := func(ctx *runtime.Context, step func(string) error) error {
			return inOrder(step, []string{"keep", "old"}, func() error {
				if _, err := approved.Await(ctx, 0); err != nil {
					return err
				}
				return step("last")
			})
		}
		second := func(ctx *runtime.Context, step func(string) error) error {
			return inOrder(step, []string{"keep", "new", "added"}, func() error {
				if _, err := approved.Await(ctx, 0); err != nil {
					return err
				}
				if err := runtime.Rest(ctx, "rest", time.Hour); err != nil {
					return err
				}
				return step("last")
			})
		}
		app, back := r.deploy("v1", first)
		moved := enqueue(t, app, r.task.call(0))
		stayed := enqueue(t, app, r.task.call(0))
		reaches(t, app, moved.ID(), engine.StateWaiting)
		reaches(t, app, stayed.ID(), engine.StateWaiting)
		back()
		require.NoError(t, approved.Send(t.Context(), app, moved.ID(), "yes"))
		require.NoError(t, approved.Send(t.Context(), app, stayed.ID(), "yes"))

		app, back = r.deploy("v2", second)
		time.Sleep(time.Minute)
		rec := reaches(t, app, stayed.ID(), engine.StateWaiting)
		assert.Contains(t, rec.Reason, "rest rest")
		time.Sleep(2 * time.Hour)
		said, err := runtime.HandleOf[[]string](app, moved.ID()).Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []string{"keep by v1", "new by v2", "added by v2", "last by v2"}, said)
		_, err = runtime.HandleOf[[]string](app, stayed.ID()).Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, map[string]int{"v1 keep": 2, "v1 old": 2, "v2 new": 2, "v2 added": 2, "v2 last": 2}, r.steps)
		back()

		app, back = r.deploy("v2", second) // and the first version takes over what the second one has begun
		h := enqueue(t, app, r.task.call(0))
		require.NoError(t, approved.Send(t.Context(), app, h.ID(), "yes"))
		time.Sleep(time.Minute)
		reaches(t, app, h.ID(), engine.StateWaiting)
		back()
		app, back = r.deploy("v1", first)
		time.Sleep(2 * time.Hour)
		said, err = runtime.HandleOf[[]string](app, h.ID()).Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []string{"keep by v2", "old by v1", "last by v1"}, said)
		back()
		require.NoError(t, r.store.Close())
	})
}

// Proves: FEATURES 90
func TestDeploy_ThatChangesATypeIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRelease(t)
		first := func(ctx *runtime.Context, step func(string) error) error {
			return inOrder(step, []string{"one"}, func() error {
				_, err := approved.Await(ctx, 0)
				if err == nil {
					_, err = approved.Await(ctx, 0)
				}
				return err
			})
		}
		retyped := func(ctx *runtime.Context, _ func(string) error) error {
			_, err := runtime.Step(ctx, "one", func(context.Context) (int, error) { return 1, nil })
			return err
		}
		app, back := r.deploy("v1", first)
		h := enqueue(t, app, r.task.call(0))
		for _, last := range []bool{false, true} { // a wait of days between two parkings
			reaches(t, app, h.ID(), engine.StateWaiting)
			back()
			require.NoError(t, approved.Send(t.Context(), app, h.ID(), "yes"))
			app, back = r.deploy("v2", retyped)
			time.Sleep(50 * time.Minute)
			rec := reaches(t, app, h.ID(), engine.StateRetrying)
			assert.Contains(t, rec.Reason, "it was recorded as string, here it is int")
			back()
			app, back = r.deploy("v1", first)
			time.Sleep(100 * time.Hour)
			if last {
				_, err := runtime.HandleOf[[]string](app, h.ID()).Wait(t.Context())
				require.NoError(t, err)
			}
		}
		h = enqueue(t, app, r.task.call(0))
		reaches(t, app, h.ID(), engine.StateWaiting)
		back()
		require.NoError(t, approved.Send(t.Context(), app, h.ID(), "yes"))
		app, back = r.deploy("v2", retyped)
		time.Sleep(2 * time.Hour)
		rec := reaches(t, app, h.ID(), engine.StateFailed) // nobody took it back within ParkFor
		assert.Contains(t, rec.Reason, "the way out is another name")
		back()
		require.NoError(t, r.store.Close())
	})
}
