package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/local"
)

// journal notes what is opened and closed, in order.
type journal struct {
	mu    sync.Mutex
	notes []string
}

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.notes = append(j.notes, fmt.Sprintf(format, args...))
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.notes)
}

// resource is a value of worker storage that detects a second user.
type resource struct {
	id     int64
	users  atomic.Int32
	closed atomic.Bool
}

func (r *resource) use() error {
	if r.users.Add(1) != 1 {
		return errors.New("two tasks use one worker's value")
	}
	defer r.users.Add(-1)
	if r.closed.Load() {
		return errors.New("value is used after it was closed")
	}
	return nil
}

// Proves: FEATURES 8, 11, 12, 13, 15, RELIABILITY 18, 20
func TestStored_TenThousandTasksOnEightWorkers(t *testing.T) {
	const tasks, workers = 10_000, 8
	var opened, closed atomic.Int64
	key := runtime.NewKey("resource", runtime.PerWorker, func(r *resource) error {
		closed.Add(1)
		if r.closed.Swap(true) {
			return errors.New("closed twice")
		}
		return nil
	})
	app := newUnitApp(t, runtime.Config{Workers: workers})
	type ran struct {
		N  int
		ID uuid.UUID
	}
	u := newUnit[int, ran]("test.Many")
	type many struct {
		*runtime.Context
		res *resource
	}
	glue.RegisterContext(app, func(ctx *runtime.Context) (*many, error) {
		res, err := runtime.Stored(ctx, key, func(context.Context) (*resource, error) {
			return &resource{id: opened.Add(1)}, nil
		})
		return &many{ctx, res}, err
	})
	glue.Register(app, u.task, func(ctx *many, a *unit[int]) (ran, error) {
		if err := ctx.res.use(); err != nil {
			return ran{}, runtime.Permanent(err)
		}
		m := ctx.Metadata()
		if m.Tags.Get("n") != fmt.Sprint(a.v) || m.MaxRetries != a.v%7 || m.Attempt != 0 || m.Name != "test.Many" {
			return ran{}, runtime.Permanent(fmt.Errorf("task %d has the metadata %+v", a.v, m))
		}
		goruntime.Gosched() // others run meanwhile
		again, _ := runtime.FromContext(context.WithValue(ctx, new(int), 0))
		if again.Metadata().TaskID != m.TaskID || !reflect.DeepEqual(ctx.Metadata(), m) {
			return ran{}, runtime.Permanent(errors.New("the task finds another"))
		}
		return ran{a.v, m.TaskID}, nil
	})
	start(t, app)
	ctx := context.Background()
	handles := make([]*runtime.Handle[ran], tasks)
	ids := make(map[string]bool, tasks)
	for i := range handles {
		h, err := u.call(i, runtime.WithTag("n", fmt.Sprint(i)), runtime.WithRetries(i%7)).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		handles[i], ids[h.ID().String()] = h, true
	}
	for i, h := range handles {
		if got, err := h.Wait(ctx); err != nil || got.N != i || got.ID != h.ID() {
			t.Fatalf("task %d, %s, returned %v, %v", i, h.ID(), got, err)
		}
	}
	if err := app.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if len(ids) != tasks {
		t.Errorf("%d ids for %d tasks", len(ids), tasks)
	}
	if n := opened.Load(); n == 0 || n > workers || closed.Load() != n {
		t.Errorf("%d values opened and %d closed, want at most one for each of %d workers, and all closed",
			n, closed.Load(), workers)
	}
	t.Logf("%d tasks on %d workers: %d values opened, %d closed", tasks, workers, opened.Load(), closed.Load())
}

// Proves: FEATURES 9
func TestContext_OneForEachRun(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 1})
	type own struct {
		*runtime.Context
		left string
	}
	glue.RegisterContext(app, func(ctx *runtime.Context) (*own, error) { return &own{Context: ctx}, nil })
	u := newUnit[int, runtime.Void]("test.Own", retries(2))
	glue.Register(app, u.task, func(ctx *own, a *unit[int]) (runtime.Void, error) {
		if ctx.left != "" {
			return runtime.Void{}, runtime.Permanent(errors.New("found " + ctx.left))
		}
		ctx.left = fmt.Sprint(a.v)
		if ctx.Metadata().Attempt < 2 {
			return runtime.Void{}, errFlaky
		}
		return runtime.Void{}, nil
	})
	start(t, app)
	for i := range 3 {
		if _, err := await(t, app, u.call(i)); err != nil {
			t.Fatal(err)
		}
	}
}

// Proves: FEATURES 12
func TestStored_OpeningIsSingleFlight(t *testing.T) {
	for _, scope := range []runtime.Scope{runtime.PerWorker, runtime.PerProcess} {
		synctest.Test(t, func(t *testing.T) {
			var opened atomic.Int32
			release := make(chan struct{})
			key := runtime.NewKey[int]("slow", scope, nil)
			app := newUnitApp(t, runtime.Config{Workers: 1})
			u := newUnit[int, runtime.Void]("test.SingleFlight")
			u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
				for range 10 {
					local.Go(ctx, local.Share, func(ctx context.Context) error {
						v, err := runtime.Stored(ctx, key, func(context.Context) (int, error) {
							<-release
							return int(opened.Add(1)), nil
						})
						if v != 1 || err != nil {
							return fmt.Errorf("got %d, %w", v, err)
						}
						return nil
					})
				}
				return runtime.Void{}, nil
			})
			start(t, app)
			h, err := u.call(0).Enqueue(context.Background(), app)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // all ten wait for the first
			close(release)
			if _, err := h.Wait(context.Background()); err != nil || opened.Load() != 1 {
				t.Errorf("opened %d times, %v", opened.Load(), err)
			}
		})
	}
}

// Proves: FEATURES 12, 59
func TestStored_FailedOpeningIsNotKept(t *testing.T) {
	for _, scope := range []runtime.Scope{runtime.PerWorker, runtime.PerProcess} {
		var opened int
		var closed []int
		key := runtime.NewKey("flaky", scope, func(v int) error { closed = append(closed, v); return nil })
		app := newUnitApp(t, runtime.Config{Workers: 1})
		u := newUnit[int, int]("test.FailedOpening", retries(1))
		u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
			return runtime.Stored(ctx, key, func(context.Context) (int, error) {
				if opened++; opened == 1 {
					return 1, errFlaky
				}
				return opened, nil
			})
		})
		start(t, app)
		for range 2 { // the second finds what the first task's retry opened
			if v, err := await(t, app, u.call(0)); err != nil || v != 2 {
				t.Errorf("got %d, %v; want the value of the second opening", v, err)
			}
		}
		if err := app.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		if opened != 2 || !slices.Equal(closed, []int{2}) {
			t.Errorf("opened %d times, closed %v; want the second closed, and only that", opened, closed)
		}
	}
}

// Proves: FEATURES 12, 59
func TestStored_ValuesCloseLastFirst(t *testing.T) {
	var j journal
	keys := make(map[string]*runtime.Key[string])
	for _, name := range []string{"w1", "w2", "w3"} {
		keys[name] = runtime.NewKey(name, runtime.PerWorker, func(v string) error { j.note("close %s", v); return nil })
	}
	for _, name := range []string{"p1", "p2"} {
		keys[name] = runtime.NewKey(name, runtime.PerProcess, func(v string) error { j.note("close %s", v); return nil })
	}
	task := runtime.NewKey[string]("t", runtime.PerTask, nil)
	app := newUnitApp(t, runtime.Config{Workers: 1})
	u := newUnit[int, runtime.Void]("test.Order")
	u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
		for _, name := range []string{"p1", "w1", "w2", "p2", "w3", "w1"} {
			if _, err := runtime.Stored(ctx, keys[name], func(context.Context) (string, error) {
				j.note("open %s", name)
				return name, nil
			}); err != nil {
				return runtime.Void{}, err
			}
		}
		_, err := task.Provide(ctx, func(context.Context) (string, func(error) error, error) {
			j.note("open t")
			return "t", func(error) error { j.note("close t"); return nil }, nil
		})
		return runtime.Void{}, err
	})
	start(t, app)
	for range 2 {
		if _, err := await(t, app, u.call(0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := app.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := strings.Fields("open_p1 open_w1 open_w2 open_p2 open_w3 open_t close_t open_t close_t " +
		"close_w3 close_w2 close_w1 close_p2 close_p1")
	for i := range want {
		want[i] = strings.ReplaceAll(want[i], "_", " ")
	}
	if got := j.all(); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// Proves: FEATURES 12, 18
func TestStored_BrokenSlotIsThrownAway(t *testing.T) {
	for name, crash := range map[string]func(){"panic": func() { panic("x") }, "goexit": goexit} {
		t.Run(name, func(t *testing.T) {
			var opened, closed []int
			key := runtime.NewKey("value", runtime.PerWorker, func(v int) error { closed = append(closed, v); return nil })
			app := newUnitApp(t, runtime.Config{Workers: 1})
			u := newUnit[bool, int]("test.Broken")
			u.handle(app, func(ctx *runtime.Context, bad bool) (int, error) {
				v, err := runtime.Stored(ctx, key, func(context.Context) (int, error) {
					opened = append(opened, len(opened)+1)
					return len(opened), nil
				})
				if bad {
					crash()
				}
				return v, err
			})
			start(t, app)
			for i, bad := range []bool{false, true, false, false} {
				v, err := await(t, app, u.call(bad))
				if bad != (err != nil) {
					t.Fatalf("task %d: %v", i, err)
				}
				if want := 1 + i/2; !bad && v != want {
					t.Errorf("task %d got the value %d, want %d", i, v, want)
				}
			}
			if !slices.Equal(closed, []int{1}) {
				t.Errorf("closed %v while the app runs, want the value of the broken slot", closed)
			}
			if err := app.Stop(context.Background()); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(opened, closed) {
				t.Errorf("opened %v, closed %v", opened, closed)
			}
		})
	}
}

// Proves: FEATURES 16
func TestStored_OutsideATask(t *testing.T) {
	key := runtime.NewKey[int]("value", runtime.PerWorker, nil)
	for _, ctx := range []context.Context{nil, context.Background(), (*runtime.Context)(nil), new(runtime.Context)} {
		_, err := runtime.Stored(ctx, key, func(context.Context) (int, error) { t.Error("opened"); return 1, nil })
		if !errors.Is(err, runtime.ErrNoTask) {
			t.Errorf("Keep with %T: %v", ctx, err)
		}
	}
}

// An open that asks for its own key is told so by its own context, and with the
// task's waits no longer than that.
func TestStored_InItsOwnOpen(t *testing.T) {
	stop := errors.New("stop")
	open := func(context.Context) (int, error) { t.Error("opened by the inner Keep"); return 1, nil }
	for name, key := range map[string]*runtime.Key[int]{
		"worker": runtime.NewKey[int]("value", runtime.PerWorker, nil), "process": runtime.NewKey[int]("value", runtime.PerProcess, nil),
	} {
		app := newUnitApp(t, runtime.Config{Workers: 1})
		u := newUnit[int, int]("test.Own")
		u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
			ended, end := context.WithCancelCause(ctx)
			return runtime.Stored(ctx, key, func(scope context.Context) (int, error) {
				if _, err := runtime.Stored(scope, key, open); !errors.Is(err, runtime.ErrNoTask) {
					t.Errorf("%s: Keep with the context of open: %v, want ErrNoTask", name, err)
				}
				end(stop)
				if _, err := runtime.Stored(ended, key, open); !errors.Is(err, stop) {
					t.Errorf("%s: Keep with the task's context, which has ended: %v, want its cause", name, err)
				}
				return 7, nil
			})
		})
		if err := app.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		if v, err := await(t, app, u.call(0)); v != 7 || err != nil {
			t.Errorf("%s: %d, %v, want what the outer open returned", name, v, err)
		}
		if err := app.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// The context that a provider of the worker gets outlives the task.
func TestProvide_ContextOfAWorkerProvider(t *testing.T) {
	type ctxKey struct{}
	key := runtime.NewKey[context.Context]("ctx", runtime.PerWorker, nil)
	app := newUnitApp(t, runtime.Config{Workers: 1})
	u := newUnit[int, runtime.Void]("test.Provider")
	var kept context.Context
	u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
		c, err := runtime.Stored(ctx, key, func(ctx context.Context) (context.Context, error) { return ctx, nil })
		kept = c
		if _, inTask := runtime.FromContext(c); inTask {
			return runtime.Void{}, runtime.Permanent(errors.New("the worker's context is a task's"))
		}
		return runtime.Void{}, errors.Join(err, c.Err())
	})
	if err := app.Start(context.WithValue(context.Background(), ctxKey{}, "v")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := await(t, app, u.call(0, runtime.WithTimeout(1<<40))); err != nil {
			t.Fatal(err)
		}
	}
	if kept.Value(ctxKey{}) != "v" {
		t.Error("the worker's context does not have the values of Start's")
	}
	if err := app.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if kept.Err() == nil {
		t.Error("the worker's context goes on after the worker")
	}
}
