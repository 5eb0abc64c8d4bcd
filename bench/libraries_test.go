package bench_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/acaloiaro/neoq"
	"github.com/acaloiaro/neoq/backends/memory"
	"github.com/acaloiaro/neoq/handler"
	"github.com/acaloiaro/neoq/jobs"
	"github.com/alitto/pond/v2"
	"github.com/vmihailenco/taskq/v3"
	"github.com/vmihailenco/taskq/v3/memqueue"
)

// newPond carries a closure, not data.
func newPond(_ *testing.B, workers int, done *sync.WaitGroup) runner {
	pool := pond.NewPool(workers)
	l := new(ledger)
	return runner{
		name: "pond",
		enqueue: func(_ string, cents int64) {
			if err := pool.Go(func() { l.cents.Add(cents); done.Done() }); err != nil {
				panic(err)
			}
		},
		close: pool.StopAndWait,
	}
}

// newNeoq carries a map; it encodes it to find duplicates, and keeps every job
// until the process ends.
func newNeoq(b *testing.B, workers int, done *sync.WaitGroup) runner {
	ctx := context.Background()
	q, err := neoq.New(ctx, neoq.WithBackend(memory.Backend))
	if err != nil {
		b.Fatal(err)
	}
	l := new(ledger)
	h := handler.New("charges", func(ctx context.Context) error {
		defer done.Done()
		j, err := jobs.FromContext(ctx)
		if err != nil {
			return err
		}
		l.cents.Add(j.Payload["cents"].(int64))
		return nil
	}, handler.Concurrency(workers), handler.MaxQueueCapacity(buffer))
	if err := q.Start(ctx, h); err != nil {
		b.Fatal(err)
	}
	unique := 0 // it takes a job of the same payload for the same job
	return runner{
		name: "neoq",
		enqueue: func(customerID string, cents int64) {
			unique++
			payload := map[string]any{"customerID": customerID, "cents": cents, "n": unique}
			if id, err := q.Enqueue(ctx, &jobs.Job{Queue: "charges", Payload: payload}); err != nil || id == jobs.DuplicateJobID {
				panic(fmt.Sprint(id, err))
			}
		},
		close: func() { q.Shutdown(ctx) },
	}
}

// newTaskq carries the arguments as they are, in memory, and calls the function
// by reflection.
func newTaskq(b *testing.B, workers int, done *sync.WaitGroup) runner {
	ctx := context.Background()
	q := memqueue.NewQueue(&taskq.QueueOptions{
		Name: fmt.Sprint("charges", workers), Storage: taskq.NewLocalStorage(), BufferSize: buffer,
		MinNumWorker: int32(workers), MaxNumWorker: int32(workers),
	})
	l := new(ledger)
	task := taskq.RegisterTask(&taskq.TaskOptions{
		Name: fmt.Sprint("charge", workers),
		Handler: func(_ string, cents int64) error {
			l.cents.Add(cents)
			done.Done()
			return nil
		},
	})
	return runner{
		name: "taskq",
		enqueue: func(customerID string, cents int64) {
			if err := q.Add(task.WithArgs(ctx, customerID, cents)); err != nil {
				panic(err)
			}
		},
		close: func() {
			if err := q.Close(); err != nil {
				b.Error(err)
			}
		},
	}
}
