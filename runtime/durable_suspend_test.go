package runtime_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/local"
)

// syncBuffer is a buffer for a logger.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// Proves: FEATURES 88
func TestSuspend_SwallowedIsOneAllTheSame(t *testing.T) {
	for how, returns := range map[string]func(v string, err error) error{
		"nil":       func(string, error) error { return nil },
		"permanent": func(_ string, err error) error { return runtime.Permanent(fmt.Errorf("lost: %v", err)) }, //nolint:errorlint // that it is lost is the test
		"cancel":    func(string, error) error { return runtime.Cancelled("not approved") },
		"snooze":    func(string, error) error { return runtime.Snooze(time.Hour) },
		"other":     func(string, error) error { return errors.New("other") },
	} {
		t.Run(how, func(t *testing.T) {
			var logged syncBuffer
			app := newUnitApp(t, runtime.Config{Workers: 1, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
			log := withTx(app)
			u := newUnit[int, int]("press.Publish", durably)
			var uploads, after atomic.Int64
			handleTx(app, u, func(ctx *txContext, _ int) (int, error) {
				ctx.Tx.insert("run")
				v, err := approved.Await(ctx, 0)
				_, serr := runtime.Step(ctx, "upload", func(context.Context) (int, error) { uploads.Add(1); return 1, nil })
				if err != nil {
					after.Add(1)
					assert.ErrorIs(t, serr, runtime.ErrSuspended)
					assert.ErrorIs(t, runtime.Rest(ctx, "rest", time.Hour), runtime.ErrSuspended)
					return 0, returns(v, err)
				}
				return 8, serr
			})
			start(t, app)
			h := enqueue(t, app, u.call(0))
			reaches(t, app, h.ID(), engine.StateWaiting)
			assert.Zero(t, uploads.Load())
			assert.Empty(t, log.committed())
			require.ErrorIs(t, log.ended()[0], runtime.ErrSuspended)
			assert.Contains(t, logged.String(), "did not return runtime.ErrSuspended")
			require.NoError(t, approved.Send(t.Context(), app, h.ID(), "yes"))
			got, err := result(t, h)
			require.NoError(t, err)
			assert.Equal(t, 8, got)
			assert.EqualValues(t, 1, uploads.Load())
			assert.EqualValues(t, 1, after.Load())
			assert.Equal(t, []string{"run"}, log.committed())
		})
	}
}

func TestSuspend_PanicAfterwardsIsAFailure(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 1})
	u := newUnit[int, int]("press.Publish", durably, retries(1))
	var runs atomic.Int64
	u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		_, err := approved.Await(ctx, 0)
		if runs.Add(1) < 3 && err != nil {
			panic("bug")
		}
		return 1, err
	})
	start(t, app)
	h := enqueue(t, app, u.call(0))
	_, err := result(t, h)
	require.ErrorContains(t, err, "panic: bug")
	assert.EqualValues(t, 2, runs.Load())
}

func TestGo_BranchesWaitForThemselves(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 1})
	u := newUnit[int, int]("press.Publish", durably)
	var steps, runs atomic.Int64
	u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		runs.Add(1)
		one := local.Go(ctx, local.Share, func(ctx context.Context) error {
			_, err := approved.Await(ctx, 0)
			return err
		})
		two := local.Go(ctx, local.Copy, func(ctx context.Context) error {
			for i := range 5 {
				if _, err := runtime.Step(ctx, fmt.Sprint("two/", i), func(context.Context) (int64, error) {
					time.Sleep(time.Millisecond)
					return steps.Add(1), nil
				}); err != nil {
					return err
				}
			}
			return nil
		})
		return 1, errors.Join(one.Wait(), two.Wait())
	})
	start(t, app)
	h := enqueue(t, app, u.call(0))
	reaches(t, app, h.ID(), engine.StateWaiting)
	assert.EqualValues(t, 5, steps.Load())
	assert.EqualValues(t, 1, runs.Load())
	require.NoError(t, approved.Send(t.Context(), app, h.ID(), "yes"))
	_, err := result(t, h)
	require.NoError(t, err)
	assert.EqualValues(t, 5, steps.Load())
	assert.EqualValues(t, 2, runs.Load())
}

// TestGo_FailedBranchIsRetried: a suspension of one branch does not keep the
// failure of another from being one.
func TestGo_FailedBranchIsRetried(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 1})
	u := newUnit[bool, int]("press.Publish", durably, retries(2))
	var tries atomic.Int64
	u.handle(app, func(ctx *runtime.Context, permanent bool) (int, error) {
		one := local.Go(ctx, local.Share, func(ctx context.Context) error {
			_, err := approved.Await(ctx, 0)
			return err
		})
		two := local.Go(ctx, local.Share, func(ctx context.Context) error {
			_, err := runtime.Step(ctx, "two", func(context.Context) (int, error) {
				if permanent {
					return 0, runtime.Permanent(errors.New("no way"))
				}
				if tries.Add(1) < 3 {
					return 0, errors.New("flaky")
				}
				return 1, nil
			})
			return err
		})
		return 1, errors.Join(one.Wait(), two.Wait())
	})
	start(t, app)
	h := enqueue(t, app, u.call(false))
	reaches(t, app, h.ID(), engine.StateWaiting)
	assert.EqualValues(t, 3, tries.Load())
	require.NoError(t, approved.Send(t.Context(), app, h.ID(), "yes"))
	_, err := result(t, h)
	require.NoError(t, err)
	_, err = await(t, app, u.call(true))
	require.ErrorContains(t, err, "no way")
}

func TestRecord_OfASuspendedTask(t *testing.T) {
	var mu sync.Mutex
	var states []engine.State
	app, render := press(t, runtime.Config{Workers: 1, Observers: []hook.Observer{hook.ObserverFunc(func(e hook.Event) {
		if e.Kind == hook.EventEnd && e.Task.Name == "press.Publish" {
			mu.Lock()
			defer mu.Unlock()
			states = append(states, e.State)
		}
	})}})
	u := newUnit[int, int]("press.Publish", durably)
	u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		var fs []*runtime.Future[int]
		for i := range 10 {
			fs = append(fs, runtime.Spawn(ctx, fmt.Sprint("page/", i), render.call(i, runtime.WithDelay(time.Hour))))
		}
		_, err := runtime.AwaitAll(ctx, fs...)
		return 0, err
	})
	start(t, app)
	h := enqueue(t, app, u.call(0))
	rec := reaches(t, app, h.ID(), engine.StateWaiting)
	assert.Equal(t, "waits for 10 of 10 children: page/0, page/1, page/2, page/3, page/4, ...", rec.Reason)
	assert.Zero(t, rec.Attempt)
	assert.True(t, rec.Due.IsZero())
	counts, err := app.Counts(t.Context())
	require.NoError(t, err)
	assert.Contains(t, counts, engine.Count{Queue: "default", State: engine.StateWaiting, Tasks: 1})
	require.NoError(t, app.Cancel(t.Context(), h.ID(), ""))
	require.NoError(t, app.Stop(t.Context()))
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, []engine.State{engine.StateWaiting}, states)
}

func TestWithDeadline_CapsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{Workers: 1})
		u := newUnit[int, string]("press.Publish", durably, retries(3))
		u.handle(app, func(ctx *runtime.Context, _ int) (string, error) { return approved.Await(ctx, 72*time.Hour) })
		start(t, app)
		began := time.Now()
		h := enqueue(t, app, u.call(0, runtime.WithDeadline(began.Add(5*time.Hour))))
		_, err := h.Wait(t.Context())
		require.ErrorContains(t, err, runtime.ErrDeadline.Error())
		assert.Equal(t, 5*time.Hour, time.Since(began).Round(time.Minute))
		require.NoError(t, app.Stop(t.Context()))
	})
}

func TestWithTimeout_IsOfOneRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{Workers: 1})
		u := newUnit[int, string]("press.Publish", durably)
		u.handle(app, func(ctx *runtime.Context, _ int) (string, error) {
			time.Sleep(40 * time.Second)
			if err := runtime.Rest(ctx, "a", time.Hour); err != nil {
				return "", err
			}
			return approved.Await(ctx, 0)
		})
		start(t, app)
		h := enqueue(t, app, u.call(0, runtime.WithTimeout(time.Minute)))
		time.Sleep(90 * time.Minute)
		require.NoError(t, approved.Send(t.Context(), app, h.ID(), "yes"))
		got, err := h.Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "yes", got)
		require.NoError(t, app.Stop(t.Context()))
	})
}

// Proves: FEATURES 86
func TestSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{Workers: 1})
		u := newUnit[int, string]("press.Publish", durably, retries(3))
		var runs int
		u.handle(app, func(ctx *runtime.Context, n int) (string, error) {
			runs++
			text := ""
			for range n {
				v, err := approved.Await(ctx, time.Hour)
				switch {
				case errors.Is(err, runtime.ErrAwaitTimeout):
					v = "timeout"
				case err != nil:
					return "", err
				}
				text += v + " "
				if _, err := runtime.Step(ctx, "after "+text, func(context.Context) (int, error) { return 1, nil }); err != nil {
					return "", err
				}
			}
			if runs == 3 {
				return "", errors.New("again")
			}
			return text, nil
		})
		h := enqueue(t, app, u.call(4))
		require.NoError(t, approved.Send(t.Context(), app, h.ID(), "early", runtime.WithSendKey("k")), "before the first run")
		require.NoError(t, approved.Send(t.Context(), app, h.ID(), "twice", runtime.WithSendKey("k")))
		start(t, app)
		time.Sleep(90 * time.Minute)
		require.NoError(t, approved.Send(t.Context(), app, h.ID(), "late"))
		require.NoError(t, approved.Send(t.Context(), app, h.ID(), "more"))
		got, err := h.Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "early timeout late more ", got)
		require.ErrorIs(t, approved.Send(t.Context(), app, h.ID(), "x"), runtime.ErrState)
		require.ErrorIs(t, approved.Send(t.Context(), app, uuid.New(), "x"), runtime.ErrNotFound)
		require.NoError(t, app.Stop(t.Context()))
	})
}

// Proves: FEATURES 87
func TestSuspend_SurvivesItsWorker(t *testing.T) {
	app, render := press(t, runtime.Config{Workers: 1})
	u := newUnit[int, string]("press.Publish", durably)
	u.handle(app, func(ctx *runtime.Context, n int) (string, error) {
		f := runtime.Spawn(ctx, "page", render.call(n, runtime.WithDelay(50*time.Millisecond)))
		v, err := approved.Await(ctx, 0)
		if err != nil {
			return "", err
		}
		p, err := f.Await(ctx)
		return fmt.Sprint(v, p), err
	})
	start(t, app)
	h := enqueue(t, app, u.call(4))
	reaches(t, app, h.ID(), engine.StateWaiting)
	require.NoError(t, app.Stop(t.Context()))
	require.NoError(t, approved.Send(t.Context(), app, h.ID(), "yes"))
	start(t, app)
	got, err := result(t, h)
	require.NoError(t, err)
	assert.Equal(t, "yes8", got)
}

// Proves: FEATURES 83
func TestDurable_TreeOnOneSlot(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 1})
	u := newUnit[int, int]("press.Tree", durably)
	u.handle(app, func(ctx *runtime.Context, n int) (int, error) {
		if n == 0 {
			return 1, nil
		}
		var calls []runtime.Call[int]
		for range 5 {
			calls = append(calls, u.call(n-1))
		}
		ns, err := runtime.All(ctx, "branch", calls...)
		sum := 1
		for _, n := range ns {
			sum += n
		}
		return sum, err
	})
	start(t, app)
	got, err := await(t, app, u.call(3))
	require.NoError(t, err)
	assert.Equal(t, 156, got)
}

// Proves: FEATURES 89
func TestCancel_GoesDownTheTree(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 2})
	u := newUnit[int, string]("press.Tree", durably)
	u.handle(app, func(ctx *runtime.Context, n int) (string, error) {
		if n == 0 {
			return approved.Await(ctx, 0)
		}
		_, err := runtime.All(ctx, "branch", u.call(n-1), u.call(n-1))
		return "", err
	})
	start(t, app)
	h := enqueue(t, app, u.call(3))
	waiting := func() int {
		rs, _, err := app.List(t.Context(), engine.Query{States: []engine.State{engine.StateWaiting}})
		require.NoError(t, err)
		return len(rs)
	}
	require.Eventually(t, func() bool { return waiting() == 15 }, time.Minute, time.Millisecond)
	require.NoError(t, app.Cancel(t.Context(), h.ID(), "no"))
	require.Eventually(t, func() bool { return waiting() == 0 }, time.Minute, time.Millisecond)
	rs, _, err := app.List(t.Context(), engine.Query{States: []engine.State{engine.StateCancelled}})
	require.NoError(t, err)
	assert.Len(t, rs, 15)
}

// Proves: FEATURES 85
func TestApp_RetryForgetsOnlyFailedChildren(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 2})
	var broken atomic.Bool
	broken.Store(true)
	var renders, steps atomic.Int64
	render := newUnit[int, int]("press.Render")
	render.handle(app, func(_ *runtime.Context, n int) (int, error) {
		renders.Add(1)
		if n == 2 && broken.Load() {
			return 0, errors.New("no ink")
		}
		return n, nil
	})
	u := newUnit[int, int]("press.Publish", durably)
	u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		if _, err := runtime.Step(ctx, "once", func(context.Context) (int64, error) { return steps.Add(1), nil }); err != nil {
			return 0, err
		}
		fs := []*runtime.Future[int]{
			runtime.Spawn(ctx, "a", render.call(1)), runtime.Spawn(ctx, "b", render.call(2)), runtime.Spawn(ctx, "c", render.call(3)),
		}
		ends, err := runtime.AwaitEnds(ctx, fs...)
		if err != nil {
			return 0, err
		}
		sum := 0
		for _, e := range ends {
			if e.Err != nil {
				return 0, e.Err
			}
			sum += e.Result
		}
		return sum, nil
	})
	start(t, app)
	h := enqueue(t, app, u.call(0))
	_, err := result(t, h)
	require.ErrorContains(t, err, "no ink")
	broken.Store(false)
	require.NoError(t, app.Retry(t.Context(), h.ID()))
	got, err := result(t, h)
	require.NoError(t, err)
	assert.Equal(t, 6, got)
	assert.EqualValues(t, 1, steps.Load())
	assert.EqualValues(t, 4, renders.Load())
}

func TestMiddleware_MaySwallowASuspension(t *testing.T) {
	swallow := func(next runtime.Handler) runtime.Handler {
		return func(ctx *runtime.Context) error { _ = next(ctx); return nil }
	}
	app := newUnitApp(t, runtime.Config{Workers: 1, Middleware: []runtime.Middleware{swallow}})
	u := newUnit[int, string]("press.Publish", durably)
	u.handle(app, func(ctx *runtime.Context, _ int) (string, error) { return approved.Await(ctx, 0) })
	start(t, app)
	h := enqueue(t, app, u.call(0))
	reaches(t, app, h.ID(), engine.StateWaiting)
	require.NoError(t, approved.Send(t.Context(), app, h.ID(), "yes"))
	got, err := result(t, h)
	require.NoError(t, err)
	assert.Equal(t, "yes", got)
}
