package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/memory"
)

func TestEnqueueMiddleware(t *testing.T) {
	var seen []string
	tell := func(name string) runtime.EnqueueMiddleware {
		return func(next runtime.EnqueueHandler) runtime.EnqueueHandler {
			return func(ctx context.Context, calls []runtime.AnyCall) ([]engine.Inserted, error) {
				seen = append(seen, fmt.Sprint(name, " ", len(calls), " ", calls[0].Name(), " ", string(calls[0].Args())))
				for i := range calls {
					calls[i] = calls[i].With(runtime.WithTag(name, "yes"))
				}
				ins, err := next(context.WithValue(ctx, ctxKey{}, name), calls)
				seen = append(seen, fmt.Sprint(name, " ", len(ins), " ", err))
				return ins, err
			}
		}
	}
	cfg := runtime.Config{
		EnqueueMiddleware: []runtime.EnqueueMiddleware{tell("a"), tell("b")},
		Propagators:       []hook.Propagator{carry{}},
	}
	app := newUnitApp(t, cfg)
	u := newUnit[int, string]("test.Unit")
	u.handle(app, func(ctx *runtime.Context, _ int) (string, error) {
		tags := ctx.Metadata().Tags
		return fmt.Sprint(tags.Get("a"), tags.Get("b"), ctx.Value(ctxKey{})), nil
	})
	start(t, app)
	if got, err := await(t, app, u.call(1)); got != "yesyesb" || err != nil {
		t.Errorf("the task sees %q, %v", got, err)
	}
	if want := []string{`a 1 test.Unit {"v":1}`, `b 1 test.Unit {"v":1}`, "b 1 <nil>", "a 1 <nil>"}; !slices.Equal(seen, want) {
		t.Errorf("the middleware saw %q, want %q", seen, want)
	}
	var b runtime.Batch
	first, second := runtime.AddTo(&b, u.call(1)), runtime.AddTo(&b, u.call(2))
	seen = nil
	if err := b.Enqueue(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*runtime.Handle[string]{first, second} {
		if got, err := h.Wait(t.Context()); got != "yesyesb" || err != nil {
			t.Errorf("a task of the batch sees %q, %v", got, err)
		}
	}
	if want := []string{`a 2 test.Unit {"v":1}`, `b 2 test.Unit {"v":1}`, "b 2 <nil>", "a 2 <nil>"}; !slices.Equal(seen, want) {
		t.Errorf("the middleware saw %q, want %q", seen, want)
	}
	recorder := memory.New(memory.Config{})
	defer recorder.Close()
	seen = nil
	if _, err := u.call(3).Enqueue(t.Context(), app.Via(recorder)); err != nil || len(seen) != 4 {
		t.Errorf("by Via the middleware saw %q, %v", seen, err)
	}
}

// carry is a propagator of the value of ctxKey.
type carry struct{}

func (carry) Inject(ctx context.Context, headers map[string]string) {
	headers["carry"] = fmt.Sprint(ctx.Value(ctxKey{}))
}

func (carry) Extract(ctx context.Context, headers map[string]string) context.Context {
	return context.WithValue(ctx, ctxKey{}, headers["carry"])
}

func TestEnqueueMiddleware_Failing(t *testing.T) {
	tests := map[string]runtime.EnqueueMiddleware{
		"refused": func(runtime.EnqueueHandler) runtime.EnqueueHandler {
			return func(context.Context, []runtime.AnyCall) ([]engine.Inserted, error) {
				return nil, errors.New("refused")
			}
		},
		"panic: boom": func(runtime.EnqueueHandler) runtime.EnqueueHandler {
			return func(context.Context, []runtime.AnyCall) ([]engine.Inserted, error) { panic("boom") }
		},
		"answered for 0 of 1": func(runtime.EnqueueHandler) runtime.EnqueueHandler {
			return func(context.Context, []runtime.AnyCall) ([]engine.Inserted, error) { return nil, nil }
		},
		"made no handler": func(runtime.EnqueueHandler) runtime.EnqueueHandler { return nil },
		"panic: early":    func(runtime.EnqueueHandler) runtime.EnqueueHandler { panic("early") },
	}
	for want, m := range tests {
		eng := memory.New(memory.Config{})
		app := runtime.New(eng, runtime.Config{EnqueueMiddleware: []runtime.EnqueueMiddleware{m}})
		u := newUnit[int, int]("test.Unit")
		var b runtime.Batch
		runtime.AddTo(&b, u.call(1))
		_, err := u.call(1).Enqueue(t.Context(), app)
		for _, err := range []error{err, b.Enqueue(t.Context(), app)} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
		if all, _, err := app.List(t.Context(), engine.Query{}); len(all) != 0 || err != nil {
			t.Errorf("%s: %d tasks were enqueued, %v", want, len(all), err)
		}
		if err := eng.Close(); err != nil {
			t.Error(err)
		}
	}
	app := newUnitApp(t, runtime.Config{EnqueueMiddleware: []runtime.EnqueueMiddleware{nil}})
	if err := app.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "Config.EnqueueMiddleware[0] is nil") {
		t.Errorf("Start: %v", err)
	}
}
