package runtime_test

import (
	"context"
	"errors"
	goruntime "runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/local"
)

// Proves: FEATURES 27
func TestGo_ChildSeesTheTask(t *testing.T) {
	_, err := runUnit(t, runtime.Config{}, func(ctx *runtime.Context) (int, error) {
		for _, mode := range []local.ForkMode{local.Copy, local.Share, local.Overlay} {
			err := local.Go(ctx, mode, func(child context.Context) error {
				c, ok := runtime.FromContext(child)
				if !ok || c.Metadata().TaskID != ctx.Metadata().TaskID {
					return errors.New("the child does not see its task")
				}
				return nil
			}).Wait()
			if err != nil {
				return 0, err
			}
		}
		return 0, nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestGo_ChildEndsBeforeTheCleanups(t *testing.T) {
	var childEnded, cleanedEarly atomic.Bool
	release := make(chan struct{})
	key := runtime.NewKey[int]("tx", runtime.PerTask, nil)
	_, err := runUnit(t, runtime.Config{}, func(ctx *runtime.Context) (int, error) {
		_, err := key.Provide(ctx, func(context.Context) (int, func(error) error, error) {
			return 0, func(error) error { cleanedEarly.Store(!childEnded.Load()); return nil }, nil
		})
		local.Go(ctx, local.Copy, func(ctx context.Context) error {
			// A child may start another when its task has returned.
			local.Go(ctx, local.Copy, func(context.Context) error {
				<-release
				childEnded.Store(true)
				return nil
			})
			return nil
		})
		go close(release)
		return 0, err
	})
	if err != nil || !childEnded.Load() || cleanedEarly.Load() {
		t.Errorf("error %v, child ended %t, cleanup ran before it %t", err, childEnded.Load(), cleanedEarly.Load())
	}
}

func TestGo_ErrorsOfChildren(t *testing.T) {
	errChild := errors.New("child failed")
	tests := []struct {
		name string
		fn   func(ctx *runtime.Context) error
		want string // in the task's error; empty: it succeeds
		not  string
	}{
		{name: "error", want: "child failed", fn: func(ctx *runtime.Context) error {
			local.Go(ctx, local.Copy, func(context.Context) error { return errChild })
			return nil
		}},
		{name: "panic", want: "panic: boom", fn: func(ctx *runtime.Context) error {
			local.Go(ctx, local.Copy, func(context.Context) error { panic("boom") })
			return nil
		}},
		{name: "goexit", want: "Goexit", fn: func(ctx *runtime.Context) error {
			local.Go(ctx, local.Copy, func(context.Context) error { goruntime.Goexit(); return nil })
			return nil
		}},
		{name: "nil function", want: "nil pointer", fn: func(ctx *runtime.Context) error {
			local.Go(ctx, local.Copy, nil)
			return nil
		}},
		{name: "waited for", fn: func(ctx *runtime.Context) error {
			err := local.Go(ctx, local.Copy, func(context.Context) error { panic("boom") }).Wait()
			var p *runtime.PanicError
			if !errors.As(err, &p) || len(p.Stack) == 0 {
				return errors.New("Wait did not return the panic")
			}
			return nil
		}},
		{name: "the task's own first", want: "own; then a child: child failed", fn: func(ctx *runtime.Context) error {
			local.Go(ctx, local.Copy, func(context.Context) error { return errChild })
			return errors.New("own")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			app := newUnitApp(t, runtime.Config{})
			u := newUnit[int, int]("test.Unit")
			u.handle(app, func(ctx *runtime.Context, _ int) (int, error) { return 1, tt.fn(ctx) })
			start(t, app)
			_, err := await(t, app, u.call(0))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("the task ends with %v, want %q", err, tt.want)
			}
		})
	}
}

func TestGo_PanicThrowsTheSlotAway(t *testing.T) {
	key := runtime.NewKey[int]("opened", runtime.PerWorker, nil)
	var opened atomic.Int64
	app := newUnitApp(t, runtime.Config{Workers: 1})
	u := newUnit[bool, int]("test.Unit")
	u.handle(app, func(ctx *runtime.Context, fail bool) (int, error) {
		n, err := runtime.Stored(ctx, key, func(context.Context) (int, error) { return int(opened.Add(1)), nil })
		if fail {
			local.Go(ctx, local.Copy, func(context.Context) error { panic("boom") })
		}
		return n, err
	})
	start(t, app)
	for i, want := range []int{1, 0, 2} { // the second fails
		if n, _ := await(t, app, u.call(i == 1)); n != want {
			t.Errorf("task %d has value %d, want %d", i, n, want)
		}
	}
}

func TestGo_ChildOfMiddlewareIsWaitedFor(t *testing.T) {
	var ended atomic.Bool
	release := make(chan struct{})
	cfg := runtime.Config{Middleware: []runtime.Middleware{func(runtime.Handler) runtime.Handler {
		return func(ctx *runtime.Context) error { // does not call the task
			local.Go(ctx, local.Copy, func(context.Context) error { <-release; ended.Store(true); return nil })
			go close(release)
			return nil
		}
	}}}
	_, err := runUnit(t, cfg, func(*runtime.Context) (runtime.Void, error) { return runtime.Void{}, nil })
	if err != nil || !ended.Load() {
		t.Errorf("error %v, the child ended first: %t", err, ended.Load())
	}
}

func TestGo_OutsideATask(t *testing.T) {
	loc := local.New[int]("n")
	ctx := local.With(context.Background())
	if err := loc.Set(ctx, 1); err != nil {
		t.Fatal(err)
	}
	c := local.Go(ctx, local.Copy, func(ctx context.Context) error {
		if loc.GetOr(ctx, 0) != 1 {
			return errors.New("the child does not see the local")
		}
		return loc.Set(ctx, 2)
	})
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	<-c.Done()
	if v := loc.GetOr(ctx, 0); v != 1 {
		t.Errorf("the child has changed its parent's local to %d", v)
	}
}
