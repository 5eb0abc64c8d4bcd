package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/taskctx/taskctx/runtime"
)

const (
	// batchSize is how many tasks are enqueued at a time.
	batchSize = 100
	// ahead is how many batches are enqueued before the first of them is done:
	// it bounds the memory that a folder of any size takes.
	ahead = 20
)

// task is an enqueued task.
type task struct {
	path   string
	handle *runtime.Handle[Change]
}

// run enqueues the tasks of the plan and counts their ends. When ctx ends it
// returns with errInterrupted, and s.left has the tasks whose end it did not
// see.
func (p *plan) run(ctx context.Context, app *runtime.App, s *summary, bar progress) error {
	batches := make(chan []task, ahead)
	var enqueueErr error
	var enqueuing sync.WaitGroup
	enqueuing.Go(func() {
		defer close(batches)
		enqueueErr = p.enqueue(ctx, app, batches)
	})
	for batch := range batches {
		for _, t := range batch {
			if s.wait(ctx, t) {
				bar.step()
			}
		}
	}
	enqueuing.Wait()
	if ctx.Err() != nil {
		return errInterrupted
	}
	return enqueueErr
}

// enqueue enqueues all tasks, in batches that it sends on.
func (p *plan) enqueue(ctx context.Context, app *runtime.App, batches chan<- []task) error {
	var batch runtime.Batch
	var tasks []task
	flush := func() error {
		if err := batch.Enqueue(ctx, app); err != nil {
			return fmt.Errorf("enqueue: %w", err)
		}
		batches <- tasks // run takes them, also when ctx has ended
		batch, tasks = runtime.Batch{}, nil
		return nil
	}
	add := func(path string, call runtime.Call[Change]) error {
		tasks = append(tasks, task{path, runtime.AddTo(&batch, call)})
		if len(tasks) < batchSize {
			return nil
		}
		return flush()
	}
	for _, path := range p.forget {
		if err := add(path, ForgetFileCall(path)); err != nil {
			return err
		}
	}
	for _, path := range p.add {
		if err := add(path, AddFileCall(path)); err != nil {
			return err
		}
	}
	return flush()
}
