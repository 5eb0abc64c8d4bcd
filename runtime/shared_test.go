package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/local"
)

// Proves: FEATURES 60
func TestShared_ByAllTasksOfTheApp(t *testing.T) {
	const tasks = 200
	made := 0
	seen := runtime.NewShared("seen", func() map[int]bool { made++; return make(map[int]bool) })
	app := newUnitApp(t, runtime.Config{Workers: 8})
	u := newUnit[int, int]("test.Unit")
	u.handle(app, func(ctx *runtime.Context, i int) (n int, _ error) {
		return n, seen.Update(ctx, func(m *map[int]bool) error {
			(*m)[i] = true
			n = len(*m)
			return nil
		})
	})
	start(t, app)
	var b runtime.Batch
	handles := make([]*runtime.Handle[int], tasks)
	for i := range handles {
		handles[i] = runtime.AddTo(&b, u.call(i))
	}
	if err := b.Enqueue(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	var lengths []int
	for _, h := range handles {
		n, err := h.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		lengths = append(lengths, n)
	}
	slices.Sort(lengths)
	for i, n := range lengths {
		if n != i+1 {
			t.Fatalf("an update was lost: %v", lengths)
		}
	}
	if made != 1 {
		t.Errorf("the first value was made %d times", made)
	}
	// Another app has a value of its own.
	n, err := runUnit(t, runtime.Config{}, func(ctx *runtime.Context) (n int, _ error) {
		return n, seen.Update(ctx, func(m *map[int]bool) error { n = len(*m); return nil })
	})
	if n != 0 || err != nil {
		t.Errorf("another app sees %d values, %v", n, err)
	}
}

// Proves: FEATURES 60, 74
func TestShared(t *testing.T) {
	n, list := runtime.NewShared[int]("n", nil), runtime.NewShared("list", func() *cart { return &cart{[]string{"a"}} })
	var kept context.Context
	_, err := runUnit(t, runtime.Config{}, func(ctx *runtime.Context) (int, error) {
		kept = ctx
		if v, err := n.Get(ctx); v != 0 || err != nil {
			return 0, fmt.Errorf("at first %d, %w", v, err)
		}
		if err := n.Set(ctx, 5); err != nil {
			return 0, err
		}
		errMine := errors.New("mine")
		if err := n.Update(ctx, func(v *int) error { *v++; return errMine }); err != errMine {
			return 0, fmt.Errorf("Update: %w", err)
		}
		_ = local.Go(ctx, local.Copy, func(ctx context.Context) error {
			return n.Update(ctx, func(*int) error { panic("boom") })
		}).Wait()
		if v, err := n.Get(ctx); v != 6 || err != nil { // the lock is free again
			return 0, fmt.Errorf("in the end %d, %w", v, err)
		}
		got, err := list.Get(ctx)
		if err != nil {
			return 0, err
		}
		got.items[0] = "changed"
		if got, err = list.Get(ctx); err != nil || got.items[0] != "a" {
			return 0, fmt.Errorf("Get did not clone: %v, %w", got, err)
		}
		return 0, nil
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := n.Get(kept); !errors.Is(err, runtime.ErrTaskDone) {
		t.Errorf("after the task: %v, want ErrTaskDone", err)
	}
	if _, err := n.Get(context.Background()); !errors.Is(err, runtime.ErrNoTask) {
		t.Errorf("without an app: %v, want ErrNoTask", err)
	}
}
