package enginetest

import (
	"maps"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

var countTests = []test{
	{name: "ByQueueAndState", run: testCounts},
	{name: "ExactOrEstimated", run: testCountsMany},
}

// counts returns the engine's counts for the bench's queue.
func (b *bench) counts() map[engine.State]int64 {
	b.Helper()
	c, ok := b.e.(engine.Counter)
	if !ok {
		b.Skip("the engine is no Counter")
	}
	counts, err := c.Counts(b.ctx())
	if err != nil {
		b.Fatalf("Counts: %v", err)
	}
	got := make(map[engine.State]int64)
	for _, n := range counts {
		if n.Queue == b.queue {
			if _, twice := got[n.State]; twice || n.Tasks == 0 {
				b.Errorf("Counts returned %+v: want each queue and state once, and none without tasks", n)
			}
			got[n.State] = n.Tasks
		}
	}
	return got
}

func testCounts(b *bench) {
	if got := b.counts(); len(got) > 0 {
		b.Errorf("an empty queue is counted as %v", got)
	}
	s := b.serve([]string{"task.count"}, slots(10))
	for kind, state := range map[engine.OutcomeKind]engine.State{
		engine.OutcomeSucceed: engine.StateSucceeded, engine.OutcomeFail: engine.StateFailed,
		engine.OutcomeCancel: engine.StateCancelled, engine.OutcomeRetry: engine.StateRetrying,
	} {
		for range 2 {
			id := b.insert("task.count")
			s.next().conclude(engine.Outcome{Kind: kind, After: time.Hour, Reason: "r"})
			b.until(id, state)
		}
	}
	b.insert("task.count")
	h := s.next()
	b.insert("task.count", dueIn(time.Hour))
	for range 3 {
		b.insert("task.unknown")
	}
	want := map[engine.State]int64{
		engine.StateSucceeded: 2, engine.StateFailed: 2, engine.StateCancelled: 2, engine.StateRetrying: 2,
		engine.StateRunning: 1, engine.StateScheduled: 1, engine.StatePending: 3,
	}
	if got := b.counts(); !maps.Equal(got, want) {
		b.Errorf("Counts returned %v for the queue, want %v", got, want)
	}
	h.succeed()
}

// testCountsMany: above ExactCounts a count may be an estimate, marked as
// such.
func testCountsMany(b *bench) {
	c, ok := b.e.(engine.Counter)
	if !ok {
		b.Skip("the engine is no Counter")
	}
	const n, lot = engine.ExactCounts + 2_000, 1_000
	check := func(want int64, exact bool) {
		b.Helper()
		counts, err := c.Counts(b.ctx())
		if err != nil {
			b.Fatalf("Counts: %v", err)
		}
		for _, got := range counts {
			if got.Queue != b.queue {
				continue
			}
			switch {
			case got.State != engine.StateScheduled:
				b.Errorf("Counts returned %+v, want only tasks that are scheduled", got)
			case exact && (got.Estimated || got.Tasks != want):
				b.Errorf("Counts returned %+v of %d tasks, want the exact number up to %d", got, want, engine.ExactCounts)
			case got.Estimated && got.Tasks < engine.ExactCounts:
				b.Errorf("Counts estimates %+v, which it should have counted", got)
			case !got.Estimated && got.Tasks != want:
				b.Errorf("Counts returned %+v of %d tasks, and does not say that it is an estimate", got, want)
			}
			return
		}
		b.Errorf("Counts returned nothing of the queue, which has %d tasks", want)
	}
	for stored := 0; stored < n; stored += lot {
		ms := make([]*engine.Message, lot)
		for i := range ms {
			ms[i] = b.message("task.count", dueIn(time.Hour))
		}
		b.batch(ms...)
		if stored == 0 || stored+lot >= engine.ExactCounts {
			check(int64(stored+lot), stored+lot < engine.ExactCounts)
		}
	}
}
