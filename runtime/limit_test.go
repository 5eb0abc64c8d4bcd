package runtime_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

// crowd counts how many tasks of a value run at a time.
type crowd struct {
	mu    sync.Mutex
	now   map[string]int // guarded by mu
	most  map[string]int // guarded by mu
	all   int            // guarded by mu
	peak  int            // guarded by mu
	order []string       // guarded by mu
}

func (c *crowd) enter(v string) (leave func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now == nil {
		c.now, c.most = make(map[string]int), make(map[string]int)
	}
	c.now[v]++
	c.most[v] = max(c.most[v], c.now[v])
	c.all++
	c.peak = max(c.peak, c.all)
	c.order = append(c.order, v)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.now[v]--
		c.all--
	}
}

// couldRun returns how many are in it, and how many could be: most of all and mostEach of
// a value, of which there are so many in all.
func (c *crowd) couldRun(each, mostEach, most int) (now, could int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := make(map[string]int)
	for v, n := range c.now {
		left[v] = each + n
	}
	for _, v := range c.order {
		left[v]--
	}
	for _, n := range left {
		could += min(n, mostEach)
	}
	return c.all, min(could, most)
}

// running returns how many are in it, and the most that there were.
func (c *crowd) running() (now, peak int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all, c.peak
}

// TestLimits: the limits of an annotation and of an option all hold, and values
// have limits of their own.
//
// Proves: FEATURES 95
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{Workers: 20})
		var c crowd
		u := newUnit[string, runtime.Void]("test.Sync", func(s *wire.Spec) {
			s.Limit, s.LimitBy = 5, []wire.LimitBy{{Param: "v", Most: 2}}
		})
		u.handle(app, func(ctx *runtime.Context, v string) (runtime.Void, error) {
			defer c.enter(v)()
			return runtime.Void{}, ctx.Sleep(time.Second)
		})
		start(t, app)
		synctest.Wait() // the worker is there: tasks take their places as they come
		began := time.Now()
		var hs []*runtime.Handle[runtime.Void]
		for i := range 40 {
			h, err := u.call([]string{"ann", "bob", "carl", "dan"}[i%4]).Enqueue(t.Context(), app)
			require.NoError(t, err)
			hs = append(hs, h)
		}
		synctest.Wait()
		rec, err := hs[39].Record(t.Context())
		require.NoError(t, err)
		assert.Equal(t, engine.StatePending, rec.State)
		assert.Contains(t, rec.Reason, "waits for test.Sync limit")
		counts, err := app.Limits(t.Context())
		require.NoError(t, err)
		require.Len(t, counts, 2)
		assert.Equal(t, engine.LimitRule("test.Sync", ""), counts[0].Rule)
		assert.Equal(t, 5, counts[0].Held)
		assert.Equal(t, 4, counts[1].Keys)
		time.Sleep(time.Second / 2)
		for could := 1; could > 0; time.Sleep(time.Second) {
			synctest.Wait()
			var now int
			now, could = c.couldRun(10, 2, 5)
			require.Equal(t, could, now, "after %v: no place stays empty while a task waits that may have it", time.Since(began))
		}
		for _, h := range hs {
			_, err := h.Wait(t.Context())
			require.NoError(t, err)
		}
		_, peak := c.running()
		assert.Equal(t, 5, peak, "of all values")
		c.mu.Lock()
		defer c.mu.Unlock()
		for v, most := range c.most {
			assert.LessOrEqual(t, most, 2, "of %s", v)
		}
	})
}

// Proves: FEATURES 95
func TestWithLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{Workers: 20})
		var c crowd
		run := func(ctx *runtime.Context, v string) (runtime.Void, error) {
			defer c.enter(v)()
			return runtime.Void{}, ctx.Sleep(time.Second)
		}
		one, two := newUnit[string, runtime.Void]("test.One"), newUnit[string, runtime.Void]("test.Two")
		one.handle(app, run)
		two.handle(app, run)
		start(t, app)
		for range 4 {
			for _, u := range []unitTask[string, runtime.Void]{one, two} {
				_, err := u.call("x", runtime.WithLimit("api", 9), runtime.WithLimit("api", 3)).Enqueue(t.Context(), app)
				require.NoError(t, err)
			}
		}
		synctest.Wait()
		now, _ := c.running()
		assert.Equal(t, 3, now, "tasks of two names share a key")
		require.NoError(t, app.SetLimit(t.Context(), "key:api", 5))
		synctest.Wait()
		now, _ = c.running()
		assert.Equal(t, 5, now)
		_, err := one.call("x", runtime.WithLimit("", 1)).Enqueue(t.Context(), app)
		require.ErrorContains(t, err, `WithLimit("", 1): not a key`)
		_, err = one.call("x", runtime.WithLimit("api", 0)).Enqueue(t.Context(), app)
		require.ErrorContains(t, err, "it must be positive")
		for _, rule := range []string{"", "key:\x00", "\xff", "key:", "rate:", "test.One", " limit", "test.One limitby=", "test.One rateby=",
			"test.One limit=2", "test.One orderby=v", "limit", "limitby=v"} {
			require.ErrorContains(t, app.SetLimit(t.Context(), rule, 1), "not a rule")
		}
		for _, rule := range []string{"rate:api", engine.RateRule("test.One", ""), engine.RateRule("test.One", "v")} {
			require.ErrorContains(t, app.SetLimit(t.Context(), rule, 10_001), "at most 10000")
			require.NoError(t, app.SetLimit(t.Context(), rule, 10_000))
		}
		require.NoError(t, app.SetLimit(t.Context(), "key:a rate", 10_001))
		time.Sleep(time.Minute)
	})
}

// TestOrderBy: tasks of a value run one at a time, in order, also where one is
// retried; those of other values run beside them.
//
// Proves: FEATURES 97
func TestOrderBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{Workers: 20})
		var c crowd
		u := newUnit[string, runtime.Void]("test.Order", func(s *wire.Spec) { s.OrderBy = "v" }, retries(1))
		tried := make(map[uuid.UUID]bool)
		u.handle(app, func(ctx *runtime.Context, v string) (runtime.Void, error) {
			defer c.enter(v)()
			_ = ctx.Sleep(time.Second)
			c.mu.Lock()
			defer c.mu.Unlock()
			if id := ctx.Metadata().TaskID; !tried[id] {
				tried[id] = true
				return runtime.Void{}, errFlaky
			}
			return runtime.Void{}, nil
		})
		start(t, app)
		var hs []*runtime.Handle[runtime.Void]
		for range 3 {
			for _, v := range []string{"ann", "bob"} {
				h, err := u.call(v).Enqueue(t.Context(), app)
				require.NoError(t, err)
				hs = append(hs, h)
			}
		}
		var ended []time.Time
		for _, h := range hs {
			_, err := h.Wait(t.Context())
			require.NoError(t, err)
			ended = append(ended, time.Now())
		}
		assert.Equal(t, map[string]int{"ann": 1, "bob": 1}, c.most)
		assert.Equal(t, 2, c.peak, "values do not wait for each other")
		for i := 2; i < len(ended); i++ {
			assert.GreaterOrEqual(t, ended[i].Sub(ended[i-2]), 2*time.Second, "each has two runs before the next begins")
		}
	})
}

func TestLimits_Unsupported(t *testing.T) {
	app := runtime.New(plainEngine{}, runtime.Config{Logger: discard})
	u := newUnit[string, runtime.Void]("test.Sync", func(s *wire.Spec) { s.Limit = 1 })
	u.handle(app, func(*runtime.Context, string) (runtime.Void, error) { return runtime.Void{}, nil })
	_, err := u.call("x").Enqueue(t.Context(), app)
	require.ErrorIs(t, err, runtime.ErrUnsupported)
	_, err = newUnit[string, runtime.Void]("test.Free").call("x", runtime.WithLimit("api", 1)).Enqueue(t.Context(), app)
	require.ErrorIs(t, err, runtime.ErrUnsupported)
	require.ErrorIs(t, app.SetLimit(t.Context(), "key:api", 1), runtime.ErrUnsupported)
	_, err = app.Limits(t.Context())
	require.ErrorIs(t, err, runtime.ErrUnsupported)
}

// TestLimit_ChangedByADeploy: what waits goes by the limit with which it was enqueued,
// and first; SetLimit is for all at once.
//
// Proves: FEATURES 95, 99
func TestLimit_ChangedByADeploy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(memory.Config{})
		defer store.Close()
		limited := func(n int) unitTask[string, runtime.Void] {
			return newUnit[string, runtime.Void]("test.One", func(s *wire.Spec) { s.Limit = n })
		}
		old := runtime.New(store, runtime.Config{})
		app := runtime.New(store, runtime.Config{Workers: 20})
		before, after := limited(1), limited(3)
		var c crowd
		after.handle(app, func(ctx *runtime.Context, v string) (runtime.Void, error) {
			defer c.enter(v)()
			return runtime.Void{}, ctx.Sleep(time.Second)
		})
		for range 4 {
			_, err := before.call("old").Enqueue(t.Context(), old)
			require.NoError(t, err)
		}
		for range 9 {
			_, err := after.call("new").Enqueue(t.Context(), app)
			require.NoError(t, err)
		}
		start(t, app)
		running := func(want int, of string) {
			t.Helper()
			synctest.Wait()
			now, _ := c.running()
			assert.Equal(t, want, now, of)
		}
		running(1, "those of before")
		time.Sleep(time.Second)
		running(1, "those of before")
		require.NoError(t, app.SetLimit(t.Context(), engine.LimitRule("test.One", ""), 2))
		running(2, "set for all")
		require.NoError(t, app.SetLimit(t.Context(), engine.LimitRule("test.One", ""), -1))
		time.Sleep(2500 * time.Millisecond)
		running(3, "those of after")
		time.Sleep(time.Minute)
	})
}
