package enginetest

import "github.com/taskctx/taskctx/runtime/engine"

var fullTests = []test{
	{name: "TypedErrorAndBounded", run: testFull, needs: need{bounded: true}},
	{name: "BatchAllOrNone", run: testFullBatch, needs: need{bounded: true, feature: AtomicBatches}},
	{name: "RoomAfterAnEnd", run: testFullThenRoom, needs: need{bounded: true}},
}

// bounded replaces the bench's engine by one of the given capacity.
func (b *bench) bounded(capacity int) {
	b.Helper()
	b.e = b.o.Bounded(b, capacity)
}

func testFull(b *bench) {
	const capacity = 20
	b.bounded(capacity)
	stored := 0
	for range 10 * capacity {
		_, err := b.e.Insert(b.ctx(), []*engine.Message{b.message("task.full")})
		if err == nil {
			stored++
			continue
		}
		b.is("Insert into a full engine", err, engine.ErrQueueFull)
	}
	if stored != capacity {
		b.Errorf("an engine of capacity %d stored %d tasks of %d", capacity, stored, 10*capacity)
	}
	if one, ok := b.e.(engine.SingleInserter); ok {
		_, err := one.InsertOne(b.ctx(), b.message("task.full"))
		b.is("InsertOne into a full engine", err, engine.ErrQueueFull)
	}
}

func testFullBatch(b *bench) {
	b.bounded(3)
	b.insert("task.first")
	_, err := b.e.Insert(b.ctx(), []*engine.Message{b.message("task.a"), b.message("task.b"), b.message("task.c")})
	b.is("Insert of 3 messages where there is room for 2", err, engine.ErrQueueFull)
	b.batch(b.message("task.d"), b.message("task.e"))
}

func testFullThenRoom(b *bench) {
	b.bounded(2)
	first, second := b.insert("task.full"), b.insert("task.full")
	if err := b.e.Cancel(b.ctx(), second, ""); err != nil {
		b.Fatal(err)
	}
	b.insert("task.full")
	s := b.serve([]string{"task.full"}, slots(1)) // with two, either may be seen first
	h := s.next()
	if h.id() != first {
		b.Errorf("task %s was run first, want the one enqueued first", h.id())
	}
	_, err := b.e.Insert(b.ctx(), []*engine.Message{b.message("task.full")})
	b.is("Insert while one task waits and one runs, at capacity 2", err, engine.ErrQueueFull)
	h.succeed()
	b.until(first, engine.StateSucceeded)
	b.insert("task.full")
}
