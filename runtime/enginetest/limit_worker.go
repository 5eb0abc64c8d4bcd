package enginetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

func testLimitOtherHandle(b *bench) {
	s := b.serve([]string{"task.limited"}, slots(3))
	other := b.serveOn(b.second(), []string{"task.limited"}, slots(3))
	two := b.limit("k", 2)
	for range 8 {
		b.insert("task.limited", two)
	}
	next := func() *handed {
		b.Helper()
		select {
		case h := <-s.runs:
			return h
		case h := <-other.runs:
			return h
		case <-time.After(b.o.Patience):
			b.Fatalf("no task was run for %v, although the key has a place", b.o.Patience)
			return nil
		}
	}
	first, second := next(), next()
	for range 3 {
		s.quiet("two tasks of the key run")
		other.none("two tasks of the key run")
		first.succeed()
		second.succeed()
		first, second = next(), next()
	}
	first.succeed()
	second.succeed()
}

// testLimitLostWorker: the place of a task whose worker is lost is free once its
// lease is over, and goes to that task or another.
func testLimitLostWorker(b *bench) {
	one := b.limit("k", 1)
	lost := b.serve([]string{"task.limited"}, slots(1))
	first := b.insert("task.limited", one)
	h := lost.nextID(first)
	b.pause()
	second := b.second()
	s := b.serveOn(second, []string{"task.limited"}, slots(3))
	b.insertInto(second, b.message("task.limited", one))
	again := s.next()
	s.quiet("a task of the key runs")
	again.succeed()
	s.next().succeed()
	h.conclude(engine.Outcome{Kind: engine.OutcomeRelease})
}

// testLimitRace: with many keys and several workers never more run than may, and
// all do.
func testLimitRace(b *bench) {
	const keys, most = 7, 2
	var mu sync.Mutex
	running, over := make(map[string]int), 0
	var l log
	run := func(_ context.Context, d *engine.Delivery) engine.Outcome {
		key := d.Message.Limits[0].Key
		mu.Lock()
		if running[key]++; running[key] > most {
			over++
		}
		mu.Unlock()
		if d.Message.Priority == 0 && d.Attempt == 0 && d.Message.Meta.ID[15]%5 == 0 {
			mu.Lock()
			running[key]--
			mu.Unlock()
			return engine.Outcome{Kind: engine.OutcomeRetry, Reason: "again"}
		}
		time.Sleep(time.Millisecond)
		l.add(d)
		mu.Lock()
		running[key]--
		mu.Unlock()
		return engine.Outcome{Kind: engine.OutcomeSucceed}
	}
	for range 3 {
		b.auto([]string{"task.limited"}, run, slots(5))
	}
	var ids []uuid.UUID
	whole := b.limit("whole", 9)
	for i := range b.o.Tasks {
		ids = append(ids, b.insert("task.limited", b.limit(fmt.Sprint("key", i%keys), most), whole))
	}
	b.poll("all tasks have run", func() bool { return l.len() >= len(ids) })
	mu.Lock()
	defer mu.Unlock()
	if over > 0 {
		b.Errorf("%d times more than %d tasks of a key ran", over, most)
	}
	l.once(b, ids)
}
