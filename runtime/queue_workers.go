package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/taskctx/taskctx/runtime/engine"
)

// serveQueues serves the queues of w.Queues by w, and each of Config.QueueWorkers by
// a worker of its own. When one fails the others end too.
func (a *App) serveQueues(ctx context.Context, of *worker, w *engine.Worker) error {
	if len(a.cfg.QueueWorkers) == 0 {
		return a.engine.Serve(ctx, w)
	}
	var all []*engine.Worker
	for _, q := range slices.Sorted(maps.Keys(a.cfg.QueueWorkers)) {
		own := *w
		own.ID, own.Slots, own.Queues = of.id+"."+q, a.cfg.QueueWorkers[q], []string{q}
		own.Weights, own.Strict = nil, false
		all = append(all, &own)
	}
	w.Queues = slices.DeleteFunc(w.Queues, func(q string) bool { return a.cfg.QueueWorkers[q] > 0 })
	if len(w.Queues) > 0 {
		all = append(all, w)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, w := range all {
		wg.Go(func() {
			if errs[i] = a.engine.Serve(ctx, w); errs[i] != nil {
				stop()
			}
		})
	}
	wg.Wait()
	return joinUnfinished(errs)
}

// wrongQueues returns the errors in QueueWorkers, QueueWeights and StrictQueues.
func (c *Config) wrongQueues() []error {
	var errs []error
	check := func(field string, of map[string]int) {
		for _, q := range slices.Sorted(maps.Keys(of)) {
			if q == "" {
				errs = append(errs, fmt.Errorf("Config.%s has a queue without a name", field))
			}
			if n := of[q]; n < 1 {
				errs = append(errs, fmt.Errorf("Config.%s[%q] is %d: it must be positive", field, q, n))
			}
		}
	}
	check("QueueWorkers", c.QueueWorkers)
	check("QueueWeights", c.QueueWeights)
	for _, q := range slices.Sorted(maps.Keys(c.QueueWeights)) {
		if c.QueueWorkers[q] > 0 {
			errs = append(errs, fmt.Errorf("Config.QueueWeights[%q]: the queue has workers of its own by Config.QueueWorkers", q))
		}
	}
	if c.StrictQueues && len(c.QueueWeights) == 0 {
		errs = append(errs, errors.New("Config.StrictQueues is set, but Config.QueueWeights is empty"))
	}
	return errs
}

// joinUnfinished makes one error of those of several workers, with one list of the
// tasks that were given back.
func joinUnfinished(errs []error) error {
	all := new(engine.UnfinishedError)
	var others []error
	for _, err := range errs {
		var u *engine.UnfinishedError
		if errors.As(err, &u) {
			all.Tasks = append(all.Tasks, u.Tasks...)
		} else if err != nil {
			others = append(others, err)
		}
	}
	if len(all.Tasks) > 0 {
		others = append(others, all)
	}
	return errors.Join(others...)
}
