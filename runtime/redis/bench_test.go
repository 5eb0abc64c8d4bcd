//go:build unix

package redis_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest/beside"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/redis"
)

// BenchmarkBeside prints tables of the same work done by this engine and by
// plain asynq, on one server: asynq with its defaults, and with a check
// interval of 10 ms.
//
//	go test ./runtime/redis -run '^$' -bench Beside -benchtime 1x
func BenchmarkBeside(b *testing.B) {
	ours := beside.Side{Name: "taskctx", Open: func(tb testing.TB) beside.Queue {
		return beside.Engine{Engine: open(tb, server(tb), redis.Config{Logger: quiet})}
	}}
	side := func(name string, check time.Duration) beside.Side {
		return beside.Side{Name: name, Open: func(tb testing.TB) beside.Queue { return newAsynq(tb, check) }}
	}
	plain, again := side("asynq", time.Second), side("asynq again", time.Second)
	quick := side("asynq, TaskCheckInterval 10 ms", 10*time.Millisecond)
	beside.Run(b, "asynq", []beside.Row{
		{Name: "enqueue, 1 caller", Callers: 1, Tasks: 10_000, Sides: []beside.Side{ours, plain, again}},
		{Name: "enqueue, 16 callers", Callers: 16, Tasks: 20_000, Sides: []beside.Side{ours, plain, again}},
		{Name: "enqueue in batches of 1,000", Batch: 1000, Tasks: 20_000, Sides: []beside.Side{ours, plain, again}},
		{Name: "work off, 10 workers", Workers: 10, Tasks: 10_000, Sides: []beside.Side{ours, plain, again}},
		{Name: "work off, 100 workers", Workers: 100, Tasks: 10_000, Sides: []beside.Side{ours, plain, again}},
		{Name: "a task's wait for an idle worker", Idle: true, Sides: []beside.Side{ours, plain, quick}},
	})
}

// plainAsynq is asynq as its documentation shows it, which keeps the records of
// ended tasks as ours does.
type plainAsynq struct {
	opt    asynq.RedisConnOpt
	check  time.Duration
	client *asynq.Client
}

func newAsynq(tb testing.TB, check time.Duration) *plainAsynq {
	opt, err := asynq.ParseRedisURI(server(tb))
	if err != nil {
		tb.Fatal(err)
	}
	a := &plainAsynq{opt, check, asynq.NewClient(opt)}
	tb.Cleanup(func() { _ = a.client.Close() })
	return a
}

// Insert implements [beside.Queue]. Asynq has no batches.
func (a *plainAsynq) Insert(ctx context.Context, n int) error {
	for range n {
		args, err := json.Marshal(beside.Charge)
		if err != nil {
			return err
		}
		task := asynq.NewTask(beside.Kind, args)
		if _, err := a.client.EnqueueContext(ctx, task, asynq.MaxRetry(3), asynq.Retention(time.Hour)); err != nil {
			return err
		}
	}
	return nil
}

// Serve implements [beside.Queue].
func (a *plainAsynq) Serve(_ context.Context, workers int, done func()) (func() error, error) {
	s := asynq.NewServer(a.opt, asynq.Config{Concurrency: workers, TaskCheckInterval: a.check, LogLevel: asynq.FatalLevel})
	mux := asynq.NewServeMux()
	mux.HandleFunc(beside.Kind, func(_ context.Context, t *asynq.Task) error {
		var args beside.Args
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

// BenchmarkList_Queues lists the first page of tasks in so many queues.
//
//	go test ./runtime/redis -run '^$' -bench List_Queues -benchtime 20x
func BenchmarkList_Queues(b *testing.B) {
	for _, n := range []int{100, 1000, 5000} {
		e := open(b, server(b), redis.Config{Logger: quiet})
		for i := 0; i < n; i += 100 {
			var ms []*engine.Message
			for at := range 100 {
				ms = append(ms, &engine.Message{Name: "task.a", Queue: fmt.Sprintf("queue-%d", i+at), Args: json.RawMessage(`{}`)})
			}
			_, err := e.Insert(b.Context(), ms)
			require.NoError(b, err)
		}
		for name, q := range map[string]engine.Query{
			"all": {Brief: true}, "newest": {Brief: true, Newest: true}, "failed": {States: []engine.State{engine.StateFailed}},
		} {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				for b.Loop() {
					_, _, err := e.List(b.Context(), q)
					require.NoError(b, err)
				}
			})
		}
	}
}
