package runtime_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
)

// TestWithReplace: a burst of calls is one run, with the last arguments, after the
// burst, or when the longest wait is over.
//
// Proves: FEATURES 93
func TestWithReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{})
		type ran struct {
			arg string
			at  time.Duration
		}
		var mu sync.Mutex
		var runs []ran // guarded by mu
		seen := func() []ran {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(runs)
		}
		began := time.Now()
		u := newUnit[string, runtime.Void]("test.Index")
		u.handle(app, func(_ *runtime.Context, v string) (runtime.Void, error) {
			mu.Lock()
			defer mu.Unlock()
			runs = append(runs, ran{v, time.Since(began)})
			return runtime.Void{}, nil
		})
		start(t, app)
		index := func(v string) *runtime.Handle[runtime.Void] {
			h, err := u.call(v, runtime.WithKey("doc", time.Hour), runtime.WithDelay(5*time.Second),
				runtime.WithReplaceFor(20*time.Second)).Enqueue(t.Context(), app)
			require.NoError(t, err)
			return h
		}
		first := index("a")
		time.Sleep(3 * time.Second)
		second := index("b")
		assert.Equal(t, first.ID(), second.ID())
		_, err := first.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, []ran{{"b", 8 * time.Second}}, seen())

		for range 7 { // one each 4 s
			index("c")
			time.Sleep(4 * time.Second)
		}
		require.Len(t, seen(), 2, "the longest wait is over")
		assert.Equal(t, 28*time.Second, seen()[1].at)
		time.Sleep(time.Minute)
		assert.Len(t, seen(), 3)
	})
}

func TestWithReplace_Refused(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[string, runtime.Void]("test.Index")
	_, err := u.call("x", runtime.WithReplace()).Enqueue(t.Context(), app)
	require.ErrorContains(t, err, "WithReplace: the call has no key")
	_, err = u.call("x", runtime.WithKey("k", time.Hour), runtime.WithReplaceFor(0)).Enqueue(t.Context(), app)
	require.ErrorContains(t, err, "WithReplaceFor(0s): it must be positive")
}
