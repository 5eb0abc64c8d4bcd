package runtime_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
)

// headerValue carries a value of the enqueuer's context.
type headerValue struct{ header string }

func (p headerValue) Inject(ctx context.Context, headers map[string]string) {
	if v, ok := ctx.Value(p).(string); ok {
		headers[p.header] = v
	}
}

func (p headerValue) Extract(ctx context.Context, headers map[string]string) context.Context {
	v, ok := headers[p.header]
	clear(headers) // its own copy
	if !ok {
		return nil
	}
	return context.WithValue(ctx, p, v)
}

// Proves: FEATURES 28
func TestPropagator(t *testing.T) {
	one, two := headerValue{"one"}, headerValue{"two"}
	app := newUnitApp(t, runtime.Config{Workers: 1, Propagators: []hook.Propagator{one, two}})
	u := newUnit[int, string]("test.Propagated", retries(1))
	u.handle(app, func(ctx *runtime.Context, depth int) (string, error) {
		if depth > 0 { // what travelled travels on
			h, err := u.call(depth-1).Enqueue(ctx, app)
			if err != nil {
				return "", err
			}
			return h.ID().String(), nil
		}
		if ctx.Metadata().Attempt == 0 {
			return "", errFlaky
		}
		return fmt.Sprintf("%v %v", ctx.Value(one), ctx.Value(two)), nil
	})
	start(t, app)
	ctx := context.WithValue(context.WithValue(context.Background(), one, "req-1"), two, "req-2")
	enqueue := func(ctx context.Context, depth int) string {
		h, err := u.call(depth).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		got, err := h.Wait(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := enqueue(ctx, 0); got != "req-1 req-2" {
		t.Errorf("got %q", got)
	}
	if got := enqueue(context.Background(), 0); got != "<nil> <nil>" {
		t.Errorf("without any: %q", got)
	}
	enqueue(ctx, 1)
	records, _, err := app.List(context.Background(), engine.Query{})
	if err != nil {
		t.Fatal(err)
	}
	child := records[len(records)-1]
	if got, err := runtime.HandleOf[string](app, child.ID).Wait(context.Background()); err != nil || got != "req-1 req-2" {
		t.Errorf("a task's task: %q, %v", got, err)
	}
	bad := context.WithValue(context.Background(), one, "a\x00b")
	if _, err := u.call(0).Enqueue(bad, app); err == nil || !strings.Contains(err.Error(), "header") {
		t.Errorf("a header that cannot be stored: %v", err)
	}
}
