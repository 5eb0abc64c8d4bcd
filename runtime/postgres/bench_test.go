package postgres_test

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
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/postgres"
)

// The benchmarks do the same work on our engine and on plain River, on one
// server: River with its defaults, and with the fetch cooldown of ours. Compare
// within one run, and by CPU: cpu-us/op is what this process and the server's
// processes used for a task.

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// plain is one side of a comparison.
type plain interface {
	insert(ctx context.Context, n int) error
	serve(ctx context.Context, workers int, done func()) (stop func() error, err error)
}

// sides returns ours and River's, each on a schema of its own.
func sides(b *testing.B) map[string]func(b *testing.B) plain {
	return map[string]func(b *testing.B) plain{
		"taskctx":   func(b *testing.B) plain { return newOurs(b) },
		"river":     func(b *testing.B) plain { return newRiver(b, river.FetchCooldownDefault) },
		"river-1ms": func(b *testing.B) plain { return newRiver(b, time.Millisecond) },
	}
}

var sideNames = []string{"taskctx", "river", "river-1ms"}

type benchArgs struct {
	Customer string `json:"customer"`
	Cents    int64  `json:"cents"`
}

func (benchArgs) Kind() string { return "bench.charge" }

// ours enqueues and works off messages as an App makes them.
type ours struct{ e *postgres.Engine }

func newOurs(b *testing.B) *ours {
	url := servertest.Postgres(b)
	return &ours{open(b, url, postgres.Config{Schema: newSchema(b, url), Logger: quiet})}
}

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

// plainRiver is River as its documentation shows it.
type plainRiver struct {
	pool     *pgxpool.Pool
	schema   string
	cooldown time.Duration
	client   *river.Client[pgx.Tx]
}

func newRiver(b *testing.B, cooldown time.Duration) *plainRiver {
	url := servertest.Postgres(b)
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		b.Fatal(err)
	}
	pc.MaxConns = 8
	pool, err := pgxpool.NewWithConfig(context.Background(), pc)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	r := &plainRiver{pool: pool, schema: newSchema(b, url), cooldown: cooldown}
	if err := postgres.Migrate(context.Background(), pool, postgres.Config{Schema: r.schema, Logger: quiet}); err != nil {
		b.Fatal(err)
	}
	if r.client, err = river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: r.schema, Logger: quiet}); err != nil {
		b.Fatal(err)
	}
	return r
}

func (r *plainRiver) insert(ctx context.Context, n int) error {
	if n == 1 {
		_, err := r.client.Insert(ctx, benchArgs{"c-42", 1999}, nil)
		return err
	}
	params := make([]river.InsertManyParams, n)
	for i := range params {
		params[i].Args = benchArgs{"c-42", 1999}
	}
	_, err := r.client.InsertMany(ctx, params)
	return err
}

func (r *plainRiver) serve(ctx context.Context, workers int, done func()) (func() error, error) {
	ws := river.NewWorkers()
	river.AddWorker(ws, river.WorkFunc(func(context.Context, *river.Job[benchArgs]) error {
		done()
		return nil
	}))
	c, err := river.NewClient(riverpgxv5.New(r.pool), &river.Config{
		Schema: r.schema, Logger: quiet, Workers: ws, FetchCooldown: r.cooldown,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}},
	})
	if err != nil {
		return nil, err
	}
	if err := c.Start(ctx); err != nil {
		return nil, err
	}
	return func() error { return c.Stop(context.Background()) }, nil
}

// BenchmarkEnqueue is the time of one task, enqueued by some callers at a time,
// or in batches of 1,000.
func BenchmarkEnqueue(b *testing.B) {
	for _, callers := range []int{1, 16} {
		for _, name := range sideNames[:2] {
			b.Run(fmt.Sprintf("callers=%d/%s", callers, name), func(b *testing.B) {
				p := sides(b)[name](b)
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
			p := sides(b)[name](b)
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
				p := sides(b)[name](b)
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
			p := sides(b)[name](b)
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
