package enginetest

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

var manyTests = []test{
	{name: "EachOnce", run: testManyOnce},
	{name: "EachOnceBetweenHandles", run: testManyHandles, needs: need{second: true}},
	{name: "MixedOutcomes", run: testManyMixed},
	{name: "StopAndStart", run: testManyRestarts},
	{name: "SeenByAnotherHandle", run: testSeenByAnother, needs: need{second: true}},
	{name: "OperatedFromAnotherHandle", run: testOperatedByAnother, needs: need{second: true}},
	{name: "TakenOverByAnotherHandle", run: testTakenOver, needs: need{second: true}},
	{name: "Queues", run: testManyQueues},
}

// fill enqueues the bench's number of tasks from several goroutines, alone and
// in batches. Each task's argument is its number.
func (b *bench) fill(name string, into ...engine.Engine) []uuid.UUID {
	b.Helper()
	const producers = 4
	var mu sync.Mutex
	var ids []uuid.UUID
	var wg sync.WaitGroup
	for p := range producers {
		e := into[p%len(into)]
		wg.Go(func() {
			for i := p; i < b.o.Tasks; i += producers {
				m := b.message(name, func(m *engine.Message) { m.Args = json.RawMessage(fmt.Sprintf(`{"n":%d}`, i)) })
				ins, err := e.Insert(context.Background(), []*engine.Message{m})
				if err != nil {
					b.Errorf("Insert: %v", err)
					return
				}
				mu.Lock()
				ids = append(ids, ins[0].ID)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return ids
}

func testManyOnce(b *bench) {
	var l log
	run := func(_ context.Context, d *engine.Delivery) engine.Outcome {
		l.add(d)
		return engine.Outcome{Kind: engine.OutcomeSucceed, Result: d.Message.Args}
	}
	for range 3 {
		b.auto([]string{"task.many"}, run, slots(4))
	}
	ids := b.fill("task.many", b.e)
	for _, id := range ids {
		if en := b.until(id, engine.StateSucceeded); !sameJSON(en.Result, en.Message.Args) {
			b.Errorf("the task with %s has the result of another, %s", en.Message.Args, en.Result)
		}
	}
	l.once(b, ids)
}

func testManyHandles(b *bench) {
	second, third := b.second(), b.second()
	var l log
	counts := make([]int, 3)
	var mu sync.Mutex
	for i, e := range []engine.Engine{b.e, second, third} {
		s := b.serveOn(e, []string{"task.many"}, slots(4), func(w *engine.Worker) {
			w.RunInline = func(_ context.Context, d *engine.Delivery, o *engine.Outcome) {
				l.add(d)
				mu.Lock()
				counts[i]++
				mu.Unlock()
				time.Sleep(time.Millisecond)
				o.Kind = engine.OutcomeSucceed
			}
			inline := w.RunInline
			w.Run = func(ctx context.Context, d *engine.Delivery) (o engine.Outcome) {
				inline(ctx, d, &o)
				return o
			}
		})
		_ = s
	}
	ids := b.fill("task.many", b.e, second, third)
	for _, id := range ids {
		b.until(id, engine.StateSucceeded)
	}
	l.once(b, ids)
	b.Logf("%d tasks on 3 handles were shared as %v", len(ids), counts)
}

// testManyMixed: all outcomes at once, on all states.
func testManyMixed(b *bench) {
	var l log
	for range 2 {
		b.auto([]string{"task.mixed"}, func(_ context.Context, d *engine.Delivery) engine.Outcome {
			n := l.add(d)
			switch kind := d.Message.Meta.ID[15] % 6; {
			case n > 1:
				return engine.Outcome{Kind: engine.OutcomeSucceed}
			case kind == 0:
				return engine.Outcome{Kind: engine.OutcomeFail, Reason: "fail"}
			case kind == 1:
				return engine.Outcome{Kind: engine.OutcomeCancel, Reason: "cancel"}
			case kind == 2:
				return engine.Outcome{Kind: engine.OutcomeRetry, After: time.Millisecond, Reason: "retry"}
			case kind == 3:
				return engine.Outcome{Kind: engine.OutcomeDelay}
			case kind == 4:
				return engine.Outcome{Kind: engine.OutcomeRelease}
			}
			return engine.Outcome{Kind: engine.OutcomeSucceed}
		}, slots(4))
	}
	ids := make([]uuid.UUID, 0, b.o.Tasks/2)
	for range b.o.Tasks / 2 {
		id := uuid.New()
		ids = append(ids, b.insert("task.mixed", func(m *engine.Message) { m.Meta.ID = id }))
	}
	for _, id := range ids {
		en := b.ended(id)
		want, runs, attempt := engine.StateSucceeded, 1, 0
		switch id[15] % 6 {
		case 0:
			want = engine.StateFailed
		case 1:
			want = engine.StateCancelled
		case 2:
			runs, attempt = 2, 1
		case 3, 4:
			runs = 2
		}
		l.mu.Lock()
		got := l.runs[id]
		l.mu.Unlock()
		if en.State != want || got != runs || en.Attempt != attempt {
			b.Errorf("task of kind %d ended %s after %d runs with Attempt %d, want %s, %d, %d",
				id[15]%6, en.State, got, en.Attempt, want, runs, attempt)
		}
	}
}

// testManyRestarts: workers come and go under load; nothing is lost, and
// nothing that was concluded runs again.
func testManyRestarts(b *bench) {
	var l log
	stopping, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := 0; stopping.Err() == nil; i++ {
				ctx, cancel := context.WithCancel(stopping)
				var ran sync.Once
				soon := func() { time.AfterFunc(b.o.Step, cancel) }
				if i%2 == 0 {
					ran.Do(soon)
				} // the other half runs something first, or none would where beginning takes long
				run := func(_ context.Context, d *engine.Delivery, o *engine.Outcome) {
					ran.Do(soon)
					l.add(d)
					o.Kind = engine.OutcomeSucceed
				}
				err := b.e.Serve(ctx, &engine.Worker{
					ID: uuid.NewString(), Slots: 3, Queues: []string{b.queue}, Names: []string{"task.many"},
					ParkFor: time.Hour, Abandon: make(chan struct{}), Now: time.Now,
					RunInline: run,
					Run: func(ctx context.Context, d *engine.Delivery) (o engine.Outcome) {
						run(ctx, d, &o)
						return o
					},
					Refused: func(d *engine.Delivery, _ engine.Outcome) {
						b.Errorf("the outcome of %s was refused", d.Message.Meta.ID)
					},
				})
				cancel()
				if err != nil {
					b.Errorf("Serve: %v", err)
					return
				}
			}
		})
	}
	ids := b.fill("task.many", b.e)
	b.poll("all tasks end", func() bool { return l.len() >= len(ids) })
	stop()
	wg.Wait()
	for _, id := range ids {
		b.until(id, engine.StateSucceeded)
	}
	l.once(b, ids)
}

// testSeenByAnother: a worker of another process runs the tasks that this one
// enqueues, and this one sees their results.
func testSeenByAnother(b *bench) {
	other := b.second()
	s := b.serveOn(other, []string{"task.afar"})
	for _, delay := range []time.Duration{0, 2 * b.o.Step} {
		began := time.Now()
		id := b.insert("task.afar", func(m *engine.Message) {
			if delay > 0 {
				m.Due = began.Add(delay)
			}
		})
		h := s.next()
		b.Logf("another handle ran a task that is due in %v after %v", delay, time.Since(began))
		h.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`"from afar"`)})
		if en := b.until(id, engine.StateSucceeded); !sameJSON(en.Result, json.RawMessage(`"from afar"`)) {
			b.Errorf("Entry.Result is %s", shown(en.Result))
		}
		if w, ok := b.e.(engine.Waiter); ok {
			if en, err := w.Wait(b.ctx(), id); err != nil || en.State != engine.StateSucceeded {
				b.Errorf("Wait returned %+v, %v", en, err)
			}
		}
	}
}

// testOperatedByAnother: an operator's process works on the same tasks.
func testOperatedByAnother(b *bench) {
	other := b.second()
	s := b.serve([]string{"task.afar"})
	id := b.insert("task.afar")
	h := s.next()
	b.is("Delete of a task that runs in another process", other.Delete(b.ctx(), id), engine.ErrRunning)
	h.save(`"progress"`)
	en, err := other.Get(b.ctx(), id)
	if err != nil || en.State != engine.StateRunning || en.Worker != s.w.ID {
		b.Fatalf("Get in another process returned %+v, %v, want the running task", en, err)
	}
	b.memoIs("Entry in another process", en.Memo, `"progress"`)
	h.conclude(engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"})
	b.until(id, engine.StateFailed)
	if err := other.Retry(b.ctx(), id); err != nil {
		b.Fatalf("Retry in another process: %v", err)
	}
	s.next().succeed()
	b.until(id, engine.StateSucceeded)
	if err := other.Delete(b.ctx(), id); err != nil {
		b.Fatalf("Delete in another process: %v", err)
	}
	b.gone(id)
}

// testTakenOver: a process gives tasks back at its shutdown, another runs
// them, and the late outcome is refused.
func testTakenOver(b *bench) {
	other := b.second()
	id := b.insert("task.over")
	s := b.serve([]string{"task.over"})
	late := s.next()
	s.cancel()
	s.abandon()
	b.unfinished(s.wait(), late)
	h := b.serveOn(other, []string{"task.over"}).next()
	if h.id() != id || h.d.Attempt != 0 {
		b.Errorf("the other process runs %s with Attempt %d, want %s with 0", h.id(), h.d.Attempt, id)
	}
	late.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`"late"`)})
	s.nextRefused()
	h.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`"mine"`)})
	if en := b.until(id, engine.StateSucceeded); !sameJSON(en.Result, json.RawMessage(`"mine"`)) {
		b.Errorf("Entry.Result is %s, want that of the process that took over", shown(en.Result))
	}
}

// testManyQueues: in hundreds of queues of one worker tasks run, also those that were
// put aside when nobody knew them, that are due later, and that are retried.
func testManyQueues(b *bench) {
	names := make([]string, 300)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%03d", b.queue, i)
	}
	in := func(i int) func(*engine.Message) {
		return func(m *engine.Message) { m.Queue = names[i] }
	}
	ids := []uuid.UUID{b.insert("task.many", in(150)), b.insert("task.many", in(299))}
	stranger := b.serve([]string{"task.other"}, func(w *engine.Worker) { w.Queues = names })
	b.poll("the tasks that nobody knows are put aside", func() bool {
		return b.get(ids[0]).Reason != "" && b.get(ids[1]).Reason != ""
	})
	stranger.mustStop()
	for i := range names {
		ids = append(ids, b.insert("task.many", in(i)))
	}
	for i := 40; i < len(names); i += 100 {
		ids = append(ids, b.insert("task.many", in(i), dueIn(b.o.Step)))
	}
	var l log
	b.auto([]string{"task.many"}, func(_ context.Context, d *engine.Delivery) engine.Outcome {
		if l.add(d); d.Attempt == 0 && d.Message.Queue == names[7] {
			return engine.Outcome{Kind: engine.OutcomeRetry, After: time.Millisecond}
		}
		return engine.Outcome{Kind: engine.OutcomeSucceed}
	}, slots(4), func(w *engine.Worker) { w.Queues = names })
	for _, id := range ids {
		b.until(id, engine.StateSucceeded)
	}
	for i := range names {
		if i%60 == 0 {
			b.until(b.insert("task.many", in(i)), engine.StateSucceeded)
		}
	}
}
