package enginetest

import (
	"context"
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
