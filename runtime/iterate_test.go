package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// pages yields 1 to n, and then err unless it is nil.
func pages(n int, err error) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := 1; i <= n; i++ {
			if !yield(i, nil) {
				return
			}
		}
		if err != nil {
			yield(0, err)
		}
	}
}

// Proves: FEATURES 44, 45
func TestEach_IteratorTasks(t *testing.T) {
	var order []int
	got, err := runUnit(t, runtime.Config{}, func(ctx *runtime.Context) ([]string, error) {
		return runtime.Each(ctx, pages(3, nil), func(ctx *runtime.Context, page int) (string, error) {
			order = append(order, page)
			return fmt.Sprint(ctx.Metadata().Name, page), nil
		})
	})
	if want := []string{"test.Unit1", "test.Unit2", "test.Unit3"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("Each: %q, %v; want %q", got, err, want)
	}
	if !slices.Equal(order, []int{1, 2, 3}) {
		t.Errorf("Each went through %v", order)
	}
	values, err := runUnit(t, runtime.Config{}, func(*runtime.Context) ([]int, error) {
		return runtime.Collect(pages(3, nil))
	})
	if err != nil || !slices.Equal(values, []int{1, 2, 3}) {
		t.Errorf("Collect: %v, %v", values, err)
	}
	if empty, err := runtime.Collect(pages(0, nil)); empty == nil || len(empty) != 0 || err != nil {
		t.Errorf("of nothing: %v, %v; want an empty list", empty, err)
	}
}

// Proves: FEATURES 44
func TestEach_EndsAtTheFirstError(t *testing.T) {
	errIter, errEach := errors.New("iterator failed"), errors.New("each failed")
	ctx, cancel := context.WithCancelCause(t.Context())
	each := func(failAt, cancelAt int) ([]int, []int, error) {
		var seen []int
		got, err := runtime.Each(ctx, pages(5, errIter), func(_ context.Context, v int) (int, error) {
			seen = append(seen, v)
			switch v {
			case failAt:
				return 0, errEach
			case cancelAt:
				cancel(engine.ErrShutdown)
			}
			return v, nil
		})
		return got, seen, err
	}
	if got, seen, err := each(0, 0); got != nil || len(seen) != 5 || !errors.Is(err, errIter) {
		t.Errorf("error of the iterator: %v, %v, %v", got, seen, err)
	}
	if got, seen, err := each(2, 0); got != nil || !slices.Equal(seen, []int{1, 2}) || !errors.Is(err, errEach) ||
		!strings.Contains(err.Error(), "value 1") {
		t.Errorf("error of each: %v, %v, %v", got, seen, err)
	}
	if got, seen, err := each(0, 3); got != nil || !slices.Equal(seen, []int{1, 2, 3}) || !errors.Is(err, engine.ErrShutdown) {
		t.Errorf("context that ends: %v, %v, %v", got, seen, err)
	}
	if _, err := runtime.Collect(pages(1, errIter)); !errors.Is(err, errIter) {
		t.Errorf("Collect: %v", err)
	}
	if _, err := runtime.Collect[int](nil); err == nil {
		t.Error("a nil iterator is no error")
	}
}
