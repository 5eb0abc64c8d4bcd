package remote_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/taskctx/taskctx/runtime/internal/remote"
)

// squares answers questions when its gate lets it, and notes what it was asked together.
type squares struct {
	gate chan struct{}
	mu   sync.Mutex
	lots [][]int // guarded by mu
}

var errNegative = errors.New("negative")

func (s *squares) ask(ctx context.Context, qs []int) ([]int, error) {
	s.mu.Lock()
	s.lots = append(s.lots, qs)
	s.mu.Unlock()
	select {
	case <-s.gate:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	as := make([]int, len(qs))
	for i, q := range qs {
		if q < 0 {
			return nil, errNegative
		}
		as[i] = q * q
	}
	return as, nil
}

// answers are what the callers of a Together got.
type answers struct {
	mu  sync.Mutex
	of  map[int]int   // guarded by mu
	bad map[int]error // guarded by mu
}

// asks lets a goroutine ask each question.
func (a *answers) asks(ctx context.Context, t *remote.Together[int, int], qs ...int) {
	for _, q := range qs {
		go func() {
			v, err := t.Do(ctx, q)
			a.mu.Lock()
			defer a.mu.Unlock()
			if err != nil {
				a.bad[q] = err
			} else {
				a.of[q] = v
			}
		}()
		synctest.Wait()
	}
}

func newTogether() (*squares, *remote.Together[int, int], *answers) {
	s := &squares{gate: make(chan struct{})}
	return s, &remote.Together[int, int]{Ask: s.ask}, &answers{of: map[int]int{}, bad: map[int]error{}}
}

func TestTogether_QuestionsWaitForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, together, got := newTogether()
		got.asks(t.Context(), together, 1, 2, 3, 4, 5, 6, 7)
		assert.Equal(t, [][]int{{1}, {2}, {3}, {4}}, s.lots, "four at a time, and three wait")
		close(s.gate)
		synctest.Wait()
		assert.Len(t, s.lots, 5)
		assert.Equal(t, []int{5, 6, 7}, s.lots[4])
		assert.Equal(t, map[int]int{1: 1, 2: 4, 3: 9, 4: 16, 5: 25, 6: 36, 7: 49}, got.of)
		got.asks(t.Context(), together, 8)
		assert.Equal(t, 64, got.of[8])
	})
}

func TestTogether_AnErrorIsItsCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, together, got := newTogether()
		got.asks(t.Context(), together, 1, 2, 3, 4, 5, -6, 7)
		close(s.gate)
		synctest.Wait()
		assert.Equal(t, map[int]error{-6: errNegative}, got.bad)
		assert.Equal(t, map[int]int{1: 1, 2: 4, 3: 9, 4: 16, 5: 25, 7: 49}, got.of)
	})
}

func TestTogether_CallersThatGiveUpLeaveTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, together, got := newTogether()
		ctx, cancel := context.WithCancel(t.Context())
		leads, stopLeading := context.WithCancel(t.Context())
		got.asks(leads, together, 1, 2, 3, 4)
		got.asks(t.Context(), together, 5)
		got.asks(ctx, together, 6)
		got.asks(t.Context(), together, 7)
		cancel() // 6, while it waits
		synctest.Wait()
		assert.ErrorIs(t, got.bad[6], context.Canceled)
		stopLeading()
		synctest.Wait()
		assert.Equal(t, []int{5, 7}, s.lots[4], "asked by the caller of 5")

		riding, getOff := context.WithCancel(t.Context())
		got.asks(t.Context(), together, 11, 12, 13) // four at a time again
		got.asks(leads, together, 14)
		got.asks(riding, together, 15)
		close(s.gate)
		synctest.Wait()
		getOff()
		assert.Equal(t, map[int]int{5: 25, 7: 49, 11: 121, 12: 144, 13: 169, 15: 225}, got.of)
		assert.Len(t, got.bad, 6, "1 to 4, 6 and 14")
	})
}

func TestTogether_APanicIsOneCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, together, got := newTogether()
		var once sync.Once
		together.Ask = func(ctx context.Context, qs []int) ([]int, error) {
			if len(qs) > 1 {
				once.Do(func() { panic("bug") })
			}
			return s.ask(ctx, qs)
		}
		got.asks(t.Context(), together, 1, 2, 3, 4)
		panicked := make(chan any, 1)
		go func() {
			defer func() { panicked <- recover() }()
			_, _ = together.Do(t.Context(), 5)
		}()
		synctest.Wait()
		got.asks(t.Context(), together, 6, 7)
		close(s.gate)
		synctest.Wait()
		assert.Equal(t, "bug", <-panicked)
		assert.Equal(t, map[int]int{1: 1, 2: 4, 3: 9, 4: 16, 6: 36, 7: 49}, got.of)
	})
}

func TestTogether_WaitsForThoseThatAreAboutToAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, together, got := newTogether()
		close(s.gate)
		together.Expect(3)
		got.asks(t.Context(), together, 1, 2)
		assert.Empty(t, s.lots, "the third is to come")
		got.asks(t.Context(), together, 3, 4)
		assert.Equal(t, [][]int{{1, 2, 3}, {4}}, s.lots)

		together.Expect(3)
		got.asks(t.Context(), together, 5, 6)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, []int{5, 6}, s.lots[2], "not for long")
		got.asks(t.Context(), together, 7, 8)
		assert.Equal(t, [][]int{{7}, {8}}, s.lots[3:], "and only once")

		together.Expect(100)
		for q := range 63 {
			got.asks(t.Context(), together, 100+q)
		}
		assert.Len(t, s.lots, 5)
		got.asks(t.Context(), together, 163)
		assert.Len(t, s.lots[5], 64, "as many as go together")
		assert.Len(t, got.of, 8+64)
	})
}

func TestTogether_ACallerThatGivesUpWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, together, got := newTogether()
		together.Expect(3)
		ctx, cancel := context.WithCancel(t.Context())
		got.asks(ctx, together, 1)
		got.asks(t.Context(), together, 2)
		cancel()
		synctest.Wait()
		assert.ErrorIs(t, got.bad[1], context.Canceled)
		together.Ask = func(_ context.Context, qs []int) ([]int, error) { return qs, nil }
		got.asks(t.Context(), together, 3)
		assert.Equal(t, 3, got.of[3])
	})
}
