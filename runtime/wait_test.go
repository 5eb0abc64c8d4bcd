package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// Proves: FEATURES 3, 58
func TestHandle_WaitReturnsATypedResult(t *testing.T) {
	type result struct {
		N  int64
		At time.Time
		L  []string
	}
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[int64, result]("test.Typed")
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.FixedZone("", 3600))
	u.handle(app, func(_ *runtime.Context, n int64) (result, error) { return result{n, at, []string{"a"}}, nil })
	start(t, app)
	ctx := context.Background()
	h, err := u.call(1<<62+1).Enqueue(ctx, app)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if r, err := h.Wait(ctx); err != nil || r.N != 1<<62+1 || !r.At.Equal(at) || len(r.L) != 1 {
			t.Errorf("%+v, %v", r, err)
		}
	}
	if _, err := runtime.HandleOf[[]int](app, h.ID()).Wait(ctx); err == nil {
		t.Error("a result was decoded as another type")
	}
	if _, err := runtime.HandleOf[runtime.Void](app, h.ID()).Wait(ctx); err != nil {
		t.Errorf("waiting without wanting the result: %v", err)
	}
}

// Proves: FEATURES 58
func TestHandle_WaitEndsWithItsContext(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[int, int]("test.NeverRuns")
	h, err := u.call(0).Enqueue(context.Background(), app)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errFlaky)
	if _, err := h.Wait(ctx); !errors.Is(err, errFlaky) {
		t.Errorf("%v, want the context's cause", err)
	}
}

func TestHandle_WaitInATask(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 2})
	child, parent := newUnit[int, int]("test.Child"), newUnit[int, int]("test.Parent", retries(3))
	durable := newUnit[int, int]("test.Durable", durably)
	child.handle(app, func(_ *runtime.Context, i int) (int, error) { return i + 1, nil })
	parent.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		h, err := child.call(1).Enqueue(ctx, ctx.App())
		if err != nil {
			return 0, err
		}
		return h.Wait(ctx)
	})
	durable.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		return runtime.Spawn(ctx, "child", child.call(1)).Await(ctx)
	})
	start(t, app)
	if _, err := await(t, app, parent.call(0)); err == nil || !strings.Contains(err.Error(), runtime.ErrWaitInTask.Error()) ||
		!strings.Contains(err.Error(), "runtime.Spawn") {
		t.Errorf("%v, want ErrWaitInTask", err)
	}
	children, _, err := app.List(context.Background(), engine.Query{Name: "test.Child"})
	if err != nil || len(children) != 1 {
		t.Errorf("it enqueued %d tasks to wait for, want 1, with no retry: %v", len(children), err)
	}
	if v, err := await(t, app, durable.call(0)); err != nil || v != 2 {
		t.Errorf("with Spawn: %d, %v", v, err)
	}
}

// pollEngine hides that the memory engine can tell when a task ends.
type pollEngine struct{ engine.Engine }

func TestHandle_WaitByPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := runtime.New(pollEngine{memory.New(memory.Config{})}, runtime.Config{})
		u := newUnit[int, int]("test.Polled")
		u.handle(app, func(ctx *runtime.Context, i int) (int, error) { return i, ctx.Sleep(time.Minute) })
		start(t, app)
		from := time.Now()
		if v, err := awaitLong(app, u.call(7)); err != nil || v != 7 || time.Since(from) > 61*time.Second {
			t.Errorf("%d, %v after %s", v, err, time.Since(from))
		}
		if err := app.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

// A tree of tasks, of which each enqueues one alone and two in a batch.
//
// Proves: FEATURES 77
func TestMetadata_ParentsAndRoots(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 13})
	u := newUnit[int, []string]("test.Tree")
	u.handle(app, func(ctx *runtime.Context, depth int) ([]string, error) {
		m := ctx.Metadata()
		lines := []string{fmt.Sprintf("%s %s %s", m.TaskID, m.ParentID, m.RootID)}
		if depth == 0 {
			return lines, nil
		}
		derived, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		alone, err := u.call(depth-1).Enqueue(derived, app)
		var b runtime.Batch
		first, second := runtime.AddTo(&b, u.call(depth-1)), runtime.AddTo(&b, u.call(depth-1))
		if err := errors.Join(err, b.Enqueue(derived, app)); err != nil {
			return nil, err
		}
		for _, h := range []*runtime.Handle[[]string]{alone, first, second} {
			below, err := h.Wait(context.Background()) // there are workers for all
			if err != nil {
				return nil, err
			}
			lines = append(lines, below...)
		}
		return lines, nil
	})
	start(t, app)
	lines, err := await(t, app, u.call(2))
	if err != nil || len(lines) != 13 {
		t.Fatal(lines, err)
	}
	root, children := strings.Fields(lines[0])[0], make(map[string]int)
	for _, line := range lines {
		f := strings.Fields(line)
		children[f[1]]++
		if f[2] != root {
			t.Errorf("%s: want the root %s", line, root)
		}
	}
	none := "00000000-0000-0000-0000-000000000000"
	if children[none] != 1 || children[root] != 3 || len(children) != 5 {
		t.Errorf("children by parent: %v, want one of none, three of the root %s, and three of each of them", children, root)
	}
	records, _, err := app.List(context.Background(), engine.Query{})
	if err != nil || len(records) != len(lines) {
		t.Fatal(records, err)
	}
	for _, r := range records {
		if line := fmt.Sprintf("%s %s %s", r.ID, r.ParentID, r.RootID); !slices.Contains(lines, line) {
			t.Errorf("a record says %s, no task did", line)
		}
	}
}
