package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/memory"
)

// Proves: FEATURES 39, RELIABILITY 6
func TestStop_UnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tasks = 1000
		eng := memory.New(memory.Config{})
		var mu sync.Mutex
		runs := make(map[int]int)
		stubborn := newUnit[int, runtime.Void]("test.Stubborn", retries(1))
		newApp := func() *runtime.App {
			app := runtime.New(eng, runtime.Config{
				Workers: 8, Logger: silent, ShutdownTimeout: 10 * time.Second, ShutdownGrace: time.Second,
			})
			stubborn.handle(app, func(_ *runtime.Context, i int) (runtime.Void, error) {
				mu.Lock()
				runs[i]++
				mu.Unlock()
				if i%5 == 0 {
					time.Sleep(time.Minute) // it ignores its context
				} else {
					time.Sleep(time.Second)
				}
				return runtime.Void{}, nil
			})
			return app
		}
		app := newApp()
		start(t, app)
		ctx := context.Background()
		handles := make([]*runtime.Handle[runtime.Void], tasks)
		for i := range handles {
			var err error
			if handles[i], err = stubborn.call(i).Enqueue(ctx, app); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3500 * time.Millisecond)
		from := time.Now()
		err := app.Stop(ctx)
		took := time.Since(from)
		var unfinished *engine.UnfinishedError
		if !errors.As(err, &unfinished) || len(unfinished.Tasks) == 0 {
			t.Fatalf("Stop: %v, want it to name what did not return", err)
		}
		if took < 10*time.Second || took > 11*time.Second {
			t.Errorf("Stop took %s, want the timeout and the grace", took)
		}
		for _, u := range unfinished.Tasks {
			if !strings.Contains(err.Error(), u.ID.String()) || u.Name != "test.Stubborn" {
				t.Errorf("%v does not name %+v", err, u)
			}
		}
		after := newApp()
		start(t, after)
		for i, h := range handles {
			h = runtime.HandleOf[runtime.Void](after, h.ID())
			if _, err := h.Wait(ctx); err != nil {
				t.Fatalf("task %d is lost: %v", i, err)
			}
		}
		twice := 0
		for i, n := range runs {
			if n > 1 {
				twice++
			}
			if n > 1 && i%5 != 0 {
				t.Errorf("task %d, which did return, ran %d times", i, n)
			}
		}
		if len(runs) != tasks || twice != len(unfinished.Tasks) {
			t.Errorf("%d of %d tasks ran, %d twice; want those %d that did not return", len(runs), tasks, twice, len(unfinished.Tasks))
		}
		if err := after.Stop(ctx); err != nil {
			t.Error(err)
		}
		t.Logf("stopped in %s under a load of %d: %d did not return and ran again, none lost", took, tasks, twice)
	})
}

// Proves: FEATURES 39, RELIABILITY 6
func TestStop_LetsRunningTasksEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{ShutdownTimeout: time.Minute})
		u := newUnit[int, runtime.Void]("test.Quick")
		u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
			return runtime.Void{}, ctx.Sleep(30 * time.Second)
		})
		start(t, app)
		ctx := context.Background()
		h, err := u.call(0).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		from := time.Now()
		if err := app.Stop(ctx); err != nil || time.Since(from) != 30*time.Second {
			t.Errorf("Stop: %v after %s, want it to wait for the task", err, time.Since(from))
		}
		if _, err := h.Wait(ctx); err != nil {
			t.Errorf("the task: %v", err)
		}
	})
}

// A task that ends when it is told to is given back, and has used no attempt.
//
// Proves: FEATURES 37, 39, 50
func TestStop_TaskIsPendingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{ShutdownTimeout: time.Minute, KeepLogs: 10})
		u := newUnit[int, int]("test.Interrupted", retries(1))
		var causes []error
		u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
			ctx.Logger().Info("begun")
			if len(causes) > 0 {
				return ctx.Metadata().Attempt, nil
			}
			err := ctx.Sleep(time.Hour)
			causes = append(causes, err)
			return 0, fmt.Errorf("interrupted: %w", err)
		})
		start(t, app)
		ctx := context.Background()
		h, err := u.call(0).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		from := time.Now()
		if err := app.Stop(ctx); err != nil || time.Since(from) != time.Minute {
			t.Errorf("Stop: %v after %s", err, time.Since(from))
		}
		if len(causes) != 1 || !errors.Is(causes[0], engine.ErrShutdown) {
			t.Errorf("causes %v, want ErrShutdown", causes)
		}
		if rec, err := h.Record(ctx); err != nil || rec.State != engine.StatePending || rec.Attempt != 0 {
			t.Errorf("%s at attempt %d, %v; want it pending at the first", rec.State, rec.Attempt, err)
		}
		start(t, app)
		if attempt, err := h.Wait(ctx); err != nil || attempt != 0 {
			t.Errorf("after the restart: attempt %d, %v", attempt, err)
		}
		if rec, err := h.Record(ctx); err != nil || len(rec.Logs) != 2 {
			t.Errorf("logs %+v, %v; want those of both runs", rec.Logs, err)
		}
	})
}

// Proves: RELIABILITY 6
func TestStop_ReturnsByItsDeadline(t *testing.T) {
	blocked := runtime.NewKey("blocked", runtime.PerWorker, func(chan struct{}) error { return nil })
	for name, test := range map[string]struct {
		limit time.Duration
		stop  func(ctx context.Context) error // what the task does
		clean bool
	}{
		"task that ends by its context": {time.Second, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, true},
		"task that does not":            {10 * time.Second, func(context.Context) error { time.Sleep(time.Hour); return nil }, false},
		"no time at all":                {-time.Second, func(context.Context) error { time.Sleep(time.Hour); return nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app := runtime.New(memory.New(memory.Config{}), runtime.Config{Logger: silent})
				u := newUnit[int, runtime.Void]("test.Deadline")
				u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
					if _, err := runtime.Stored(ctx, blocked, func(context.Context) (chan struct{}, error) { return nil, nil }); err != nil {
						return runtime.Void{}, err
					}
					return runtime.Void{}, test.stop(ctx)
				})
				start(t, app)
				if _, err := u.call(0).Enqueue(context.Background(), app); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				from := time.Now()
				ctx, cancel := context.WithTimeout(context.Background(), test.limit)
				defer cancel()
				err := app.Stop(ctx)
				if took, most := time.Since(from), max(test.limit, 200*time.Millisecond); took > most {
					t.Errorf("Stop took %s, want %s at most", took, most)
				}
				if test.clean != (err == nil) {
					t.Errorf("Stop: %v", err)
				}
				time.Sleep(2 * time.Hour) // until the task has returned
			})
		})
	}
}

// Proves: RELIABILITY 5, 6
func TestStop_WithBlockingHooks(t *testing.T) {
	for _, scope := range []runtime.Scope{runtime.PerWorker, runtime.PerProcess} {
		t.Run("close of the "+scope.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				key := runtime.NewKey("blocked", scope, func(c chan struct{}) error { <-c; return nil })
				app := runtime.New(memory.New(memory.Config{}), runtime.Config{ShutdownGrace: time.Second, Logger: silent})
				u := newUnit[int, runtime.Void]("test.Blocked")
				u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
					_, err := runtime.Stored(ctx, key, func(context.Context) (chan struct{}, error) { return release, nil })
					return runtime.Void{}, err
				})
				start(t, app)
				if _, err := await(t, app, u.call(0)); err != nil {
					t.Fatal(err)
				}
				from := time.Now()
				if err := app.Stop(context.Background()); err == nil || time.Since(from) > time.Second {
					t.Errorf("Stop: %v after %s, want an error after the grace", err, time.Since(from))
				}
				close(release)
			})
		})
	}
	// The grace bounds it, and the deadline of the stop if that is sooner.
	for name, c := range map[string]struct{ grace, within, most time.Duration }{
		"observer": {time.Second, time.Hour, time.Second}, "observer, a deadline": {time.Minute, 2 * time.Second, 2 * time.Second},
		"observer, in one call": {time.Minute, time.Hour, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				var log safeBuffer
				app := runtime.New(memory.New(memory.Config{}), runtime.Config{
					ShutdownGrace: c.grace, Logger: textLogger(&log),
					Observers: []hook.Observer{hook.ObserverFunc(func(hook.Event) { <-release })},
				})
				u := newUnit[int, runtime.Void]("test.Blocked")
				u.handle(app, func(*runtime.Context, int) (runtime.Void, error) { return runtime.Void{}, nil })
				start(t, app)
				if _, err := await(t, app, u.call(0)); err != nil {
					t.Errorf("a task behind an observer that blocks: %v", err)
				}
				from := time.Now()
				ctx, cancel := context.WithTimeout(context.Background(), c.within)
				defer cancel()
				if err := app.Stop(ctx); err != nil || time.Since(from) > c.most {
					t.Errorf("Stop: %v after %s", err, time.Since(from))
				}
				if !strings.Contains(log.String(), "an observer blocks") {
					t.Errorf("the log does not say why: %s", log.String())
				}
				close(release)
			})
		})
	}
}

// Proves: RELIABILITY 8
func TestStop_AndStartFromManyGoroutines(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 2, ShutdownTimeout: time.Second})
	var opened, closed atomic.Int64
	key := runtime.NewKey("value", runtime.PerWorker, func(int) error { closed.Add(1); return nil })
	process := runtime.NewKey("value", runtime.PerProcess, func(int) error { closed.Add(1); return nil })
	u := newUnit[int, runtime.Void]("test.Restart")
	u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
		for _, k := range []*runtime.Key[int]{key, process} {
			if _, err := runtime.Stored(ctx, k, func(context.Context) (int, error) { opened.Add(1); return 1, nil }); err != nil {
				return runtime.Void{}, err
			}
		}
		return runtime.Void{}, nil
	})
	ctx := context.Background()
	var wg sync.WaitGroup
	var started, refused atomic.Int64
	for g := range 16 {
		wg.Go(func() {
			for i := range 50 {
				switch (g + i) % 3 {
				case 0:
					switch err := app.Start(ctx); {
					case err == nil:
						started.Add(1)
					case errors.Is(err, runtime.ErrStarted):
						refused.Add(1)
					default:
						t.Errorf("Start: %v", err)
					}
				case 1:
					if err := app.Stop(ctx); err != nil {
						t.Errorf("Stop: %v", err)
					}
				default:
					if _, err := u.call(i).Enqueue(ctx, app); err != nil {
						t.Errorf("Enqueue: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
	for range 2 {
		if err := app.Stop(ctx); err != nil {
			t.Errorf("Stop again: %v", err)
		}
	}
	start(t, app)
	if _, err := await(t, app, u.call(0)); err != nil {
		t.Errorf("after all that: %v", err)
	}
	if err := app.Stop(ctx); err != nil {
		t.Error(err)
	}
	if opened.Load() != closed.Load() || opened.Load() == 0 {
		t.Errorf("%d values opened, %d closed", opened.Load(), closed.Load())
	}
	t.Logf("%d starts, %d refused; %d values opened, %d closed", started.Load(), refused.Load(), opened.Load(), closed.Load())
}

func TestRun_EndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		app := newUnitApp(t, runtime.Config{})
		u := newUnit[int, string]("test.Run")
		u.handle(app, func(ctx *runtime.Context, _ int) (string, error) {
			v, _ := ctx.Value(key{}).(string)
			return v, ctx.Sleep(time.Second)
		})
		ctx, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "v"))
		ended := make(chan error, 1)
		go func() { ended <- app.Run(ctx) }()
		synctest.Wait()
		if err := app.Run(context.Background()); !errors.Is(err, runtime.ErrStarted) {
			t.Errorf("a second Run: %v", err)
		}
		h, err := u.call(0).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if v, err := h.Wait(context.Background()); err != nil || v != "v" {
			t.Errorf("the task got %q, %v; want Run's value, and no end with Run's context", v, err)
		}
	})
}

// failingEngine is an engine whose Serve ends by itself.
type failingEngine struct {
	*memory.Engine
	serve func() error
}

func (e failingEngine) Serve(context.Context, *engine.Worker) error { return e.serve() }

func TestRun_EngineThatFails(t *testing.T) {
	errDisk := errors.New("disk full")
	for name, serve := range map[string]func() error{
		"error": func() error { return errDisk }, "panic": func() error { panic(errDisk) },
		"goexit": func() error { goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			var log safeBuffer
			app := runtime.New(failingEngine{newMemory(t), serve}, runtime.Config{Logger: textLogger(&log)})
			err := app.Run(context.Background())
			if err == nil || name != "goexit" && !errors.Is(err, errDisk) {
				t.Errorf("Run: %v", err)
			}
			if !strings.Contains(log.String(), "engine failed") {
				t.Errorf("not logged: %s", log.String())
			}
			if err := app.Stop(context.Background()); err != nil {
				t.Errorf("Stop: %v", err)
			}
		})
	}
}

// Proves: FEATURES 79, RELIABILITY 7
func TestWorkers_BoundRunningTasks(t *testing.T) {
	const workers, tasks = 4, 400
	var running, most atomic.Int32
	slot := runtime.NewKey[*resource]("slot", runtime.PerWorker, nil)
	cfg := runtime.Config{Workers: workers, Middleware: []runtime.Middleware{
		// A middleware that gives up on the task, and leaves it running.
		func(next runtime.Handler) runtime.Handler {
			return func(ctx *runtime.Context) error {
				done := make(chan error, 1)
				go func() { done <- next(ctx) }()
				select {
				case err := <-done:
					return err
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
		},
	}}
	app := newUnitApp(t, cfg)
	u := newUnit[int, runtime.Void]("test.Ignores", retries(1))
	u.handle(app, func(ctx *runtime.Context, i int) (runtime.Void, error) {
		for n := running.Add(1); ; {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		defer running.Add(-1)
		r, err := runtime.Stored(ctx, slot, func(context.Context) (*resource, error) { return new(resource), nil })
		if err != nil {
			return runtime.Void{}, err
		}
		if err := r.use(); err != nil {
			t.Error(err)
		}
		<-ctx.Done() // and then goes on, whatever its context says
		time.Sleep(time.Duration(i%3) * time.Millisecond)
		if i%7 == 0 {
			panic("late")
		}
		return runtime.Void{}, errFlaky
	})
	start(t, app)
	ctx := context.Background()
	var handles []*runtime.Handle[runtime.Void]
	for i := range tasks {
		h, err := u.call(i, runtime.WithTimeout(time.Millisecond)).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		handles = append(handles, h)
	}
	for _, h := range handles {
		if _, err := h.Wait(ctx); err == nil {
			t.Error("a task that ran out of time succeeded")
		}
	}
	if err := app.Stop(ctx); err != nil {
		t.Error(err)
	}
	if most.Load() > workers || running.Load() != 0 {
		t.Errorf("%d ran at a time with %d workers, %d still do", most.Load(), workers, running.Load())
	}
	t.Logf("%d runs past their timeouts: at most %d at a time with %d workers", 2*tasks, most.Load(), workers)
}
