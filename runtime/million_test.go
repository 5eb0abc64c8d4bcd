package runtime_test

import (
	"context"
	"errors"
	"flag"
	"os"
	goruntime "runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/local"
	"github.com/taskctx/taskctx/runtime/memory"
)

var manyTasks = flag.Int("tasks", 20_000, "how many tasks TestApp_MillionTasks runs; make million runs a million")

// usage is what a process holds at one moment.
type usage struct {
	heap, goroutines, files int
}

func measure() usage {
	goruntime.GC()
	goruntime.GC() // what finalizers and pools have let go of
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		files = nil // not on this system
	}
	return usage{int(m.HeapAlloc), goruntime.NumGoroutine(), len(files)}
}

// Memory, goroutines and files stay flat over many tasks of every kind, while
// workers are thrown away and the app is restarted.
//
// Proves: RELIABILITY 18
func TestApp_MillionTasks(t *testing.T) {
	const parts = 10
	tasks := *manyTasks
	var opened, closed, panicked, failed atomic.Int64
	// Each worker value holds a file, as a database would.
	key := runtime.NewKey("file", runtime.PerWorker, func(f *os.File) error { closed.Add(1); return f.Close() })
	engine := newMemory(t, memory.Config{Wait: true, Capacity: 1000, Records: 1000})
	app := runtime.New(engine, runtime.Config{Workers: 8, Logger: silent, KeepLogs: 3})
	tx := runtime.NewKey[int]("tx", runtime.PerTask, nil)
	loc := local.New[int]("local")
	u := newUnit[int, int]("test.Million", retries(1))
	u.handle(app, func(ctx *runtime.Context, i int) (int, error) {
		if _, err := runtime.Stored(ctx, key, func(context.Context) (*os.File, error) {
			opened.Add(1)
			return os.Open(os.DevNull)
		}); err != nil {
			return 0, err
		}
		switch {
		case i%997 == 0 && ctx.Metadata().Attempt == 0:
			panicked.Add(1)
			panic("worker")
		case i%101 == 0:
			failed.Add(1)
			return 0, errFlaky
		case i%53 == 0:
			ctx.Logger().Debug("line")
			if err := loc.Set(ctx, i); err != nil {
				return 0, err
			}
			local.Go(ctx, local.Copy, func(ctx context.Context) error {
				_, err := loc.Get(ctx)
				return err
			})
		case i%51 == 0:
			derived, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			<-time.After(time.Nanosecond)
			return i, derived.Err()
		case i%47 == 0:
			_, err := tx.Provide(ctx, func(context.Context) (int, func(error) error, error) {
				opened.Add(1)
				return 1, func(error) error { closed.Add(1); return nil }, nil
			})
			return i, err
		}
		return i, nil
	})
	ctx := context.Background()
	base := measure()
	from := time.Now()
	var first, last usage
	for part := range parts {
		start(t, app)
		var wg sync.WaitGroup
		for producer := range 2 {
			wg.Go(func() {
				for i := producer; i < tasks/parts; i += 2 {
					c := u.call(part*tasks/parts+i, runtime.WithTag("part", "x"))
					if i%61 == 0 {
						c = runtime.With(c, runtime.WithTimeout(time.Minute), runtime.WithUnique(time.Millisecond))
					}
					if _, err := c.Enqueue(ctx, app); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		drain(t, app)
		if err := app.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		now := measure()
		if part == 1 { // the first fills pools and the records that are kept
			first = now
		}
		last = now
		t.Logf("after %8d tasks: heap %5.1f MiB, %3d goroutines, %3d files",
			(part+1)*(tasks/parts), float64(now.heap)/(1<<20), now.goroutines, now.files)
	}
	t.Logf("%d tasks in %s; %d values opened, %d closed; %d panics, %d errors",
		tasks, time.Since(from).Round(time.Millisecond), opened.Load(), closed.Load(), panicked.Load(), failed.Load())
	if opened.Load() != closed.Load() || opened.Load() == 0 {
		t.Errorf("%d values opened, %d closed", opened.Load(), closed.Load())
	}
	if last.goroutines > base.goroutines || last.files > first.files { // the first file opened costs the process two more
		t.Errorf("%d goroutines and %d files at the end, %d and %d before", last.goroutines, last.files, base.goroutines, first.files)
	}
	if grown := last.heap - first.heap; grown > 2<<20 {
		t.Errorf("the heap grew by %.1f MiB from the second tenth to the last", float64(grown)/(1<<20))
	}
}

// drain waits until no task waits or runs.
func drain(t *testing.T, app *runtime.App) {
	t.Helper()
	open := []engine.State{engine.StateScheduled, engine.StatePending, engine.StateRunning, engine.StateRetrying}
	for {
		records, _, err := app.List(context.Background(), engine.Query{States: open})
		if err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 {
			return
		}
		for _, r := range records {
			_, _ = runtime.HandleOf[runtime.Void](app, r.ID).Wait(context.Background()) // whatever became of it
		}
	}
}

// Proves: RELIABILITY 19
func TestCapacity_TenTimesPastTheLimit(t *testing.T) {
	const limit, size = 1000, 1 << 10
	eng := newMemory(t, memory.Config{Capacity: limit})
	app := runtime.New(eng, runtime.Config{})
	u := newUnit[string, runtime.Void]("test.Full")
	text := strings.Repeat("x", size)
	ctx := context.Background()
	before := measure()
	var accepted, refused atomic.Int64
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range limit {
				switch _, err := u.call(text).Enqueue(ctx, app); {
				case err == nil:
					accepted.Add(1)
				case errors.Is(err, engine.ErrQueueFull):
					refused.Add(1)
				default:
					t.Errorf("not a typed error: %v", err)
				}
			}
		})
	}
	wg.Wait()
	after := measure()
	grown := after.heap - before.heap
	t.Logf("%d calls of %d bytes: %d accepted, %d refused, the heap grew by %.1f MiB",
		10*limit, size, accepted.Load(), refused.Load(), float64(grown)/(1<<20))
	if accepted.Load() != limit || refused.Load() != 9*limit {
		t.Errorf("%d accepted, %d refused; want %d and %d", accepted.Load(), refused.Load(), limit, 9*limit)
	}
	if grown > 4*limit*size {
		t.Errorf("the heap grew by %d bytes for %d tasks of %d", grown, limit, size)
	}
}
