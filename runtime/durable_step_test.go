package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	goruntime "runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/local"
	"github.com/taskctx/taskctx/runtime/memory"
)

type draft struct {
	Title string            `json:"title"`
	Pages []int             `json:"pages"`
	At    time.Time         `json:"at"`
	More  map[string]*draft `json:"more,omitempty"`
}

// Proves: FEATURES 81
func TestStep_SucceedsOnceOverAllRuns(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 2})
	u := newUnit[string, draft]("press.Publish", durably, retries(3))
	var runs, steps atomic.Int64
	u.handle(app, func(ctx *runtime.Context, title string) (draft, error) {
		runs.Add(1)
		d, err := runtime.Step(ctx, "draft", func(context.Context) (draft, error) {
			steps.Add(1)
			return draft{title, []int{1, 2}, time.Unix(1, 5).UTC(), map[string]*draft{"a": {Title: "x"}}}, nil
		})
		if err != nil {
			return draft{}, err
		}
		if _, err := runtime.Step(ctx, "mail", func(ctx *runtime.Context) (runtime.Void, error) {
			steps.Add(10)
			return runtime.Void{}, nil
		}); err != nil {
			return draft{}, err
		}
		if runs.Load() < 3 {
			return draft{}, errors.New("flaky")
		}
		return d, nil
	})
	start(t, app)
	got, err := await(t, app, u.call("moby"))
	require.NoError(t, err)
	assert.Equal(t, draft{"moby", []int{1, 2}, time.Unix(1, 5).UTC(), map[string]*draft{"a": {Title: "x"}}}, got)
	assert.EqualValues(t, 3, runs.Load())
	assert.EqualValues(t, 11, steps.Load())
}

// Proves: FEATURES 88
func TestStep_CommitsBeforeSuspensionRollsBack(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 2})
	log := withTx(app)
	u := newUnit[string, string]("press.Publish", durably)
	handleTx(app, u, func(ctx *txContext, v string) (string, error) {
		ctx.Tx.insert("run")
		_, err := runtime.Step(ctx, "draft", func(own *txContext) (int, error) {
			own.Tx.insert("draft")
			assert.NotSame(t, ctx.Tx, own.Tx)
			return 1, nil
		})
		if err != nil {
			return "", err
		}
		return approved.Await(ctx, 0)
	})
	start(t, app)
	h := enqueue(t, app, u.call("a"))
	reaches(t, app, h.ID(), engine.StateWaiting)
	assert.Equal(t, []string{"draft"}, log.committed())
	ends := log.ended()
	require.Len(t, ends, 2)
	require.NoError(t, ends[0])
	require.ErrorIs(t, ends[1], runtime.ErrSuspended)
	require.NoError(t, approved.Send(t.Context(), app, h.ID(), "yes"))
	got, err := result(t, h)
	require.NoError(t, err)
	assert.Equal(t, "yes", got)
	assert.Equal(t, []string{"draft", "run"}, log.committed())
}

func TestStep_FailureRollsBackAndIsRetried(t *testing.T) {
	for name, end := range map[string]func() error{
		"error":  func() error { return errors.New("flaky") },
		"panic":  func() error { panic("flaky") },
		"goexit": func() error { goruntime.Goexit(); return nil },
		"nan":    nil,
	} {
		t.Run(name, func(t *testing.T) {
			app := newUnitApp(t, runtime.Config{Workers: 1})
			log := withTx(app)
			u := newUnit[int, float64]("press.Publish", durably, retries(2))
			var tries atomic.Int64
			u.handle(app, func(ctx *runtime.Context, _ int) (float64, error) {
				return runtime.Step(ctx, "one", func(ctx *txContext) (float64, error) {
					ctx.Tx.insert(fmt.Sprint("try ", tries.Add(1)))
					if tries.Load() < 3 && end != nil {
						return 0, end()
					}
					if end == nil {
						return math.NaN(), nil
					}
					return 7, nil
				})
			})
			start(t, app)
			got, err := await(t, app, u.call(0))
			if end == nil {
				require.ErrorContains(t, err, "step one: encode the result")
				assert.Empty(t, log.committed(), "what cannot be remembered is not committed")
				assert.EqualValues(t, 1, tries.Load())
				return
			}
			require.NoError(t, err)
			assert.InDelta(t, 7.0, got, 0)
			assert.Equal(t, []string{"try 3"}, log.committed())
			ends := log.ended()
			require.Len(t, ends, 3)
			if name == "panic" {
				var p *runtime.PanicError
				require.ErrorAs(t, ends[0], &p)
				assert.Contains(t, string(p.Stack), "TestStep_FailureRollsBackAndIsRetried")
			}
		})
	}
}

// Proves: FEATURES 85
func TestStep_AttemptsCountFromTheLast(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 1})
	u := newUnit[string, int]("press.Publish", durably, retries(3))
	var log []string
	u.handle(app, func(ctx *runtime.Context, how string) (int, error) {
		for i := range 4 {
			name := fmt.Sprint("s", i)
			if _, err := runtime.Step(ctx, name, func(context.Context) (int, error) {
				log = append(log, name)
				if n := strings.Count(strings.Join(log, " "), name); n < 4 || how == "never" && i == 2 {
					return 0, errors.New("flaky")
				}
				return i, nil
			}); err != nil {
				return 0, err
			}
		}
		return 4, nil
	})
	start(t, app)
	_, err := await(t, app, u.call("flaky"))
	require.NoError(t, err, "12 failures of 4 steps, none of more than 3")
	log = nil
	_, err = await(t, app, u.call("never"))
	require.ErrorContains(t, err, "flaky")
	assert.Equal(t, 4, strings.Count(strings.Join(log, " "), "s2"), "a step that always fails has the retries of the task")
}

type (
	page  struct{ N int }
	page2 struct{ N string }
)

// Proves: FEATURES 90
func TestStep_OfAnotherTypeParks(t *testing.T) {
	store := memory.New(memory.Config{})
	t.Cleanup(func() { _ = store.Close() })
	u := newUnit[int, string]("press.Publish", durably)
	serve := func(fn func(ctx *runtime.Context) (string, error)) *runtime.App {
		app := runtime.New(store, runtime.Config{Workers: 1, Logger: discard})
		u.handle(app, func(ctx *runtime.Context, _ int) (string, error) { return fn(ctx) })
		start(t, app)
		return app
	}
	var steps int
	wait := func(ctx *runtime.Context) (string, error) { return approved.Await(ctx, 0) }
	first := serve(func(ctx *runtime.Context) (string, error) {
		if _, err := runtime.Step(ctx, "one", func(context.Context) (page, error) { steps++; return page{1}, nil }); err != nil {
			return "", err
		}
		return wait(ctx)
	})
	h := enqueue(t, first, u.call(0))
	reaches(t, first, h.ID(), engine.StateWaiting)
	require.NoError(t, first.Stop(t.Context()))
	require.NoError(t, approved.Send(t.Context(), first, h.ID(), "yes"))

	second := serve(func(ctx *runtime.Context) (string, error) {
		if _, err := runtime.Step(ctx, "one", func(context.Context) (page2, error) { steps++; return page2{}, nil }); err != nil {
			return "", err
		}
		return wait(ctx)
	})
	r := reaches(t, second, h.ID(), engine.StateRetrying)
	assert.Contains(t, r.Reason, "page:")
	assert.Contains(t, r.Reason, "page2:")
	assert.Contains(t, r.Reason, "step one")
	assert.Equal(t, 0, r.Attempt, "parking uses no attempt")
	require.NoError(t, second.Stop(t.Context()))
	assert.Equal(t, 1, steps)
}

// Proves: FEATURES 90
func TestStep_RenamedRunsAgainAndRenamedTypeDoesNot(t *testing.T) {
	type sheet struct{ N int } // as page
	store := memory.New(memory.Config{})
	t.Cleanup(func() { _ = store.Close() })
	u := newUnit[int, int]("press.Publish", durably)
	var steps []string
	serve := func(fn func(ctx *runtime.Context) (int, error)) *runtime.App {
		app := runtime.New(store, runtime.Config{Workers: 1, Logger: discard})
		u.handle(app, func(ctx *runtime.Context, _ int) (int, error) { return fn(ctx) })
		start(t, app)
		return app
	}
	first := serve(func(ctx *runtime.Context) (int, error) {
		for _, name := range []string{"a", "b"} {
			if _, err := runtime.Step(ctx, name, func(context.Context) (page, error) { steps = append(steps, name); return page{1}, nil }); err != nil {
				return 0, err
			}
		}
		_, err := approved.Await(ctx, 0)
		return 0, err
	})
	h := enqueue(t, first, u.call(0))
	reaches(t, first, h.ID(), engine.StateWaiting)
	require.NoError(t, first.Stop(t.Context()))
	second := serve(func(ctx *runtime.Context) (int, error) {
		sum := 0
		for _, name := range []string{"a", "new", "c"} {
			s, err := runtime.Step(ctx, name, func(context.Context) (sheet, error) { steps = append(steps, name); return sheet{5}, nil })
			if err != nil {
				return 0, err
			}
			sum += s.N
		}
		_, err := approved.Await(ctx, 0)
		return sum, err
	})
	require.NoError(t, approved.Send(t.Context(), second, h.ID(), "yes"))
	sum, err := result(t, runtime.HandleOf[int](second, h.ID()))
	require.NoError(t, err)
	assert.Equal(t, 11, sum)
	assert.Equal(t, []string{"a", "b", "new", "c"}, steps)
	require.NoError(t, second.Stop(t.Context()))
}

func TestDurable_Names(t *testing.T) {
	one := func(context.Context) (int, error) { return 1, nil }
	child := newUnit[int, int]("press.Render")
	for name, c := range map[string]struct {
		fn   func(ctx *runtime.Context) error
		want string
	}{
		"two steps": {func(ctx *runtime.Context) error {
			_, err := runtime.Step(ctx, "a", one)
			_, err2 := runtime.Step(ctx, "a", one)
			return errors.Join(err, err2)
		}, `the name "a" is used twice in one run`},
		"a step and a rest": {func(ctx *runtime.Context) error {
			_, err := runtime.Step(ctx, "a", one)
			return errors.Join(err, runtime.Rest(ctx, "a", time.Hour))
		}, `the name "a" is used twice in one run`},
		"two children": {func(ctx *runtime.Context) error {
			runtime.Spawn(ctx, "a", child.call(1))
			_, err := runtime.Spawn(ctx, "a", child.call(1)).Await(ctx)
			return err
		}, `the name "a" is used twice in one run`},
		"a child that nobody awaits": {func(ctx *runtime.Context) error {
			runtime.Spawn(ctx, "", child.call(1))
			return nil
		}, `"" is not a name`},
		"empty": {func(ctx *runtime.Context) error { _, err := runtime.Step(ctx, "", one); return err }, `"" is not a name`},
		"ours":  {func(ctx *runtime.Context) error { _, err := runtime.Step(ctx, "?a", one); return err }, `"?a" is not a name`},
		"NUL":   {func(ctx *runtime.Context) error { _, err := runtime.Step(ctx, "a\x00", one); return err }, `is not a name`},
		"long": {func(ctx *runtime.Context) error {
			_, err := runtime.Step(ctx, strings.Repeat("n", engine.MaxEntryName+1), one)
			return err
		}, "over 512 bytes"},
		"a step in a step": {func(ctx *runtime.Context) error {
			_, err := runtime.Step(ctx, "a", func(ctx context.Context) (int, error) { return runtime.Step(ctx, "b", one) })
			return err
		}, "runtime.Step: not in a step"},
		"a context that nobody knows": {func(ctx *runtime.Context) error {
			_, err := runtime.Step(ctx, "a", func(*bareContext) (int, error) { return 1, nil })
			return err
		}, "step a: context type *runtime_test.bareContext is not registered: call the RegisterTasks of its package, " +
			"and write //task:context above *runtime_test.bareContext"},
		"a child in a step": {func(ctx *runtime.Context) error {
			_, err := runtime.Step(ctx, "a", func(ctx context.Context) (int, error) {
				return runtime.Spawn(ctx, "b", child.call(1)).Await(ctx)
			})
			return err
		}, "runtime.Spawn: not in a step"},
		"a signal in a step": {func(ctx *runtime.Context) error {
			_, err := runtime.Step(ctx, "a", func(ctx context.Context) (string, error) { return approved.Await(ctx, 0) })
			return err
		}, "Signal.Await: not in a step"},
	} {
		t.Run(name, func(t *testing.T) {
			app := newUnitApp(t, runtime.Config{Workers: 1})
			u := newUnit[int, int]("press.Publish", durably, retries(3))
			var runs atomic.Int64
			u.handle(app, func(ctx *runtime.Context, _ int) (int, error) { runs.Add(1); return 0, c.fn(ctx) })
			start(t, app)
			_, err := await(t, app, u.call(0))
			require.ErrorContains(t, err, c.want)
			assert.EqualValues(t, 1, runs.Load(), "it is permanent")
		})
	}
}

func TestDurable_CallsElsewhereNameTheMend(t *testing.T) {
	child := newUnit[int, int]("press.Render")
	calls := map[string]func(ctx context.Context) error{
		"runtime.Step": func(ctx context.Context) error {
			_, err := runtime.Step(ctx, "a", func(context.Context) (int, error) { return 1, nil })
			return err
		},
		"runtime.Spawn": func(ctx context.Context) error {
			_, err := runtime.Spawn(ctx, "a", child.call(1)).Await(ctx)
			return err
		},
		"runtime.Rest": func(ctx context.Context) error { return runtime.Rest(ctx, "a", time.Hour) },
		"runtime.All":  func(ctx context.Context) error { _, err := runtime.All(ctx, "a", child.call(1)); return err },
		"Signal.Await": func(ctx context.Context) error { _, err := approved.Await(ctx, 0); return err },
	}
	for what, call := range calls {
		t.Run(what, func(t *testing.T) {
			require.ErrorIs(t, call(context.Background()), runtime.ErrNoTask)
			app := newUnitApp(t, runtime.Config{Workers: 1})
			u := newUnit[int, int]("press.Publish", retries(3))
			var runs atomic.Int64
			u.handle(app, func(ctx *runtime.Context, _ int) (int, error) { runs.Add(1); return 0, call(ctx) })
			start(t, app)
			_, err := await(t, app, u.call(0))
			require.ErrorContains(t, err, "needs a durable task: write //task:context durable above press.Publish")
			assert.EqualValues(t, 1, runs.Load(), "it is permanent")
		})
	}
}

func TestStep_SeesTheTaskAndItsContextEnds(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 1, KeepLogs: 10})
	u := newUnit[int, string]("press.Publish", durably)
	who := local.New[string]("who", local.InLogs())
	var leaked *runtime.Context
	u.handle(app, func(ctx *runtime.Context, _ int) (string, error) {
		if err := who.Set(ctx, "ann"); err != nil {
			return "", err
		}
		got, err := runtime.Step(ctx, "one", func(own *runtime.Context) (string, error) {
			leaked = own
			own.Logger().Info("in the step")
			own.Progress(1, 2, "half")
			assert.Equal(t, ctx.Metadata(), own.Metadata())
			if rec, err := own.Reload(); assert.NoError(t, err) {
				assert.Len(t, rec.Logs, 1)
			}
			v, err := who.Get(own)
			local.Go(own, local.Share, func(ctx context.Context) error { return who.Set(ctx, "bob") })
			return v, err
		})
		if err != nil {
			return "", err
		}
		require.ErrorIs(t, context.Cause(leaked), runtime.ErrTaskDone)
		_, kerr := runtime.Stored(leaked, runtime.NewKey[int]("late", runtime.PerWorker, nil), func(context.Context) (int, error) { return 1, nil })
		require.ErrorIs(t, kerr, runtime.ErrTaskDone)
		v, err := who.Get(ctx)
		return got + " " + v, err
	})
	start(t, app)
	h := enqueue(t, app, u.call(0))
	got, err := result(t, h)
	require.NoError(t, err)
	assert.Equal(t, "ann bob", got)
	rec, err := app.Lookup(t.Context(), h.ID())
	require.NoError(t, err)
	require.Len(t, rec.Logs, 1)
	assert.Contains(t, rec.Logs[0].Attrs, "who=ann")
	assert.Equal(t, "half", rec.Progress.Note)
}

func TestRest_IsCountedFromTheFirstRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{Workers: 1})
		u := newUnit[int, string]("press.Publish", durably, retries(1))
		var runs int
		u.handle(app, func(ctx *runtime.Context, _ int) (string, error) {
			runs++
			if err := runtime.Rest(ctx, "embargo", 24*time.Hour); err != nil {
				return "", err
			}
			if runs == 2 {
				return "", runtime.RetryAfter(time.Hour, errors.New("flaky"))
			}
			if err := runtime.Rest(ctx, "none", 0); err != nil {
				return "", err
			}
			return "done", nil
		})
		start(t, app)
		began := time.Now()
		h := enqueue(t, app, u.call(0))
		synctest.Wait()
		rec := reaches(t, app, h.ID(), engine.StateWaiting)
		assert.Equal(t, "waits for rest embargo, until "+began.Add(24*time.Hour).UTC().Format(time.RFC3339), rec.Reason)
		_, err := h.Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 25*time.Hour, time.Since(began).Round(time.Minute))
		assert.Equal(t, 3, runs)
		require.NoError(t, app.Stop(t.Context()))
	})
}

// TestStep_SeesTheScopeAroundIt: a local value set between the task's context and the
// step's is the step's too, and what the step sets there stays there.
func TestStep_SeesTheScopeAroundIt(t *testing.T) {
	who := local.New[string]("who")
	app := newUnitApp(t, runtime.Config{Workers: 1})
	u := newUnit[int, []string]("press.Publish", durably)
	u.handle(app, func(ctx *runtime.Context, _ int) ([]string, error) {
		if err := who.Set(ctx, "ann"); err != nil {
			return nil, err
		}
		scope := local.With(ctx)
		if err := who.Set(scope, "bob"); err != nil {
			return nil, err
		}
		inner, err := runtime.Step(scope, "inner", func(ctx context.Context) (string, error) {
			seen := who.GetOr(ctx, "")
			return seen, who.Set(ctx, "cid")
		})
		if err != nil {
			return nil, err
		}
		outer, err := runtime.Step(ctx, "outer", func(ctx *runtime.Context) (string, error) { return who.GetOr(ctx, ""), nil })
		return []string{inner, outer, who.GetOr(scope, ""), who.GetOr(ctx, "")}, err
	})
	start(t, app)
	got, err := await(t, app, u.call(0))
	require.NoError(t, err)
	assert.Equal(t, []string{"bob", "ann", "cid", "ann"}, got)
}
