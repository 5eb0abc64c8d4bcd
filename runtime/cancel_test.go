package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/wire"
)

// Proves: FEATURES 51, 52
func TestCancelled_EndsTheTask(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"reason":  {runtime.Cancelled("no stock"), "no stock"},
		"default": {runtime.Cancelled(""), "test.Attempts.cancel"},
		"wrapped": {fmt.Errorf("order: %w", runtime.Cancelled("no stock")), "no stock"},
		"joined":  {errors.Join(errFlaky, runtime.Cancelled("no stock")), "no stock"},
	} {
		t.Run(name, func(t *testing.T) {
			var log safeBuffer
			cleaned := 0
			tx := runtime.NewKey[int]("tx", runtime.PerTask, nil)
			cfg := runtime.Config{Logger: textLogger(&log)}
			began, rec, err := attempts(t, cfg, func(ctx *runtime.Context, _ int) error {
				if _, err := tx.Provide(ctx, func(context.Context) (int, func(error) error, error) {
					return 1, func(error) error { cleaned++; return nil }, nil
				}); err != nil {
					return err
				}
				return test.err
			}, retries(5))
			if len(began) != 1 || rec.State != engine.StateCancelled || rec.Reason != test.want {
				t.Errorf("%d attempts, %s, reason %q; want one, cancelled, %q", len(began), rec.State, rec.Reason, test.want)
			}
			if cleaned != 1 {
				t.Errorf("the cleanup ran %d times", cleaned)
			}
			if !errors.Is(err, engine.ErrCancelled) || len(rec.Errors) != 0 {
				t.Errorf("Wait: %v; errors kept: %d", err, len(rec.Errors))
			}
			if text := log.String(); strings.Contains(text, "ERROR") || strings.Contains(text, "WARN") {
				t.Errorf("logged as an error:\n%s", text)
			}
		})
	}
}

// Proves: FEATURES 38, 52
func TestCancel_RunningTask(t *testing.T) {
	tx := runtime.NewKey[int]("tx", runtime.PerTask, nil)
	for name, test := range map[string]struct {
		ret   func(ctx *runtime.Context) error
		state engine.State
	}{
		"returns the cause":     {func(ctx *runtime.Context) error { return context.Cause(ctx) }, engine.StateCancelled},
		"returns another error": {func(*runtime.Context) error { return errFlaky }, engine.StateCancelled},
		"snoozes":               {func(*runtime.Context) error { return runtime.Snooze(time.Hour) }, engine.StateCancelled},
		"is permanent":          {func(*runtime.Context) error { return runtime.Permanent(errFlaky) }, engine.StateCancelled},
		"succeeds all the same": {func(*runtime.Context) error { return nil }, engine.StateSucceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log safeBuffer
				app := newUnitApp(t, runtime.Config{Logger: textLogger(&log)})
				u := newUnit[int, runtime.Void]("test.Cancel", retries(3))
				var cause error
				runs, cleaned := 0, 0
				u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
					runs++
					if _, err := tx.Provide(ctx, func(context.Context) (int, func(error) error, error) {
						return 1, func(error) error { cleaned++; return nil }, nil
					}); err != nil {
						return runtime.Void{}, err
					}
					<-ctx.Done()
					cause = context.Cause(ctx)
					return runtime.Void{}, test.ret(ctx)
				})
				start(t, app)
				ctx := context.Background()
				h, err := u.call(0).Enqueue(ctx, app)
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				for range 2 { // the second changes nothing
					if err := app.Cancel(ctx, h.ID(), "by hand"); err != nil {
						t.Fatal(err)
					}
				}
				_, err = h.Wait(ctx)
				rec, rerr := h.Record(ctx)
				if rerr != nil {
					t.Fatal(rerr)
				}
				if !errors.Is(cause, engine.ErrCancelled) || !errors.Is(cause, context.Canceled) || !strings.Contains(cause.Error(), "by hand") {
					t.Errorf("cause %v", cause)
				}
				if rec.State != test.state {
					t.Errorf("%s, %v; want %s", rec.State, err, test.state)
				}
				if test.state == engine.StateCancelled && (rec.Reason != "by hand" || !errors.Is(err, engine.ErrCancelled)) {
					t.Errorf("reason %q, Wait %v", rec.Reason, err)
				}
				if err := app.Cancel(ctx, h.ID(), "too late"); err != nil {
					t.Errorf("Cancel of an ended task: %v", err)
				}
				time.Sleep(24 * time.Hour) // nothing comes after it
				if runs != 1 || cleaned != 1 || len(rec.Errors) != 0 {
					t.Errorf("%d runs, %d cleanups, %d errors kept; want one, one, none", runs, cleaned, len(rec.Errors))
				}
				if text := log.String(); strings.Contains(text, "ERROR") || strings.Contains(text, "WARN") {
					t.Errorf("logged as an error:\n%s", text)
				}
			})
		})
	}
}

// Proves: FEATURES 38, 50
func TestCancel_EndsSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{})
		u := newUnit[int, runtime.Void]("test.Sleep")
		u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
			return runtime.Void{}, ctx.Sleep(time.Hour)
		})
		start(t, app)
		ctx := context.Background()
		from := time.Now()
		if _, err := await(t, app, u.call(0)); err == nil { // await gives up after a minute
			t.Error("slept less than an hour")
		}
		if d := time.Since(from); d != time.Minute {
			t.Fatalf("waited %s", d)
		}
		records, _, err := app.List(ctx, engine.Query{})
		if err != nil || len(records) != 1 {
			t.Fatal(records, err)
		}
		if err := app.Cancel(ctx, records[0].ID, ""); err != nil {
			t.Fatal(err)
		}
		h := runtime.HandleOf[runtime.Void](app, records[0].ID)
		if _, err := h.Wait(ctx); !errors.Is(err, engine.ErrCancelled) || time.Since(from) != time.Minute {
			t.Errorf("%v after %s", err, time.Since(from))
		}
		rec, err := h.Record(ctx)
		if err != nil || rec.Reason != "test.Sleep.cancel" {
			t.Errorf("reason %q, %v; want the default", rec.Reason, err)
		}
	})
}

// Proves: FEATURES 38
func TestCancel_WaitingTask(t *testing.T) {
	for name, opts := range map[string][]runtime.Option{
		"pending": nil, "scheduled": {runtime.WithDelay(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			app := newUnitApp(t, runtime.Config{})
			u := newUnit[int, runtime.Void]("test.Waiting")
			u.handle(app, func(*runtime.Context, int) (runtime.Void, error) {
				t.Error("a cancelled task ran")
				return runtime.Void{}, nil
			})
			ctx := context.Background()
			h, err := u.call(0, opts...).Enqueue(ctx, app)
			if err != nil {
				t.Fatal(err)
			}
			if err := app.Cancel(ctx, h.ID(), "not needed"); err != nil {
				t.Fatal(err)
			}
			start(t, app)
			if _, err := h.Wait(ctx); !errors.Is(err, engine.ErrCancelled) || !strings.Contains(err.Error(), "not needed") {
				t.Errorf("Wait: %v", err)
			}
		})
	}
}

// Proves: FEATURES 38
func TestCancel_BetweenRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{})
		u := newUnit[int, runtime.Void]("test.Between", retries(3), backoff(time.Hour, 1, 0))
		runs := 0
		u.handle(app, func(*runtime.Context, int) (runtime.Void, error) { runs++; return runtime.Void{}, errFlaky })
		start(t, app)
		ctx := context.Background()
		h, err := u.call(0).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if rec, err := h.Record(ctx); err != nil || rec.State != engine.StateRetrying || rec.Reason != "flaky" {
			t.Errorf("%+v, %v; want it retrying", rec, err)
		}
		if err := app.Cancel(ctx, h.ID(), "enough"); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Wait(ctx); !errors.Is(err, engine.ErrCancelled) || runs != 1 {
			t.Errorf("%d runs, %v", runs, err)
		}
	})
}

// Proves: FEATURES 49
func TestApp_ControlOfUnknownTasks(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	ctx := context.Background()
	id := [16]byte{1, 2, 3}
	_, lookup := app.Lookup(ctx, id)
	_, wait := runtime.HandleOf[int](app, id).Wait(ctx)
	for name, err := range map[string]error{
		"Lookup": lookup, "Wait": wait, "Cancel": app.Cancel(ctx, id, ""), "Cancel with a reason": app.Cancel(ctx, id, "x"),
		"Retry": app.Retry(ctx, id), "RunNow": app.RunNow(ctx, id), "Delete": app.Delete(ctx, id),
	} {
		if !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", name, err)
		}
	}
}

// Proves: FEATURES 57
func TestWithTimeout_PerAttempt(t *testing.T) {
	for name, change := range map[string]func(*wire.Spec){
		"of the task": func(s *wire.Spec) { s.Timeout = time.Minute },
	} {
		t.Run(name, func(t *testing.T) {
			var causes []error
			var deadlines []time.Duration
			began, rec, _ := attempts(t, runtime.Config{}, func(ctx *runtime.Context, _ int) error {
				d, _ := ctx.Deadline()
				deadlines = append(deadlines, time.Until(d))
				if m := ctx.Metadata().Deadline; !m.Equal(d) {
					t.Errorf("metadata has the deadline %s, the context %s", m, d)
				}
				<-ctx.Done()
				causes = append(causes, context.Cause(ctx))
				return ctx.Err()
			}, retries(2), backoff(time.Hour, 1, 0), change)
			if len(began) != 3 || rec.State != engine.StateFailed {
				t.Fatalf("%d attempts, %s", len(began), rec.State)
			}
			for i, cause := range causes {
				if !errors.Is(cause, engine.ErrTimeout) || !errors.Is(cause, context.DeadlineExceeded) || deadlines[i] != time.Minute {
					t.Errorf("attempt %d: cause %v, %s to go", i, cause, deadlines[i])
				}
			}
			if !strings.Contains(rec.Reason, "longer than its timeout") {
				t.Errorf("reason %q", rec.Reason)
			}
		})
	}
}

// A handler that does not look at its context is out of time all the same.
func TestWithTimeout_IgnoredByTheHandler(t *testing.T) {
	_, rec, err := attempts(t, runtime.Config{}, func(*runtime.Context, int) error {
		time.Sleep(2 * time.Minute)
		return errFlaky
	}, func(s *wire.Spec) { s.Timeout = time.Minute })
	if err == nil || !strings.Contains(rec.Reason, "timeout") || !strings.Contains(rec.Reason, "flaky") {
		t.Errorf("reason %q, want the timeout and the error", rec.Reason)
	}
	_, rec, err = attempts(t, runtime.Config{}, func(*runtime.Context, int) error {
		time.Sleep(2 * time.Minute)
		return nil
	}, func(s *wire.Spec) { s.Timeout = time.Minute })
	if err != nil || rec.State != engine.StateSucceeded {
		t.Errorf("%s, %v; want success: what it did is done", rec.State, err)
	}
}

// Proves: FEATURES 50
func TestWithDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{Workers: 1})
		u := newUnit[int, runtime.Void]("test.Deadline", retries(5))
		runs := 0
		var cause error
		u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
			runs++
			err := ctx.Sleep(time.Hour)
			cause = err
			return runtime.Void{}, err
		})
		start(t, app)
		ctx := context.Background()
		at := time.Now().Add(10 * time.Minute)
		running, err := u.call(0, runtime.WithDeadline(at), runtime.WithTimeout(20*time.Minute)).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		late, err := u.call(1, runtime.WithDeadline(at)).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range []*runtime.Handle[runtime.Void]{running, late} {
			if _, err := h.Wait(ctx); err == nil || !strings.Contains(err.Error(), "past its deadline") {
				t.Errorf("Wait: %v", err)
			}
		}
		if runs != 1 || !errors.Is(cause, runtime.ErrDeadline) || time.Now().Before(at) {
			t.Errorf("%d runs, cause %v; want one run, ended by the deadline, and no retry", runs, cause)
		}
	})
}
