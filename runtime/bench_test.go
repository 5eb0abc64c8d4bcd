package runtime_test

import (
	"context"
	"encoding/json"
	"fmt"
	goruntime "runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/memory"
)

// What every runner below does for each task: call charge with a customer, an
// amount and something that is open for as long as the worker lives.
type ledger struct{ cents atomic.Int64 }

type chargeArgs struct {
	CustomerID string `json:"customerID"`
	Cents      int64  `json:"cents"`
}

func (a *chargeArgs) fields(f *runtime.Fields) {
	f.String("customerID", &a.CustomerID)
	f.Int64("cents", &a.Cents)
}

// chargeContext is a context type as a user would write it.
type chargeContext struct {
	*runtime.Context
	Ledger *ledger
}

var ledgerKey = runtime.NewKey[*ledger]("ledger", nil)

var chargeTask = runtime.NewTask[chargeArgs, runtime.Void](runtime.Spec{
	Name: "bench.Charge", Func: "Charge", Retries: 3,
	Params: []runtime.Param{{Name: "customerID", Sig: "string"}, {Name: "cents", Sig: "int64"}},
}, (*chargeArgs).fields)

func chargeCall(customerID string, cents int64) runtime.Call[runtime.Void] {
	a := chargeArgs{customerID, cents}
	return chargeTask.Call(a.fields, nil)
}

func newChargeContext(ctx *runtime.Context) (*chargeContext, error) {
	l, err := runtime.Keep(ctx, ledgerKey, func(context.Context) (*ledger, error) { return new(ledger), nil })
	if err != nil {
		return nil, err
	}
	return &chargeContext{ctx, l}, nil
}

// benchRunner runs charges; close waits for those under way.
type benchRunner struct {
	name    string
	enqueue func(customerID string, cents int64)
	close   func()
}

// benchQueue is how many tasks wait at most over a channel, and in the runner
// "full", whose enqueuer mostly waits for room.
const benchQueue = 1024

func newChannelRunner(workers int, done *sync.WaitGroup) benchRunner {
	work := make(chan func(*ledger), benchQueue)
	closed := startWorkers(workers, func(l *ledger) {
		for f := range work {
			f(l)
		}
	})
	return benchRunner{
		name: "channel",
		enqueue: func(_ string, cents int64) {
			work <- func(l *ledger) { l.cents.Add(cents); done.Done() }
		},
		close: func() { close(work); closed.Wait() },
	}
}

func newJSONRunner(workers int, done *sync.WaitGroup) benchRunner {
	work := make(chan []byte, benchQueue)
	closed := startWorkers(workers, func(l *ledger) {
		for b := range work {
			var a chargeArgs
			if json.Unmarshal(b, &a) == nil {
				l.cents.Add(a.Cents)
				done.Done()
			}
		}
	})
	return benchRunner{
		name: "json",
		enqueue: func(customerID string, cents int64) {
			b, err := json.Marshal(chargeArgs{customerID, cents})
			if err != nil {
				panic(err)
			}
			work <- b
		},
		close: func() { close(work); closed.Wait() },
	}
}

func startWorkers(n int, work func(*ledger)) *sync.WaitGroup {
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { work(new(ledger)) })
	}
	return &wg
}

func newTaskRunner(b *testing.B, name string, engine *memory.Engine, workers int, done *sync.WaitGroup) benchRunner {
	app := runtime.New(engine, runtime.Config{Workers: workers})
	runtime.RegisterContext(app, newChargeContext)
	runtime.Register(app, chargeTask, func(ctx *chargeContext, a *chargeArgs) (runtime.Void, error) {
		ctx.Ledger.cents.Add(a.Cents)
		done.Done()
		return runtime.Void{}, nil
	})
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		b.Fatal(err)
	}
	return benchRunner{
		name: name,
		enqueue: func(customerID string, cents int64) {
			if _, err := chargeCall(customerID, cents).Enqueue(ctx, app); err != nil {
				panic(err)
			}
		},
		close: func() {
			if err := app.Stop(ctx); err != nil {
				b.Fatal(err)
			}
		},
	}
}

func benchRunners(b *testing.B, workers int, done *sync.WaitGroup) []benchRunner {
	return []benchRunner{
		newChannelRunner(workers, done),
		newJSONRunner(workers, done),
		newTaskRunner(b, "task", memory.New(memory.WithWait()), workers, done),
		newTaskRunner(b, "full", memory.New(memory.WithWait(), memory.WithCapacity(benchQueue)), workers, done),
	}
}

// BenchmarkTask measures a whole task, from its typed call to its recorded end,
// beside the same work as closures and as encoding/json over a bare channel.
func BenchmarkTask(b *testing.B) {
	for _, workers := range []int{2, 10} {
		var done sync.WaitGroup
		for _, r := range benchRunners(b, workers, &done) {
			b.Run(fmt.Sprintf("%s/workers=%d", r.name, workers), func(b *testing.B) {
				b.ReportAllocs()
				done.Add(b.N)
				for i := range b.N {
					r.enqueue("c-42", int64(i))
				}
				done.Wait()
			})
			r.close()
		}
	}
}

// BenchmarkTaskRatios runs the runners of BenchmarkTask in turn, many short
// rounds each, so that noise hits all alike, and reports the medians of their
// ratios: to a closure over a channel, and to encoding/json over a channel. Run
// it with -benchtime=1x.
func BenchmarkTaskRatios(b *testing.B) {
	const rounds, each = 21, 20_000
	for _, workers := range []int{2, 10} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			var done sync.WaitGroup
			runners := benchRunners(b, workers, &done)
			ns := make([][]float64, len(runners))
			allocs := make([]float64, len(runners))
			for range b.N {
				for round := range rounds {
					for i, r := range runners {
						t, n := benchRound(r, &done, each)
						if round > 0 { // the first one warms up
							ns[i] = append(ns[i], t)
							allocs[i] = n
						}
					}
				}
			}
			for i, r := range runners {
				r.close()
				b.ReportMetric(median(ns[i]), r.name+"-ns/task")
				b.ReportMetric(allocs[i], r.name+"-allocs/task")
			}
			b.ReportMetric(median(ratios(ns[2], ns[0])), "task/channel")
			b.ReportMetric(median(ratios(ns[2], ns[1])), "task/json")
			b.ReportMetric(median(ratios(ns[3], ns[0])), "full/channel")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// benchRound runs n charges and returns the time and the allocations of one.
func benchRound(r benchRunner, done *sync.WaitGroup, n int) (ns, allocs float64) {
	var before, after goruntime.MemStats
	goruntime.ReadMemStats(&before)
	start := time.Now()
	done.Add(n)
	for i := range n {
		r.enqueue("c-42", int64(i))
	}
	done.Wait()
	ns = float64(time.Since(start).Nanoseconds()) / float64(n)
	goruntime.ReadMemStats(&after)
	return ns, float64(after.Mallocs-before.Mallocs) / float64(n)
}

func ratios(a, b []float64) []float64 {
	rs := make([]float64, len(a))
	for i := range a {
		rs[i] = a[i] / b[i]
	}
	return rs
}

func median(xs []float64) float64 {
	xs = slices.Sorted(slices.Values(xs))
	return xs[len(xs)/2]
}
