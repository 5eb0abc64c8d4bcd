package engines_test

import (
	"context"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/cputime"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// TestDurable_Steps: the steps of one task, one after the other, beside as many tasks
// that one caller enqueues one by one. Each step is remembered before the next begins.
func TestDurable_Steps(t *testing.T) {
	onSteady(t, func(t *testing.T, e engine.Engine, _ string) {
		app := startDurable(t, e, new(world), 4)
		for range 3 {
			began := time.Now()
			for i := range *steps {
				_, err := pressPlain.call("", i, runtime.WithDelay(time.Hour)).Enqueue(t.Context(), app)
				require.NoError(t, err)
			}
			enqueued := time.Since(began)
			began = time.Now()
			h, err := pressSteps.call("", *steps).Enqueue(t.Context(), app)
			require.NoError(t, err)
			last, err := h.Wait(t.Context())
			require.NoError(t, err)
			assert.Equal(t, *steps-1, last)
			stepped, n := time.Since(began), time.Duration(*steps)
			js, err := app.Journal(t.Context(), h.ID())
			require.NoError(t, err)
			assert.Len(t, js, *steps)
			t.Logf("%d steps, %v each; as many tasks enqueued, %v each: %.2f of it", *steps,
				(stepped / n).Round(100*time.Nanosecond), (enqueued / n).Round(100*time.Nanosecond), float64(stepped)/float64(enqueued))
		}
	})
}

// TestDurable_Fan: a parent of very many children, beside as many plain tasks.
func TestDurable_Fan(t *testing.T) { testFan(t, "") }

// TestDurable_LimitedFan: a parent of very many children that have limits, beside as many
// plain tasks that have.
func TestDurable_LimitedFan(t *testing.T) {
	for _, how := range []string{"many keys", "one key"} {
		t.Run(how, func(t *testing.T) { testFan(t, how) })
	}
}

func testFan(t *testing.T, how string) {
	onSteady(t, func(t *testing.T, e engine.Engine, _ string) {
		w := new(world)
		app := startDurable(t, e, w, 50)
		plain := func(n int) (took, cpu time.Duration) {
			began, used, before := time.Now(), cputime.Used(), w.plain.Load()
			for i := 0; i < n; {
				var b runtime.Batch
				for ; i < n && b.Len() < 1000; i++ {
					runtime.AddTo(&b, pressPlain.call("", i, fanLimit(how, n, i)...))
				}
				require.NoError(t, b.Enqueue(t.Context(), app))
			}
			for w.plain.Load() < before+int64(n) {
				time.Sleep(time.Millisecond)
			}
			return time.Since(began), cputime.Used() - used
		}
		plain(*fan)
		for _, n := range []int{*fan / 10, *fan} {
			took, cpu := plain(n)
			began, used := time.Now(), cputime.Used()
			h, err := pressFan.call(how, n).Enqueue(t.Context(), app)
			require.NoError(t, err)
			sum, err := h.Wait(t.Context())
			require.NoError(t, err)
			assert.Equal(t, n*(n-1)/2, sum)
			fanned, spent := time.Since(began), cputime.Used()-used
			t.Logf("%d children in %v, %v each, in %d runs of their parent; as many plain tasks in %v: %.2f of it, and %.2f of this process's processor time",
				n, fanned.Round(time.Millisecond), (fanned / time.Duration(max(n, 1))).Round(time.Nanosecond), w.runs.Swap(0),
				took.Round(time.Millisecond), float64(fanned)/float64(took), float64(spent)/float64(max(cpu, 1)))
		}
	})
}

// TestDurable_Waiting: very many tasks wait at once on 4 workers.
//
// Proves: FEATURES 83
func TestDurable_Waiting(t *testing.T) {
	onSteady(t, func(t *testing.T, e engine.Engine, _ string) {
		w := new(world)
		app := startDurable(t, e, w, 4)
		heap, goroutines := heapInUse(), goruntime.NumGoroutine()
		began := time.Now()
		hs := enqueueAll(t, app, pressWaiter, "", *waiting)
		// Counting costs the engine something: it is asked when the runs have begun.
		require.Eventually(t, func() bool { return w.runs.Load() >= int64(len(hs)) }, 10*time.Minute, time.Millisecond)
		require.Eventually(t, func() bool { return counted(t, app, engine.StateWaiting) == len(hs) }, 10*time.Minute, 5*time.Millisecond)
		suspended := time.Since(began)
		each := (int64(heapInUse()) - int64(heap)) / int64(len(hs))
		assert.LessOrEqual(t, goruntime.NumGoroutine()-goroutines, 20, "goroutines more than before")
		began = time.Now()
		var wg sync.WaitGroup
		for part := range 8 {
			wg.Go(func() {
				for i := part; i < len(hs); i += 8 {
					if err := pressGo.Send(t.Context(), app, hs[i].ID(), "yes"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for _, h := range hs {
			_, err := h.Wait(t.Context())
			require.NoError(t, err)
		}
		resumed := time.Since(began)
		t.Logf("%d wait at once on 4 workers, %d B of heap each: suspended %.0f/s, sent and resumed %.0f/s", len(hs), each,
			float64(len(hs))/suspended.Seconds(), float64(len(hs))/resumed.Seconds())
	})
}

// TestDurable_Rates: on 50 workers, first runs that are suspended, and runs that are
// resumed, beside plain tasks. All of them are there when the workers begin.
func TestDurable_Rates(t *testing.T) {
	onSteady(t, func(t *testing.T, e engine.Engine, _ string) {
		w, n := new(world), int64(*waiting)
		app := startDurable(t, e, w, 50)
		require.NoError(t, app.Stop(t.Context()))
		workOff := func(count *atomic.Int64, to int64) time.Duration {
			began := time.Now()
			require.NoError(t, app.Start(context.Background()))
			require.Eventually(t, func() bool { return count.Load() >= to }, 10*time.Minute, time.Millisecond)
			require.NoError(t, app.Stop(t.Context())) // with the outcomes
			return time.Since(began)
		}
		var plain time.Duration
		for i := range int64(2) { // once for the caches
			enqueueAll(t, app, pressPlain, "", int(n))
			plain = workOff(&w.plain, (i+1)*n)
		}
		hs := enqueueAll(t, app, pressWaiter, "for ever", int(n))
		suspended := workOff(&w.runs, n)
		assert.EqualValues(t, n, counted(t, app, engine.StateWaiting))
		var sending sync.WaitGroup
		for part := range 8 {
			sending.Go(func() {
				for i := part; i < len(hs); i += 8 {
					assert.NoError(t, pressGo.Send(t.Context(), app, hs[i].ID(), "yes"))
				}
			})
		}
		sending.Wait()
		resumed := workOff(&w.runs, 2*n)
		for _, h := range hs {
			v, err := h.Wait(t.Context())
			require.NoError(t, err)
			assert.Equal(t, "yes", v)
		}
		t.Logf("%d tasks on 50 workers: suspended at %.2f of the rate of plain tasks (%.0f/s), resumed at %.2f", n,
			float64(plain)/float64(suspended), float64(n)/plain.Seconds(), float64(plain)/float64(resumed))
	})
}

// enqueueAll enqueues tasks, some hundred at a time.
func enqueueAll[R any](t *testing.T, app *runtime.App, task pressTask[R], how string, n int) []*runtime.Handle[R] {
	t.Helper()
	hs := make([]*runtime.Handle[R], n)
	for i := 0; i < n; {
		var b runtime.Batch
		for ; i < n && b.Len() < 500; i++ {
			hs[i] = runtime.AddTo(&b, task.call(how, i))
		}
		require.NoError(t, b.Enqueue(t.Context(), app))
	}
	return hs
}

func heapInUse() uint64 {
	goruntime.GC()
	goruntime.GC()
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	return m.HeapAlloc
}

func counted(t *testing.T, app *runtime.App, s engine.State) (n int) {
	t.Helper()
	cs, err := app.Counts(t.Context())
	require.NoError(t, err)
	for _, c := range cs {
		if c.State == s {
			n += int(c.Tasks)
		}
	}
	return n
}
