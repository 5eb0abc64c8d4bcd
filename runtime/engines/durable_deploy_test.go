package engines_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
)

var pressDeploy = newPress[string]("Deploy", true)

// deploy starts a version of the task. The second one has renamed a step, added
// one, and given another type to one of the tasks with the argument "retyped".
func deploy(t *testing.T, e engine.Engine, version string) *runtime.App {
	t.Helper()
	app := runtime.New(e, runtime.Config{Workers: 4, ParkFor: 6 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	glue.Register(app, pressDeploy.task, func(ctx *runtime.Context, a *pressArgs) (string, error) {
		var said []string
		step := func(names ...string) error {
			for _, name := range names {
				v, err := runtime.Step(ctx, name, func(context.Context) (string, error) { return version, nil })
				if err != nil {
					return err
				}
				said = append(said, name+" by "+v)
			}
			return nil
		}
		before := []string{"keep", "old", "typed"}
		if version == "v2" {
			before = []string{"keep", "new", "added"}
			if a.how == "retyped" {
				if _, err := runtime.Step(ctx, "typed", func(context.Context) (int, error) { return 2, nil }); err != nil {
					return "", err
				}
			}
		}
		if err := step(before...); err != nil {
			return "", err
		}
		if _, err := pressGo.Await(ctx, 0); err != nil {
			return "", err
		}
		err := step("last")
		return strings.Join(said, ", "), err
	})
	require.NoError(t, app.Start(context.Background()))
	return app
}

// TestDurable_Deploy: tasks of a version that wait go on in the next one, where a step
// has another name and one was added. One whose step has another type is parked, and
// goes on when the first version is back.
//
// Proves: FEATURES 90
func TestDurable_Deploy(t *testing.T) {
	onJournals(t, func(t *testing.T, e engine.Engine, _ string) {
		stop := func(app *runtime.App) { require.NoError(t, app.Stop(context.Background())) }
		first := deploy(t, e, "v1")
		hs := make(map[string]*runtime.Handle[string])
		for _, how := range []string{"plain", "retyped"} {
			h, err := pressDeploy.call(how, 0).Enqueue(t.Context(), first)
			require.NoError(t, err)
			waits(t, first, h.ID())
			hs[how] = h
		}
		stop(first)

		second := deploy(t, e, "v2")
		for _, h := range hs {
			require.NoError(t, pressGo.Send(t.Context(), second, h.ID(), "yes"))
		}
		said, err := hs["plain"].Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "keep by v1, new by v2, added by v2, last by v2", said)
		require.Eventually(t, func() bool {
			r, err := second.Lookup(t.Context(), hs["retyped"].ID())
			return err == nil && strings.Contains(r.Reason, "string") && strings.Contains(r.Reason, "int")
		}, time.Minute, time.Millisecond, "it is parked with both types as the reason")
		stop(second)

		back := deploy(t, e, "v1")
		said, err = runtime.HandleOf[string](back, hs["retyped"].ID()).Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "keep by v1, old by v1, typed by v1, last by v1", said)
		stop(back)
	})
}

var (
	pressBefore = newPress[string]("Becomes", false)
	pressGrown  = newPress[string]("Becomes", true)
	pressUnread = newPress[string]("Unread", false)
)

// TestDurable_EnqueuedBeforeItWasDurable: tasks of a producer to whom the function was
// not durable, as one that was not deployed yet, or another program: when such a parent
// fails, or is cancelled while it waits, its children are cancelled, and a retry by hand
// spawns them anew.
//
// Proves: FEATURES 90
func TestDurable_EnqueuedBeforeItWasDurable(t *testing.T) {
	onJournals(t, func(t *testing.T, e engine.Engine, _ string) {
		producer := runtime.New(e, runtime.Config{Logger: slog.New(slog.DiscardHandler)})
		failing, err := pressBefore.call("fails", 0).Enqueue(t.Context(), producer)
		require.NoError(t, err)
		waiting, err := pressBefore.call("waits", 0).Enqueue(t.Context(), producer)
		require.NoError(t, err)

		app := runtime.New(e, runtime.Config{Workers: 4, Logger: slog.New(slog.DiscardHandler)})
		fail := make(chan bool, 2)
		fail <- true
		fail <- false
		glue.Register(app, pressGrown.task, func(ctx *runtime.Context, a *pressArgs) (string, error) {
			child := runtime.Spawn(ctx, "child", pressUnread.call("", 0, runtime.WithDelay(time.Hour)))
			if _, err := runtime.Step(ctx, "spawned", func(context.Context) (int, error) { return 1, nil }); err != nil {
				return "", err
			}
			if a.how == "fails" && <-fail {
				return "", runtime.Permanent(errors.New("no"))
			}
			return child.Await(ctx)
		})
		glue.Register(app, pressUnread.task, func(*runtime.Context, *pressArgs) (string, error) { return "", nil })
		require.NoError(t, app.Start(t.Context()))
		defer func() { require.NoError(t, app.Stop(context.Background())) }()
		child := func(id uuid.UUID) (child uuid.UUID) {
			es, err := app.Journal(t.Context(), id)
			require.NoError(t, err)
			for _, e := range es {
				if e.Name == "child" {
					child = e.Child
				}
			}
			return child
		}
		becomes := func(id uuid.UUID, want engine.State) {
			require.Eventually(t, func() bool {
				r, err := app.Lookup(t.Context(), id)
				return err == nil && r.State == want
			}, time.Minute, time.Millisecond, "task %s becomes %s", id, want)
		}
		becomes(waiting.ID(), engine.StateWaiting)
		require.NoError(t, app.Cancel(t.Context(), waiting.ID(), "by hand"))
		becomes(child(waiting.ID()), engine.StateCancelled)
		becomes(failing.ID(), engine.StateFailed)
		first := child(failing.ID())
		becomes(first, engine.StateCancelled)
		require.NoError(t, app.Retry(t.Context(), failing.ID()))
		becomes(failing.ID(), engine.StateWaiting)
		assert.NotEqual(t, first, child(failing.ID()), "the child is spawned anew")
	})
}
