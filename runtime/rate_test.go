package runtime_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/pace"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

// TestRates: the rates of an annotation and of an option all hold, values have rates
// of their own, and nearly as many begin as may.
//
// Proves: FEATURES 96
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{Workers: 20})
		began := make(map[string][]time.Time)
		var c crowd
		u := newUnit[string, runtime.Void]("test.Call", func(s *wire.Spec) {
			s.Rate = wire.Rate{N: 100, Per: time.Minute}
			s.RateBy = []wire.RateBy{{Param: "v", N: 30, Per: time.Minute}}
		})
		u.handle(app, func(_ *runtime.Context, v string) (runtime.Void, error) {
			defer c.enter(v)()
			c.mu.Lock()
			defer c.mu.Unlock()
			began[v] = append(began[v], time.Now())
			return runtime.Void{}, nil
		})
		start(t, app)
		for i := range 1200 {
			_, err := u.call([]string{"ann", "bob", "carl", "dan"}[i%4]).Enqueue(t.Context(), app)
			require.NoError(t, err)
		}
		_, err := u.call("eve", runtime.WithRate("api", 1, time.Hour)).Enqueue(t.Context(), app)
		require.NoError(t, err)
		eve, err := u.call("eve", runtime.WithRate("api", 1, time.Hour)).Enqueue(t.Context(), app)
		require.NoError(t, err)
		time.Sleep(10 * time.Minute)
		synctest.Wait()

		rec, err := eve.Record(t.Context())
		require.NoError(t, err)
		assert.Contains(t, rec.Reason, "waits for rate:api")
		counts, err := app.Limits(t.Context())
		require.NoError(t, err)
		require.Len(t, counts, 3)
		assert.Equal(t, "rate:api", counts[0].Rule)
		assert.Equal(t, time.Hour, counts[0].Per)
		assert.Equal(t, engine.RateRule("test.Call", ""), counts[1].Rule)
		assert.Equal(t, 100, counts[1].Held)

		c.mu.Lock()
		var all []time.Time
		for v, times := range began {
			assert.LessOrEqual(t, pace.Most(times, time.Minute), 30, v)
			all = append(all, times...)
		}
		c.mu.Unlock()
		assert.Equal(t, 100, pace.Most(all, time.Minute))
		assert.GreaterOrEqual(t, len(all), 950)

		require.NoError(t, app.SetLimit(t.Context(), "rate:api", 2))
		_, err = eve.Wait(t.Context())
		require.NoError(t, err, "SetLimit let it in")
	})
}

// TestRates_AfterDowntime: what waited while nobody ran begins no faster than else.
//
// Proves: FEATURES 96
func TestRates_AfterDowntime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memory.New(memory.Config{})
		defer func() { require.NoError(t, e.Close()) }()
		var began []time.Time
		var c crowd
		u := newUnit[string, runtime.Void]("test.Call", func(s *wire.Spec) { s.Rate = wire.Rate{N: 10, Per: time.Second} })
		serve := func(d time.Duration) {
			app := runtime.New(e, runtime.Config{Logger: discard, Workers: 20})
			u.handle(app, func(*runtime.Context, string) (runtime.Void, error) {
				c.mu.Lock()
				defer c.mu.Unlock()
				began = append(began, time.Now())
				return runtime.Void{}, nil
			})
			require.NoError(t, app.Start(t.Context()))
			time.Sleep(d)
			require.NoError(t, app.Stop(t.Context()))
		}
		enq := runtime.New(e, runtime.Config{Logger: discard})
		for range 300 {
			_, err := u.call("x").Enqueue(t.Context(), enq)
			require.NoError(t, err)
		}
		serve(5 * time.Second)
		first := len(began)
		time.Sleep(time.Minute)
		require.NoError(t, enq.Pause(t.Context(), "default"))
		serve(time.Second)
		require.NoError(t, enq.Resume(t.Context(), "default"))
		serve(5 * time.Second)
		assert.InDelta(t, 50, first, 1)
		assert.InDelta(t, 50, len(began)-first, 1, "no burst, and nothing during the pause")
		assert.Equal(t, 10, pace.Most(began, time.Second))
	})
}

func TestWithRate_Refused(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[string, runtime.Void]("test.Call")
	for option, want := range map[string]runtime.Option{
		`WithRate("", 1, 1s): not a key`:                          runtime.WithRate("", 1, time.Second),
		`WithRate("k", 0, 1s): it must be from 1 to 10000`:        runtime.WithRate("k", 0, time.Second),
		`WithRate("k", 10001, 1s): it must be from 1 to 10000`:    runtime.WithRate("k", 10001, time.Second),
		`WithRate("k", 1, 0s): the time must be positive, and at`: runtime.WithRate("k", 1, 0),
	} {
		_, err := u.call("x", want).Enqueue(t.Context(), app)
		require.ErrorContains(t, err, option)
	}
}
