package runtime_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	goruntime "runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskctx/taskctx/internal/cputime"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

// What every runner below does for each task: call charge with a customer, an
// amount and something that is open for as long as the worker lives.
type ledger struct{ cents atomic.Int64 }

type chargeArgs struct {
	CustomerID string `json:"customerID"`
	Cents      int64  `json:"cents"`
}

func (a *chargeArgs) Run(ctx *chargeContext, _ *runtime.Result) error {
	ctx.Ledger.cents.Add(a.Cents)
	if ctx.done != nil {
		ctx.done.Done()
	}
	return nil
}

// chargeContext is a context type as a user would write it.
type chargeContext struct {
	*runtime.Context
	Ledger *ledger
	done   *sync.WaitGroup // nil: nobody waits
}

var ledgerKey = runtime.NewKey[*ledger]("ledger", runtime.PerWorker, nil)

// chargeTask, its arguments and its call are as taskgen generates them.
var chargeTask = wire.Definition{Spec: wire.Spec{
	Name: "bench.Charge", Func: "Charge", Retries: 3,
	Params: []wire.Param{{Name: "customerID", Sig: "string"}, {Name: "cents", Sig: "int64"}},
}}

func chargeCall(customerID string, cents int64, opts ...runtime.Option) runtime.Call[runtime.Void] {
	f := wire.Encode()
	f.String("customerID", &customerID)
	f.Int64("cents", &cents)
	return runtime.Call[runtime.Void]{AnyCall: runtime.NewCall(&chargeTask, f, opts)}
}

func newChargeContext(ctx *runtime.Context) (*chargeContext, error) {
	l, err := runtime.Stored(ctx, ledgerKey, func(context.Context) (*ledger, error) { return new(ledger), nil })
	if err != nil {
		return nil, err
	}
	return &chargeContext{Context: ctx, Ledger: l}, nil
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
	app := runtime.New(engine, runtime.Config{Workers: workers, Logger: slog.New(slog.DiscardHandler)})
	glue.RegisterContext(app, func(ctx *runtime.Context) (*chargeContext, error) {
		c, err := newChargeContext(ctx)
		if err == nil {
			c.done = done
		}
		return c, err
	})
	glue.RegisterTask(app, &chargeTask, (*chargeArgs)(nil))
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
		newTaskRunner(b, "task", memory.New(memory.Config{Wait: true}), workers, done),
		newTaskRunner(b, "full", memory.New(memory.Config{Wait: true, Capacity: benchQueue}), workers, done),
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

// BenchmarkTaskRatios lets the runners of BenchmarkTask work in turn, in many
// short rounds that take each about as long, so that noise hits all alike. It
// reports the medians: the wall time, the CPU time and the allocations of one
// task, and the ratios to a closure and to encoding/json over a channel. On a
// machine with other work to do the ratios of CPU time tell more. Run it with
// -benchtime=1x.
func BenchmarkTaskRatios(b *testing.B) {
	const rounds = 31
	for _, workers := range []int{2, 10} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			var done sync.WaitGroup
			runners := benchRunners(b, workers, &done)
			costs := make([]benchCosts, len(runners))
			for range b.N {
				for range rounds {
					for i, r := range runners {
						costs[i].round(r, &done)
					}
				}
			}
			for i, r := range runners {
				r.close()
				b.ReportMetric(median(costs[i].wall), r.name+"-ns")
				b.ReportMetric(median(costs[i].cpu), r.name+"-cpu-ns")
				b.ReportMetric(median(costs[i].allocs), r.name+"-allocs")
			}
			channel, encoded, task, full := costs[0], costs[1], costs[2], costs[3]
			b.ReportMetric(median(ratios(task.wall, channel.wall)), "task/channel")
			b.ReportMetric(median(ratios(task.wall, encoded.wall)), "task/json")
			b.ReportMetric(median(ratios(full.wall, channel.wall)), "full/channel")
			b.ReportMetric(median(ratios(task.cpu, channel.cpu)), "task/channel-cpu")
			b.ReportMetric(median(ratios(task.cpu, encoded.cpu)), "task/json-cpu")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// benchCosts are the costs of one task of one runner, round by round.
type benchCosts struct {
	n                 int // tasks in a round, so that it takes benchTime
	wall, cpu, allocs []float64
}

const benchTime = 10 * time.Millisecond

func (c *benchCosts) round(r benchRunner, done *sync.WaitGroup) {
	warm := c.n == 0
	if warm {
		c.n = 5000
	}
	var before, after goruntime.MemStats
	goruntime.ReadMemStats(&before)
	start, cpu := time.Now(), cputime.Used()
	done.Add(c.n)
	for i := range c.n {
		r.enqueue("c-42", int64(i))
	}
	done.Wait()
	wall, cpu := time.Since(start), cputime.Used()-cpu
	goruntime.ReadMemStats(&after)
	if warm {
		c.n = max(1000, int(float64(c.n)*float64(benchTime)/float64(max(cpu, wall/10))))
		return
	}
	n := float64(c.n)
	c.wall = append(c.wall, float64(wall)/n)
	c.cpu = append(c.cpu, float64(cpu)/n)
	c.allocs = append(c.allocs, float64(after.Mallocs-before.Mallocs)/n)
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
