package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// Proves: FEATURES 18
func TestProvide_TransactionEndsWithTheTask(t *testing.T) {
	errCommit := errors.New("commit failed")
	tx := runtime.NewKey[string]("tx", runtime.PerTask, nil)
	outer := runtime.NewKey[string]("outer", runtime.PerTask, nil)
	for name, test := range map[string]struct {
		fn     func() error
		commit error
		want   string // what the cleanup gets
		state  engine.State
	}{
		"success":         {fn: func() error { return nil }, want: "<nil>", state: engine.StateSucceeded},
		"error":           {fn: func() error { return errFlaky }, want: "flaky", state: engine.StateFailed},
		"panic":           {fn: func() error { panic("x") }, want: "panic: x", state: engine.StateFailed},
		"goexit":          {fn: func() error { goexit(); return nil }, want: "handler called runtime.Goexit", state: engine.StateFailed},
		"cancel":          {fn: func() error { return runtime.Cancelled("") }, want: "task cancelled itself", state: engine.StateCancelled},
		"commit fails":    {fn: func() error { return nil }, commit: errCommit, want: "<nil>", state: engine.StateFailed},
		"both fail":       {fn: func() error { return errFlaky }, commit: errCommit, want: "flaky", state: engine.StateFailed},
		"commit of panic": {fn: func() error { panic("x") }, commit: errCommit, want: "panic: x", state: engine.StateFailed},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			app := newUnitApp(t, runtime.Config{Workers: 1})
			u := newUnit[int, runtime.Void]("test.Tx")
			u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
				for _, k := range []*runtime.Key[string]{outer, tx} {
					if _, err := k.Provide(ctx, func(context.Context) (string, func(error) error, error) {
						return "", func(err error) error {
							got = append(got, fmt.Sprint(err))
							if k == tx {
								return test.commit
							}
							return nil
						}, nil
					}); err != nil {
						return runtime.Void{}, err
					}
				}
				return runtime.Void{}, test.fn()
			})
			start(t, app)
			h, err := u.call(0).Enqueue(context.Background(), app)
			if err != nil {
				t.Fatal(err)
			}
			_, werr := h.Wait(context.Background())
			rec, err := h.Record(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 2 || got[0] != test.want {
				t.Fatalf("cleanups got %q, want two, the first with %q", got, test.want)
			}
			if test.commit != nil && !strings.Contains(got[1], "commit failed") {
				t.Errorf("the cleanup of what was made before got %q, not the failed commit", got[1])
			}
			if rec.State != test.state || (werr == nil) != (test.state == engine.StateSucceeded) {
				t.Errorf("%s, %v; want %s", rec.State, werr, test.state)
			}
			if test.commit != nil && !strings.Contains(rec.Reason, "commit failed") {
				t.Errorf("reason %q does not tell of the commit", rec.Reason)
			}
		})
	}
}

// What the task's result is must be known to be storable before anything is
// committed.
func TestProvide_ResultIsEncodedBeforeTheCommit(t *testing.T) {
	tx := runtime.NewKey[string]("tx", runtime.PerTask, nil)
	var ended error
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[int, string]("test.BadResult", retries(3))
	u.handle(app, func(ctx *runtime.Context, _ int) (string, error) {
		_, err := tx.Provide(ctx, func(context.Context) (string, func(error) error, error) {
			return "", func(err error) error { ended = err; return nil }, nil
		})
		return "\xff", err
	})
	start(t, app)
	if _, err := await(t, app, u.call(0)); err == nil || ended == nil || !strings.Contains(ended.Error(), "UTF-8") {
		t.Errorf("Wait %v, the transaction ended with %v; want it rolled back", err, ended)
	}
}

// Values of task scope that middleware opens before or after the task, or
// without calling it, are cleaned up all the same.
func TestProvide_TaskScopeOfMiddleware(t *testing.T) {
	key := runtime.NewKey[int]("value", runtime.PerTask, nil)
	var opened, closed atomic.Int32
	open := func(ctx context.Context) {
		_, _ = key.Provide(ctx, func(context.Context) (int, func(error) error, error) {
			opened.Add(1)
			return 1, func(error) error { closed.Add(1); return nil }, nil
		})
	}
	for name, mw := range map[string]func(next runtime.Handler) runtime.Handler{
		"before": func(next runtime.Handler) runtime.Handler {
			return func(ctx *runtime.Context) error { open(ctx); return next(ctx) }
		},
		"after": func(next runtime.Handler) runtime.Handler {
			return func(ctx *runtime.Context) error { err := next(ctx); open(ctx); return err }
		},
		"instead": func(runtime.Handler) runtime.Handler {
			return func(ctx *runtime.Context) error { open(ctx); return nil }
		},
		"instead, and panics": func(runtime.Handler) runtime.Handler {
			return func(ctx *runtime.Context) error { open(ctx); panic("x") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			opened.Store(0)
			closed.Store(0)
			_, _ = runUnit(t, runtime.Config{Middleware: []runtime.Middleware{mw}}, func(*runtime.Context) (runtime.Void, error) {
				return runtime.Void{}, nil
			})
			if opened.Load() != closed.Load() {
				t.Errorf("%d opened, %d closed", opened.Load(), closed.Load())
			}
		})
	}
}

// Proves: FEATURES 74
func TestContext_UseAfterTheRun(t *testing.T) {
	key := runtime.NewKey[int]("value", runtime.PerWorker, nil)
	for name, opts := range map[string][]runtime.Option{"plain": nil, "timeout": {runtime.WithTimeout(1 << 40)}} {
		t.Run(name, func(t *testing.T) {
			app := newUnitApp(t, runtime.Config{Workers: 1, KeepLogs: 10})
			var late *runtime.Context
			u := newUnit[int, runtime.Void]("test.Late")
			u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
				late = ctx
				ctx.Logger().Info("in time")
				_, err := runtime.Stored(ctx, key, func(context.Context) (int, error) { return 1, nil })
				return runtime.Void{}, err
			})
			start(t, app)
			if _, err := await(t, app, u.call(0, opts...)); err != nil {
				t.Fatal(err)
			}
			// The record is there before the run has let go of everything: the
			// next task of the only worker comes after that.
			if _, err := await(t, app, u.call(1)); err != nil {
				t.Fatal(err)
			}
			first := late
			if _, err := await(t, app, u.call(2)); err != nil {
				t.Fatal(err)
			}
			if _, err := runtime.Stored(first, key, func(context.Context) (int, error) { return 2, nil }); !errors.Is(err, runtime.ErrTaskDone) {
				t.Errorf("Keep: %v", err)
			}
			if first.Err() == nil || !errors.Is(context.Cause(first), runtime.ErrTaskDone) {
				t.Errorf("Err %v, cause %v", first.Err(), context.Cause(first))
			}
			select {
			case <-first.Done():
			default:
				t.Error("Done is not closed")
			}
			if err := first.Sleep(1 << 40); !errors.Is(err, runtime.ErrTaskDone) {
				t.Errorf("Sleep: %v", err)
			}
			if _, err := u.call(3).Enqueue(first, app); !errors.Is(err, runtime.ErrTaskDone) {
				t.Errorf("Enqueue: %v", err)
			}
			var b runtime.Batch
			runtime.AddTo(&b, u.call(4))
			runtime.AddTo(&b, u.call(5))
			if err := b.Enqueue(first, app); !errors.Is(err, runtime.ErrTaskDone) {
				t.Errorf("Batch: %v", err)
			}
			opened := func(context.Context) (int, func(error) error, error) { t.Error("opened"); return 2, nil, nil }
			for _, scope := range []runtime.Scope{runtime.PerTask, runtime.PerWorker, runtime.PerProcess} {
				k := runtime.NewKey[int]("late", scope, nil)
				if _, err := k.Provide(context.WithoutCancel(first), opened); !errors.Is(err, runtime.ErrTaskDone) {
					t.Errorf("Provide in the scope of a %s: %v", scope, err)
				}
			}
			first.Progress(1, 2, "late")
			first.Logger().Info("late")
			if _, err := first.Reload(); !errors.Is(err, runtime.ErrTaskDone) {
				t.Errorf("Reload: %v", err)
			}
			if _, err := first.Record(); !errors.Is(err, runtime.ErrTaskDone) {
				t.Errorf("Record: %v", err)
			}
			if rec, err := app.Lookup(context.Background(), first.Metadata().TaskID); err != nil || rec.Progress != nil || len(rec.Logs) != 1 {
				t.Errorf("the record is %+v, %v; want nothing on it that came late", rec, err)
			}
		})
	}
}

// Each value is made of the one before. While all workers are busy, again and
// again, those of the process are made once, those of a worker once for each,
// those of a task once for each run, and none is closed after what it is made of.
//
// Proves: FEATURES 59
func TestProvide_OncePerScope(t *testing.T) {
	const workers, rounds = 4, 3
	scopes := []runtime.Scope{
		runtime.PerProcess, runtime.PerProcess, runtime.PerWorker, runtime.PerWorker, runtime.PerTask, runtime.PerTask,
	}
	var made, closed [6]atomic.Int32
	var gone sync.Map // the names of closed values
	keys := make([]*runtime.Key[string], len(scopes))
	for i, s := range scopes {
		keys[i] = runtime.NewKey[string](fmt.Sprint("key ", i), s, nil)
	}
	var get func(ctx context.Context, i int) (string, error)
	get = func(ctx context.Context, i int) (string, error) {
		if i < 0 {
			return "nothing", nil
		}
		return keys[i].Provide(ctx, func(context.Context) (string, func(error) error, error) {
			of, err := get(ctx, i-1)
			name := fmt.Sprintf("%s value %d.%d", scopes[i], i, made[i].Add(1))
			return name, func(error) error {
				closed[i].Add(1)
				if _, late := gone.Load(of); late {
					t.Errorf("%s is closed after %s, of which it is made", name, of)
				}
				if _, twice := gone.LoadOrStore(name, true); twice {
					t.Errorf("%s is closed twice", name)
				}
				return nil
			}, err
		})
	}
	counts := func(of *[6]atomic.Int32) (n [6]int32) {
		for i := range of {
			n[i] = of[i].Load()
		}
		return n
	}
	var busy [rounds]sync.WaitGroup
	app := newUnitApp(t, runtime.Config{Workers: workers})
	u := newUnit[int, string]("test.Scopes")
	u.handle(app, func(ctx *runtime.Context, round int) (string, error) {
		busy[round].Done()
		busy[round].Wait() // until all workers are
		first, err := get(ctx, len(keys)-1)
		if again, aerr := get(ctx, len(keys)-1); again != first {
			return "", fmt.Errorf("%q, then %q, %w", first, again, aerr)
		}
		return first, err
	})
	start(t, app)
	for round := range int32(rounds) {
		busy[round].Add(workers)
		var b runtime.Batch
		var hs []*runtime.Handle[string]
		for range workers {
			hs = append(hs, runtime.AddTo(&b, u.call(int(round))))
		}
		if err := b.Enqueue(t.Context(), app); err != nil {
			t.Fatal(err)
		}
		for _, h := range hs {
			if _, err := h.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		runs := workers * (round + 1)
		if got, want := counts(&made), [6]int32{1, 1, workers, workers, runs, runs}; got != want {
			t.Errorf("after round %d %v values were made, want %v", round, got, want)
		}
		if got, want := counts(&closed), [6]int32{4: runs, 5: runs}; got != want {
			t.Errorf("after round %d %v values were closed, want %v", round, got, want)
		}
	}
	if err := app.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if m, c := counts(&made), counts(&closed); m != c {
		t.Errorf("%v values were made, %v closed", m, c)
	}
}
