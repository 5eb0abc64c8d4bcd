package enginetest

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

var weightTests = []test{
	{name: "Strict", run: testWeightStrict},
	{name: "Shares", run: testWeightShares},
	{name: "OfPriorities", run: testWeightPriorities, needs: need{feature: Priorities}},
	{name: "OfParked", run: testWeightParked},
}

// weighted serves the queues of the weights, all of which begin with the bench's.
func (b *bench) weighted(strict bool, weights map[string]int) func(*engine.Worker) {
	return func(w *engine.Worker) {
		w.Queues, w.Weights, w.Strict = nil, make(map[string]int), strict
		for suffix, n := range weights {
			w.Queues = append(w.Queues, b.queue+suffix)
			if n > 0 {
				w.Weights[b.queue+suffix] = n
			}
		}
		slices.Sort(w.Queues)
	}
}

// fillQueue inserts n tasks into the bench's queue with the suffix.
func (b *bench) fillQueue(suffix string, n int) {
	b.Helper()
	var ms []*engine.Message
	for range n {
		ms = append(ms, b.message("task.w", inQueue(b.queue+suffix)))
	}
	b.batch(ms...)
}

func inQueue(queue string) func(*engine.Message) { return func(m *engine.Message) { m.Queue = queue } }

// queuesRun runs n tasks on one slot and returns the ends of the names of their queues.
func (b *bench) queuesRun(n int, edits ...func(*engine.Worker)) (queues []string) {
	b.Helper()
	ran, end := make(chan string), make(chan struct{})
	s := b.auto([]string{"task.w"}, func(_ context.Context, d *engine.Delivery) engine.Outcome {
		select {
		case ran <- d.Message.Queue[len(b.queue):]:
		case <-end:
		}
		return engine.Outcome{Kind: engine.OutcomeSucceed}
	}, append(edits, slots(1))...)
	for range n {
		select {
		case q := <-ran:
			queues = append(queues, q)
		case <-b.ctx().Done():
			b.Fatalf("only %d of %d tasks were run", len(queues), n)
		}
	}
	close(end)
	s.mustStop()
	return queues
}

// testWeightStrict: the queue of the highest weight goes first although its tasks have
// been due shortest, one without a weight last, and those of one weight in any order.
func testWeightStrict(b *bench) {
	b.fillQueue("-none", 4)
	b.fillQueue("-low", 4)
	b.fillQueue("-same", 4)
	b.fillQueue("-high", 4)
	got := b.queuesRun(16, b.weighted(true, map[string]int{"-none": 0, "-low": 2, "-same": 2, "-high": 3}))
	slices.Sort(got[4:12])
	want := slices.Concat(slices.Repeat([]string{"-high"}, 4), slices.Repeat([]string{"-low"}, 4),
		slices.Repeat([]string{"-same"}, 4), slices.Repeat([]string{"-none"}, 4))
	if !slices.Equal(got, want) {
		b.Errorf("in strict order the tasks of the queues ran as %v, want %v", got, want)
	}
}

// testWeightShares: while both queues have tasks one of weight 4 gets four times as
// many as the other, and all are run in the end.
func testWeightShares(b *bench) {
	b.fillQueue("-one", 100)
	b.fillQueue("-four", 100)
	got := b.queuesRun(200, b.weighted(false, map[string]int{"-one": 0, "-four": 4}))
	four := 0
	for _, q := range got[:100] {
		if q == "-four" {
			four++
		}
	}
	if four < 60 || four > 96 { // five deviations of 4 around 80
		b.Errorf("of 100 tasks %d were of the queue of weight 4 beside one of weight 1, want about 80", four)
	}
}

// testWeightPriorities: within a queue the order is that of priorities, as without
// weights.
func testWeightPriorities(b *bench) {
	edit := func(queue string, priority int8) func(*engine.Message) {
		return func(m *engine.Message) { m.Queue, m.Priority = b.queue+queue, priority }
	}
	want := make([]uuid.UUID, 4)
	want[3] = b.insert("task.w", edit("-low", 1))
	want[2] = b.insert("task.w", edit("-low", 3))
	want[1] = b.insert("task.w", edit("-high", 1))
	want[0] = b.insert("task.w", edit("-high", 2))
	s := b.serve([]string{"task.w"}, slots(1), b.weighted(true, map[string]int{"-low": 1, "-high": 2}))
	for i, id := range want {
		h := s.next()
		if h.id() != id {
			b.Errorf("run %d is of a task of priority %d of the queue %s, want another", i, h.d.Message.Priority, h.d.Message.Queue)
		}
		h.succeed()
	}
}

// testWeightParked: tasks of a queue that goes first but whose names the worker does not
// know hold up no other queue.
func testWeightParked(b *bench) {
	for i := range 5 {
		b.insert(fmt.Sprintf("task.unknown%d", i), inQueue(b.queue+"-high"))
	}
	b.fillQueue("-low", 3)
	got := b.queuesRun(3, b.weighted(true, map[string]int{"-low": 1, "-high": 2}))
	if want := slices.Repeat([]string{"-low"}, 3); !slices.Equal(got, want) {
		b.Errorf("the tasks of the queues ran as %v, want %v", got, want)
	}
}
