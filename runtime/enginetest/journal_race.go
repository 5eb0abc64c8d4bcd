package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

var journalRaceTests = []test{
	{name: "SignalAndSuspend", run: testRaceSignal, needs: need{journal: true}},
	{name: "ChildAndSuspend", run: testRaceChild, needs: need{journal: true}},
	{name: "ChildAndSuspendBetweenHandles", run: testRaceChildHandles, needs: need{journal: true, second: true}},
	{name: "CancelAndWake", run: testRaceCancelWake, needs: need{journal: true}},
	{name: "DeleteAndWake", run: testRaceDeleteWake, needs: need{journal: true}},
	{name: "TakeOverAndRecord", run: testRaceTakeOver, needs: need{journal: true, second: true, pause: true}},
	{name: "ManyParentsCrossed", run: testRaceCrossed, needs: need{journal: true}},
	{name: "FallbackAndArrival", run: testRaceFallback, needs: need{journal: true}},
}

var journalManyTests = []test{
	{name: "FanOutLinear", run: testManyFanOut, needs: need{journal: true}},
	{name: "ManyWaiting", run: testManyWaiting, needs: need{journal: true}},
	{name: "TreeOnOneSlot", run: testManyTree, needs: need{journal: true}},
}

// durable is the tools of a durable task's run in a test without an App. Its
// methods fail the test, and then give the task up.
type durable struct {
	b *bench
	d *engine.Delivery
}

// gaveUp is the panic of a durable.
type gaveUp struct{}

// durably makes a function of a durable task one for autoOn.
func (b *bench) durably(f func(d durable) engine.Outcome) func(context.Context, *engine.Delivery) engine.Outcome {
	return func(_ context.Context, d *engine.Delivery) (o engine.Outcome) {
		defer func() {
			if p := recover(); p == (gaveUp{}) {
				o = engine.Outcome{Kind: engine.OutcomeFail, Reason: "the test has failed"}
			} else if p != nil {
				panic(p)
			}
		}()
		return f(durable{b, d})
	}
}

func (d durable) do(what string, f func(engine.Journal) ([]engine.JournalEntry, error)) []engine.JournalEntry {
	es, err := f(d.d.Memo.(engine.Journal))
	if errors.Is(err, engine.ErrLeaseLost) { // its outcome is refused
		panic(gaveUp{})
	}
	if err != nil {
		d.b.Errorf("%s: %v", what, err)
		panic(gaveUp{})
	}
	return es
}

// argN are arguments with one number.
func argN(n int) json.RawMessage { return json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)) }

// n is the number in the task's arguments.
func (d durable) n() (n int) {
	if err := json.Unmarshal(d.d.Message.Args, &struct{ N *int }{&n}); err != nil {
		d.b.Errorf("arguments %s: %v", d.d.Message.Args, err)
	}
	return n
}

// read returns the journal, and a Wait that has seen all of it.
func (d durable) read() (map[string]engine.JournalEntry, engine.Wait) {
	var w engine.Wait
	by := make(map[string]engine.JournalEntry)
	for _, e := range d.do("ReadJournal", func(j engine.Journal) ([]engine.JournalEntry, error) {
		return j.ReadJournal(context.Background())
	}) {
		by[e.Name] = e
		w.Seen = max(w.Seen, e.Came)
		if e.Failed() {
			w.Failed++
		}
	}
	return by, w
}

// spawn records children of the names, of one task.
func (d durable) spawn(task string, names []string, edits ...func(*engine.Message)) {
	es := make([]engine.NewEntry, len(names))
	for i, name := range names {
		h := handed{b: d.b, d: d.d}
		es[i] = h.child(name, task, edits...)
	}
	d.do("Record", func(j engine.Journal) ([]engine.JournalEntry, error) { return j.Record(context.Background(), es) })
}

// all spawns children of the names that are not there, and waits for all.
func (d durable) all(task string, names []string) engine.Outcome {
	by, w := d.read()
	var missing []string
	for _, name := range names {
		if _, ok := by[name]; !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		d.spawn(task, missing)
	}
	for _, name := range names {
		if by[name].Came == 0 {
			w.Need++
		}
	}
	if w.Need == 0 {
		return engine.Outcome{Kind: engine.OutcomeSucceed, Result: number(len(names))}
	}
	return engine.Outcome{Kind: engine.OutcomeSuspend, Wait: &w, Reason: "waits"}
}

// autoOn is auto on another engine or handle.
func (b *bench) autoOn(e engine.Engine, names []string, run func(context.Context, *engine.Delivery) engine.Outcome,
	edits ...func(*engine.Worker)) *server {
	b.Helper()
	return b.serveOn(e, names, append(edits, func(w *engine.Worker) {
		w.Run = run
		w.RunInline = func(ctx context.Context, d *engine.Delivery, o *engine.Outcome) { *o = run(ctx, d) }
	})...)
}

// testRaceSignal: a signal comes in the moment in which its task is suspended.
// None is lost.
func testRaceSignal(b *bench) {
	began := make(chan uuid.UUID, b.o.Tasks)
	b.auto([]string{"task.race"}, b.durably(func(d durable) engine.Outcome {
		by, w := d.read()
		if _, ok := by["go"]; ok {
			return engine.Outcome{Kind: engine.OutcomeSucceed}
		}
		began <- d.d.Message.Meta.ID
		w.Need, w.Name = 1, "go"
		return engine.Outcome{Kind: engine.OutcomeSuspend, Wait: &w}
	}), slots(4))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for id := range began {
				time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
				if err := b.signalOn(b.e, id, "go", "", `1`); err != nil {
					b.Errorf("Signal: %v", err)
				}
			}
		})
	}
	ids := make([]uuid.UUID, b.o.Tasks)
	for i := range ids {
		ids[i] = b.insert("task.race")
	}
	for _, id := range ids {
		b.until(id, engine.StateSucceeded)
	}
	close(began)
	wg.Wait()
}

// raceChildren: parents of two children each, which end in the moment in which their
// parent is suspended.
func (b *bench) raceChildren(es ...engine.Engine) {
	run := b.durably(func(d durable) engine.Outcome {
		if d.d.Message.Name == "task.child" {
			return engine.Outcome{Kind: engine.OutcomeSucceed}
		}
		return d.all("task.child", []string{"a", "b"})
	})
	for _, e := range es {
		b.autoOn(e, []string{"task.child", "task.race"}, run, slots(4))
	}
	ids := b.fill("task.race", es...)
	for _, id := range ids {
		b.until(id, engine.StateSucceeded)
	}
	for _, id := range ids[:min(20, len(ids))] {
		if es := b.journal(id); len(es) != 2 {
			b.Errorf("the journal of a parent of two children has %s", entryNames(es))
		}
	}
}

func testRaceChild(b *bench) { b.raceChildren(b.e) }

func testRaceChildHandles(b *bench) { b.raceChildren(b.e, b.second(), b.second()) }

// testRaceCancelWake: a task is woken and cancelled at the same time. It ends.
func testRaceCancelWake(b *bench) {
	b.raceWake(func(id uuid.UUID) error { return b.e.Cancel(context.Background(), id, "told") })
}

// testRaceDeleteWake: a task is woken and deleted at the same time. It ends, or is
// gone.
func testRaceDeleteWake(b *bench) {
	b.raceWake(func(id uuid.UUID) error { return b.e.Delete(context.Background(), id) })
}

func (b *bench) raceWake(do func(id uuid.UUID) error) {
	b.auto([]string{"task.race"}, b.durably(func(d durable) engine.Outcome {
		by, w := d.read()
		if _, ok := by["go"]; ok {
			return engine.Outcome{Kind: engine.OutcomeSucceed}
		}
		w.Need = 1
		return engine.Outcome{Kind: engine.OutcomeSuspend, Wait: &w}
	}), slots(4))
	for range b.o.Tasks / 10 {
		id := b.insert("task.race")
		b.until(id, engine.StateWaiting)
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := b.signalOn(b.e, id, "go", "", `1`); err != nil && !errors.Is(err, engine.ErrState) && !errors.Is(err, engine.ErrNotFound) {
				b.Errorf("Signal: %v", err)
			}
		})
		wg.Go(func() {
			if err := do(id); err != nil && !errors.Is(err, engine.ErrRunning) {
				b.Errorf("beside a signal: %v", err)
			}
		})
		wg.Wait()
		b.poll("a task that was woken and cancelled or deleted ends", func() bool {
			en, err := b.e.Get(b.ctx(), id)
			return errors.Is(err, engine.ErrNotFound) || err == nil && en.State.Final()
		})
	}
}

// testRaceTakeOver: a worker records while its task is taken over: either it has
// stored all of it, and the next run finds it, or nothing.
func testRaceTakeOver(b *bench) {
	other := b.second()
	id := b.insert("task.parent")
	late := b.serve([]string{"task.parent"}).next()
	resume := b.pause()
	done := make(chan error, 1)
	go func() {
		_, err := late.journal().Record(b.ctx(), []engine.NewEntry{step("a", `"late"`), late.child("c", "task.child", dueIn(time.Hour))})
		done <- err
	}()
	h := b.serveOn(other, []string{"task.parent"}).next()
	resume()
	err := <-done
	es := h.read()
	if err != nil {
		b.is("Record by a worker that has lost its task", err, engine.ErrLeaseLost)
	}
	if stored := len(es); err == nil && stored != 2 || err != nil && stored != 0 {
		b.Errorf("Record answered %v, and the next run reads %s", err, entryNames(es))
	}
	if n := len(b.listed(engine.Query{Queue: b.queue, Name: "task.child"})); n*2 != len(es) {
		b.Errorf("there are %d children, and the journal has %s", n, entryNames(es))
	}
	late.succeed()
	h.succeed()
	b.until(id, engine.StateSucceeded)
}

// testRaceCrossed: tasks that are parents and children of others suspend, end, are
// signalled and cancelled, all at once. Nothing waits for ever on another.
func testRaceCrossed(b *bench) {
	b.auto([]string{"task.child", "task.race"}, b.durably(func(d durable) engine.Outcome {
		if d.d.Message.Name == "task.child" {
			if rand.IntN(4) == 0 {
				return engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"}
			}
			return engine.Outcome{Kind: engine.OutcomeSucceed}
		}
		names := make([]string, 4)
		for i := range names {
			names[i] = fmt.Sprint("c", i)
		}
		if d.d.Message.Meta.Parent == uuid.Nil { // two levels
			return d.all("task.race", names[:2])
		}
		return d.all("task.child", names)
	}), slots(8))
	n := max(b.o.Tasks/10, 10)
	ids := make([]uuid.UUID, n)
	var wg sync.WaitGroup
	for i := range ids {
		ids[i] = b.insert("task.race")
		wg.Go(func() {
			time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
			err := b.signalOn(b.e, ids[i], "poke", "", `1`)
			if i%5 == 0 {
				err = b.e.Cancel(context.Background(), ids[i], "told")
			}
			if err != nil && !errors.Is(err, engine.ErrState) {
				b.Errorf("Signal or Cancel: %v", err)
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		b.ended(id)
	}
	b.poll("all children end", func() bool {
		for _, s := range []engine.State{engine.StateWaiting, engine.StatePending, engine.StateRunning} {
			if es, _, err := b.e.List(b.ctx(), engine.Query{Queue: b.queue, States: []engine.State{s}, Limit: 1}); err != nil || len(es) > 0 {
				return false
			}
		}
		return true
	})
}

// testRaceFallback: the awaited signal comes in the moment in which its time
// is over. The task runs again once for both.
func testRaceFallback(b *bench) {
	var l log
	run := b.durably(func(d durable) engine.Outcome {
		n := l.add(d.d)
		by, w := d.read()
		if _, ok := by["go"]; ok {
			return engine.Outcome{Kind: engine.OutcomeSucceed}
		}
		if n > 100 {
			return engine.Outcome{Kind: engine.OutcomeFail, Reason: "it runs again and again"}
		}
		w.Need = 1
		return engine.Outcome{Kind: engine.OutcomeSuspend, Wait: &w, After: b.o.Step}
	})
	b.auto([]string{"task.race"}, run, slots(4))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			id := b.insert("task.race")
			time.Sleep(b.o.Step + time.Duration(rand.IntN(5000)-2500)*time.Microsecond)
			if err := b.signalOn(b.e, id, "go", "", `1`); err != nil {
				b.Errorf("Signal: %v", err)
			}
			b.until(id, engine.StateSucceeded)
		})
	}
	wg.Wait()
}

// testManyFanOut: the cost of a child does not grow with their number.
func testManyFanOut(b *bench) {
	n := 4 * b.o.Tasks
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("c/", i)
	}
	b.auto([]string{"task.child", "task.parent"}, b.durably(func(d durable) engine.Outcome {
		if d.d.Message.Name == "task.child" {
			return engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`1`)}
		}
		size := d.n()
		by, w := d.read()
		for from := len(by); from < size; from += 1000 {
			d.spawn("task.child", names[from:min(from+1000, size)])
		}
		for _, name := range names[:size] {
			if by[name].Came == 0 {
				w.Need++
			}
		}
		if w.Need == 0 {
			return engine.Outcome{Kind: engine.OutcomeSucceed}
		}
		return engine.Outcome{Kind: engine.OutcomeSuspend, Wait: &w}
	}), slots(4))
	var took [2]time.Duration
	for i, size := range []int{n / 8, n} {
		began := time.Now()
		id := b.insert("task.parent", func(m *engine.Message) { m.Args = argN(size) })
		b.until(id, engine.StateSucceeded)
		took[i] = time.Since(began) / time.Duration(size)
		if es := b.journal(id); len(es) != size {
			b.Errorf("the journal has %d entries, want %d", len(es), size)
		}
	}
	b.Logf("a child took %v of %d, and %v of %d", took[0], n/8, took[1], n)
	if took[1] > 5*took[0]+time.Millisecond {
		b.Errorf("a child of %d took %v, of %d it took %v", n, took[1], n/8, took[0])
	}
}

// testManyWaiting: many tasks wait at once on few slots, and all go on.
func testManyWaiting(b *bench) {
	n := 2 * b.o.Tasks
	b.auto([]string{"task.parent"}, b.durably(func(d durable) engine.Outcome {
		by, w := d.read()
		if _, ok := by["go"]; ok {
			return engine.Outcome{Kind: engine.OutcomeSucceed}
		}
		w.Need, w.Name = 1, "go"
		return engine.Outcome{Kind: engine.OutcomeSuspend, Wait: &w, After: time.Hour}
	}), slots(4))
	ids := make([]uuid.UUID, 0, n)
	for len(ids) < n {
		ms := make([]*engine.Message, min(100, n-len(ids)))
		for i := range ms {
			ms[i] = b.message("task.parent")
		}
		ids = append(ids, b.batch(ms...)...)
	}
	for _, id := range ids {
		b.until(id, engine.StateWaiting)
	}
	var wg sync.WaitGroup
	for part := range 4 {
		wg.Go(func() {
			for i := part; i < n; i += 4 {
				if err := b.signalOn(b.e, ids[i], "go", "", `1`); err != nil {
					b.Errorf("Signal: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		b.until(id, engine.StateSucceeded)
	}
}

// testManyTree: a tree of tasks that wait for their children ends on one slot.
func testManyTree(b *bench) {
	b.auto([]string{"task.tree"}, b.durably(func(d durable) engine.Outcome {
		depth := d.n()
		if depth == 0 {
			return engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`1`)}
		}
		by, w := d.read()
		names := []string{"a", "b", "c", "d", "e"}
		if len(by) == 0 {
			d.spawn("task.tree", names, func(m *engine.Message) { m.Args = argN(depth - 1) })
		}
		sum := 1
		for _, name := range names {
			var n int
			if e := by[name]; e.Came == 0 || json.Unmarshal(e.Result, &n) != nil {
				w.Need++
			}
			sum += n
		}
		if w.Need > 0 {
			return engine.Outcome{Kind: engine.OutcomeSuspend, Wait: &w}
		}
		return engine.Outcome{Kind: engine.OutcomeSucceed, Result: number(sum)}
	}), slots(1))
	id := b.insert("task.tree", func(m *engine.Message) { m.Args = argN(3) })
	if en := b.until(id, engine.StateSucceeded); !sameJSON(en.Result, number(156)) {
		b.Errorf("a tree of 156 tasks counted %s", shown(en.Result))
	}
}
