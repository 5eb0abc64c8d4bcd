package redis_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/redis"
)

// The benchmarks do the same work on our engine and on plain asynq, on one
// server: asynq with its defaults, and with a check interval of 10 ms. Compare
// within one run, and by CPU: cpu-us/op is what this process and the server
// used for a task.

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// plain is one side of a comparison.
type plain interface {
	insert(ctx context.Context, n int) error
	serve(ctx context.Context, workers int, done func()) (stop func() error, err error)
}

// sides returns ours and asynq's, each on a database of its own.
func sides() map[string]func(b *testing.B) plain {
	return map[string]func(b *testing.B) plain{
		"taskctx":    func(b *testing.B) plain { return newOurs(b) },
		"asynq":      func(b *testing.B) plain { return newAsynq(b, time.Second) },
		"asynq-10ms": func(b *testing.B) plain { return newAsynq(b, 10*time.Millisecond) },
	}
}

var sideNames = []string{"taskctx", "asynq", "asynq-10ms"}

type benchArgs struct {
	Customer string `json:"customer"`
	Cents    int64  `json:"cents"`
}

// ours enqueues and works off messages as an App makes them.
type ours struct{ e *redis.Engine }

func newOurs(b *testing.B) *ours { return &ours{open(b, server(b), redis.Config{Logger: quiet})} }

func benchMessage() *runtime.Message {
	args, _ := json.Marshal(benchArgs{"c-42", 1999})
	return &runtime.Message{
		Name: "bench.charge", Queue: "default", Args: args, Keep: time.Hour,
		Meta: runtime.Meta{
			Version: runtime.WireVersion, ID: uuid.New(), EnqueuedAt: time.Now().UTC(),
			Signature: "customer:string cents:int64", Retries: 3,
		},
	}
}

func (o *ours) insert(ctx context.Context, n int) error {
	ms := make([]*runtime.Message, n)
	for i := range ms {
		ms[i] = benchMessage()
	}
	_, err := o.e.Insert(ctx, ms)
	return err
}

func (o *ours) serve(ctx context.Context, workers int, done func()) (func() error, error) {
	ctx, cancel := context.WithCancel(ctx)
	result := make(chan error, 1)
	w := &runtime.Worker{
		ID: uuid.NewString(), Slots: workers, Queues: []string{"default"}, Names: []string{"bench.charge"},
		ParkFor: time.Hour, Abandon: make(chan struct{}), Now: time.Now,
		RunInline: func(_ context.Context, d *runtime.Delivery, o *runtime.Outcome) {
			var a benchArgs
			if err := json.Unmarshal(d.Message.Args, &a); err != nil {
				panic(err)
			}
			o.Kind = runtime.OutcomeSucceed
			done()
		},
	}
	go func() { result <- o.e.Serve(ctx, w) }()
	return func() error {
		cancel()
		return <-result
	}, nil
}

// plainAsynq is asynq as its documentation shows it, which keeps the records of
// ended tasks as ours does.
type plainAsynq struct {
	opt    asynq.RedisConnOpt
	check  time.Duration
	client *asynq.Client
}

func newAsynq(b *testing.B, check time.Duration) *plainAsynq {
	opt, err := asynq.ParseRedisURI(server(b))
	if err != nil {
		b.Fatal(err)
	}
	a := &plainAsynq{opt, check, asynq.NewClient(opt)}
	b.Cleanup(func() { _ = a.client.Close() })
	return a
}

func (a *plainAsynq) insert(ctx context.Context, n int) error {
	for range n {
		args, err := json.Marshal(benchArgs{"c-42", 1999})
		if err != nil {
			return err
		}
		task := asynq.NewTask("bench.charge", args)
		if _, err := a.client.EnqueueContext(ctx, task, asynq.MaxRetry(3), asynq.Retention(time.Hour)); err != nil {
			return err
		}
	}
	return nil
}

func (a *plainAsynq) serve(_ context.Context, workers int, done func()) (func() error, error) {
	s := asynq.NewServer(a.opt, asynq.Config{Concurrency: workers, TaskCheckInterval: a.check, LogLevel: asynq.FatalLevel})
	mux := asynq.NewServeMux()
	mux.HandleFunc("bench.charge", func(_ context.Context, t *asynq.Task) error {
		var args benchArgs
		if err := json.Unmarshal(t.Payload(), &args); err != nil {
			return err
		}
		done()
		return nil
	})
	if err := s.Start(mux); err != nil {
		return nil, err
	}
	return func() error {
		s.Shutdown()
		return nil
	}, nil
}

// BenchmarkEnqueue is the time of one task, enqueued by some callers at a time,
// or in batches of 1,000.
func BenchmarkEnqueue(b *testing.B) {
	for _, callers := range []int{1, 16} {
		for _, name := range sideNames[:2] {
			b.Run(fmt.Sprintf("callers=%d/%s", callers, name), func(b *testing.B) {
				p := sides()[name](b)
				cpu := startCPU(b)
				b.ResetTimer()
				var next atomic.Int64
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						for next.Add(1) <= int64(b.N) {
							if err := p.insert(context.Background(), 1); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				cpu.report(b, b.N)
			})
		}
	}
	for _, name := range sideNames[:2] {
		b.Run("batch/"+name, func(b *testing.B) {
			p := sides()[name](b)
			cpu := startCPU(b)
			b.ResetTimer()
			for n := b.N; n > 0; n -= 1000 {
				if err := p.insert(context.Background(), min(n, 1000)); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			cpu.report(b, b.N)
		})
	}
}

// BenchmarkWorkOff is the time of one task of a backlog.
func BenchmarkWorkOff(b *testing.B) {
	for _, workers := range []int{10, 100} {
		for _, name := range sideNames {
			b.Run(fmt.Sprintf("workers=%d/%s", workers, name), func(b *testing.B) {
				p := sides()[name](b)
				for n := b.N; n > 0; n -= 1000 {
					if err := p.insert(context.Background(), min(n, 1000)); err != nil {
						b.Fatal(err)
					}
				}
				var left sync.WaitGroup
				left.Add(b.N)
				cpu := startCPU(b)
				b.ResetTimer()
				stop, err := p.serve(context.Background(), workers, left.Done)
				if err != nil {
					b.Fatal(err)
				}
				left.Wait()
				b.StopTimer()
				if err := stop(); err != nil { // what is not written yet is
					b.Fatal(err)
				}
				cpu.report(b, b.N)
			})
		}
	}
}

// BenchmarkIdle is the wait of a task that is enqueued while the worker idles,
// from the enqueue to the run.
func BenchmarkIdle(b *testing.B) {
	for _, name := range sideNames {
		b.Run(name, func(b *testing.B) {
			p := sides()[name](b)
			ran := make(chan struct{})
			stop, err := p.serve(context.Background(), 10, func() { ran <- struct{}{} })
			if err != nil {
				b.Fatal(err)
			}
			one := func() {
				if err := p.insert(context.Background(), 1); err != nil {
					b.Fatal(err)
				}
				<-ran
			}
			one() // the worker is up
			b.ResetTimer()
			for range b.N {
				one()
			}
			b.StopTimer()
			if err := stop(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
