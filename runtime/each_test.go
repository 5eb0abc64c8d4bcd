package runtime_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"

	"github.com/taskctx/taskctx/runtime"
)

var errSeq = errors.New("the iterator failed")

// upTo yields 1 to n, then err if it is not nil.
func upTo(n int, err error) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i+1, nil) {
				return
			}
		}
		if err != nil {
			yield(0, err)
		}
	}
}

func TestCollect(t *testing.T) {
	got, err := runtime.Collect(upTo(3, nil))
	if err != nil || !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := runtime.Collect(upTo(0, nil)); got == nil || err != nil {
		t.Errorf("no values: got %v, %v, not an empty slice", got, err)
	}
	if _, err := runtime.Collect(upTo(2, errSeq)); !errors.Is(err, errSeq) {
		t.Errorf("got the error %v", err)
	}
}

func TestEachStops(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := errors.New("stop")
	for name, c := range map[string]struct {
		seq  iter.Seq2[int, error]
		do   func(int) error
		seen []int
		err  error
	}{
		"at the end":              {upTo(3, nil), nil, []int{1, 2, 3}, nil},
		"at an iterator's error":  {upTo(2, errSeq), nil, []int{1, 2}, errSeq},
		"at the function's error": {upTo(3, nil), func(i int) error { return map[int]error{2: stop}[i] }, []int{1, 2}, stop},
		"never begins":            {nil, nil, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []int
			got, err := runtime.Each(ctx, c.seq, func(_ context.Context, i int) (int, error) {
				seen = append(seen, i)
				if c.do != nil {
					return 2 * i, c.do(i)
				}
				return 2 * i, nil
			})
			if !errors.Is(err, c.err) || !slices.Equal(seen, c.seen) {
				t.Errorf("saw %v, and the error %v", seen, err)
			}
			if err == nil && len(got) != len(seen) || err != nil && got != nil {
				t.Errorf("got %v after %v", got, seen)
			}
		})
	}
	cancel(stop)
	if err := runtime.EachDo(ctx, upTo(1, nil), func(context.Context, int) error { return nil }); !errors.Is(err, stop) {
		t.Errorf("with a context that ended: %v", err)
	}
}
