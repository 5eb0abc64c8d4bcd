package runtime_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskctx/taskctx/runtime"
)

// Proves: FEATURES 61
func TestMiddleware_HasTheLastWord(t *testing.T) {
	wrap := func(f func(ctx *runtime.Context, next runtime.Handler) error) runtime.Config {
		return runtime.Config{Workers: 1, Middleware: []runtime.Middleware{func(next runtime.Handler) runtime.Handler {
			return func(ctx *runtime.Context) error { return f(ctx, next) }
		}}}
	}
	for name, test := range map[string]struct {
		cfg  runtime.Config
		err  error
		want string // of the error; empty is success
	}{
		"adds an error":      {wrap(func(ctx *runtime.Context, next runtime.Handler) error { return errors.Join(next(ctx), errFlaky) }), nil, "flaky"},
		"swallows the error": {wrap(func(ctx *runtime.Context, next runtime.Handler) error { _ = next(ctx); return nil }), errFlaky, ""},
		"does not call it":   {wrap(func(*runtime.Context, runtime.Handler) error { return errFlaky }), nil, "flaky"},
		"calls it twice":     {wrap(func(ctx *runtime.Context, next runtime.Handler) error { _ = next(ctx); return next(ctx) }), nil, "twice"},
		"cancels":            {wrap(func(*runtime.Context, runtime.Handler) error { return runtime.Cancelled("by middleware") }), nil, "by middleware"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := runUnit(t, test.cfg, func(*runtime.Context) (runtime.Void, error) { return runtime.Void{}, test.err })
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// A task that did not run has no result: the zero value.
func TestMiddleware_ResultWithoutTheTask(t *testing.T) {
	cfg := runtime.Config{Middleware: []runtime.Middleware{func(runtime.Handler) runtime.Handler {
		return func(*runtime.Context) error { return nil }
	}}}
	v, err := runUnit(t, cfg, func(*runtime.Context) (string, error) { return "ran", nil })
	if err != nil || v != "" {
		t.Errorf("%q, %v; want the zero value", v, err)
	}
}

// Middleware that returns before the task does, or calls it when it is too
// late, frees no slot that is in use.
//
// Proves: FEATURES 79
func TestMiddleware_ThatDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late sync.WaitGroup
		var lateErr error
		cfg := runtime.Config{Workers: 1, Logger: silent, Middleware: []runtime.Middleware{func(next runtime.Handler) runtime.Handler {
			return func(ctx *runtime.Context) error {
				switch ctx.Metadata().Tags.Get("how") {
				case "leaves":
					go func() { _ = next(ctx) }()
					return ctx.Sleep(time.Second) // the task runs by now
				case "late":
					late.Go(func() {
						time.Sleep(time.Minute)
						lateErr = next(ctx)
					})
					return nil
				}
				return next(ctx)
			}
		}}}
		app := newUnitApp(t, cfg)
		u := newUnit[int, time.Time]("test.Left")
		ran := 0
		u.handle(app, func(*runtime.Context, int) (time.Time, error) {
			ran++
			time.Sleep(time.Hour)
			return time.Now(), nil
		})
		start(t, app)
		ctx := context.Background()
		first, err := u.call(0, runtime.WithTag("how", "leaves"), runtime.WithKeep(100*time.Hour)).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		from := time.Now()
		if _, err := awaitLong(app, u.call(1)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(from); took < 2*time.Hour {
			t.Errorf("two tasks of an hour took %s on one worker", took)
		}
		if _, err := first.Wait(ctx); err != nil {
			t.Error(err)
		}
		ran = 0
		if _, err := awaitLong(app, u.call(2, runtime.WithTag("how", "late"))); err != nil {
			t.Fatal(err)
		}
		late.Wait()
		if lateErr == nil || ran != 0 {
			t.Errorf("the task ran %d times after its run had ended, %v", ran, lateErr)
		}
	})
}
