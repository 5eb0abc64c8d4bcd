package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// replaceTests are of engine.Message.Replace.
var replaceTests = []test{
	{name: "LastContentWins", run: testReplaceContent},
	{name: "DueMoves", run: testReplaceDue},
	{name: "DueIsBounded", run: testReplaceFor},
	{name: "BegunIsLeft", run: testReplaceBegun},
	{name: "OtherNameIsLeft", run: testReplaceOtherName},
	{name: "OtherHoldIsLeft", run: testReplaceOtherHold},
	{name: "TakesOtherLimits", run: testReplaceLimits},
	{name: "ComesLastInOrder", run: testReplaceOrdered},
	{name: "Race", run: testReplaceRace},
}

// replacing is a message that replaces one that waits with the same key.
func (b *bench) replacing(n int, edits ...func(*engine.Message)) *engine.Message {
	b.Helper()
	m := b.message("task.replaced", edits...)
	m.Key, m.KeyHold, m.Replace = "replaced in "+b.queue, engine.HoldWaiting, true
	m.Args = json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))
	if err := b.e.Check(m); errors.Is(err, engine.ErrUnsupported) {
		b.Skip("the engine replaces no messages")
	}
	return m
}

// replaces fails the test unless the message takes the place of the task.
func (b *bench) replaces(m *engine.Message, id uuid.UUID) *engine.Entry {
	b.Helper()
	in := b.insertInto(b.e, m)
	if !in.Existing || in.ID != id {
		b.Fatalf("Insert: %+v, want the existing task %s", in, id)
	}
	return b.get(id)
}

func testReplaceContent(b *bench) {
	first := b.replacing(1, dueIn(time.Hour))
	id := b.put(first)
	m := b.replacing(2, func(m *engine.Message) { m.Meta.Tags = map[string]string{"a": "b"}; m.Meta.Retries = 7 })
	en := b.replaces(m, id)
	if string(en.Message.Args) == string(first.Args) || en.Message.Meta.Tags["a"] != "b" || en.Message.Meta.Retries != 7 {
		b.Errorf("the task is %s, tags %v, %d retries; want the content of the last message",
			en.Message.Args, en.Message.Meta.Tags, en.Message.Meta.Retries)
	}
	if !en.Message.Meta.EnqueuedAt.Equal(first.Meta.EnqueuedAt) {
		b.Errorf("EnqueuedAt is %v, want that of the first, %v", en.Message.Meta.EnqueuedAt, first.Meta.EnqueuedAt)
	}
	h := b.serve([]string{"task.replaced"}).nextID(id)
	var args struct{ N int }
	if err := json.Unmarshal(h.d.Message.Args, &args); err != nil || args.N != 2 {
		b.Errorf("the task runs with %s, want those of the last message", h.d.Message.Args)
	}
	h.succeed()
	b.until(id, engine.StateSucceeded)
}

func testReplaceDue(b *bench) {
	s := b.serve([]string{"task.replaced"})
	id := b.put(b.replacing(1, dueIn(20*b.o.Step)))
	for n := range 6 { // it would have been due before the last
		time.Sleep(4 * b.o.Step)
		b.replaces(b.replacing(n, dueIn(20*b.o.Step)), id)
	}
	s.none("the last message is not due yet")
	s.nextID(id).succeed()
	b.until(id, engine.StateSucceeded)
	s.none("it is one task")
}

func testReplaceFor(b *bench) {
	first := b.replacing(1, dueIn(time.Minute))
	id := b.put(first)
	m := b.replacing(2, dueIn(time.Hour))
	m.ReplaceFor = 10 * time.Minute
	en := b.replaces(m, id)
	if want := first.Meta.EnqueuedAt.Add(10 * time.Minute); en.Due.Sub(want).Abs() > time.Second {
		b.Errorf("the task is due at %v, want %v", en.Due, want)
	}
	soon := b.replacing(3, dueIn(time.Hour))
	soon.ReplaceFor = time.Nanosecond
	b.replaces(soon, id)
	b.serve([]string{"task.replaced"}).nextID(id).succeed()
}

// testReplaceBegun: the key of a task that has begun is free.
func testReplaceBegun(b *bench) {
	s := b.serve([]string{"task.replaced"}, slots(2))
	first := b.put(b.replacing(1))
	h := s.nextID(first)
	second := b.put(b.replacing(2))
	s.nextID(second).succeed()
	h.conclude(engine.Outcome{Kind: engine.OutcomeRetry, Reason: "again"})
	h = s.nextID(first)
	var args struct{ N int }
	if err := json.Unmarshal(h.d.Message.Args, &args); err != nil || args.N != 1 {
		b.Errorf("the task that had begun runs with %s, want its own", h.d.Message.Args)
	}
	h.succeed()
}

func testReplaceOtherName(b *bench) {
	id := b.put(b.replacing(1, dueIn(time.Hour)))
	other := b.replacing(2)
	other.Name = "task.other"
	if en := b.replaces(other, id); en.Message.Name != "task.replaced" || en.State != engine.StateScheduled {
		b.Errorf("the task is %s and %s, want it as it was", en.Message.Name, en.State)
	}
}

func testReplaceOtherHold(b *bench) {
	m := b.replacing(1, dueIn(time.Hour))
	m.Replace, m.KeyHold = false, engine.HoldActive
	id := b.put(m)
	if en := b.replaces(b.replacing(2), id); en.State != engine.StateScheduled {
		b.Errorf("a task that holds its key until it has ended is %s, want it as it was", en.State)
	}
}

// testReplaceLimits: the task goes on under the limits of the last message.
func testReplaceLimits(b *bench) {
	s := b.serve([]string{"task.replaced", "task.limited"}, slots(4))
	one := b.limit("k", 1)
	h := s.nextID(b.insert("task.limited", one))
	id := b.put(b.replacing(1, one))
	next := b.insert("task.limited", one)
	s.quiet("the limit is 1")
	b.replaces(b.replacing(2, b.limit("other", 1)), id)
	s.nextID(id).succeed()
	h.succeed()
	s.nextID(next).succeed()
}

// testReplaceOrdered: a task that is replaced is the last of its order, also if it was
// the first.
func testReplaceOrdered(b *bench) {
	s := b.serve([]string{"task.replaced", "task.ordered"}, slots(4))
	order := b.inOrder("k")
	h := s.nextID(b.insert("task.ordered", order))
	id := b.put(b.replacing(1, order))
	next := b.insert("task.ordered", order)
	b.replaces(b.replacing(2, order), id)
	s.quiet("the first of the order runs")
	h.succeed()
	s.nextID(next).succeed()
	s.nextID(id).succeed()
	id = b.put(b.replacing(3, order, dueIn(time.Hour)))
	next = b.insert("task.ordered", order)
	s.quiet("the first of the order is not due")
	b.replaces(b.replacing(4, order), id)
	s.nextID(next).succeed()
	s.nextID(id).succeed()
}

// testReplaceRace: whatever runs meanwhile, the last message is run.
func testReplaceRace(b *bench) {
	var last atomic.Int64
	b.auto([]string{"task.replaced"}, func(_ context.Context, d *engine.Delivery) engine.Outcome {
		var args struct{ N int64 }
		if err := json.Unmarshal(d.Message.Args, &args); err == nil {
			for n := last.Load(); args.N > n && !last.CompareAndSwap(n, args.N); n = last.Load() {
			}
		}
		return engine.Outcome{Kind: engine.OutcomeSucceed}
	}, slots(4))
	n := b.o.Tasks
	for i := range n {
		b.insertInto(b.e, b.replacing(i+1))
	}
	b.poll("the last message has run", func() bool { return last.Load() == int64(n) })
}

// testJournalChildReplaces: a child whose key another task holds is refused, and leaves
// that one as it is, due and content, whatever its message says.
func testJournalChildReplaces(b *bench) {
	holder := b.put(b.replacing(1, dueIn(time.Hour)))
	before := b.get(holder)
	b.insert("task.parent")
	h := b.serve([]string{"task.parent"}).next()
	_, err := h.journal().Record(b.ctx(), []engine.NewEntry{h.child("held", "task.replaced", func(m *engine.Message) {
		own := b.replacing(2)
		m.Args, m.Key, m.KeyHold, m.Replace = own.Args, own.Key, own.KeyHold, true
	})})
	var held *engine.KeyHeldError
	if !errors.As(err, &held) || held.Holder != holder {
		b.Errorf("Record of a child that would replace task %s: %v, want a *engine.KeyHeldError of that task", holder, err)
	}
	after := b.get(holder)
	if !sameJSON(after.Message.Args, before.Message.Args) || !after.Due.Equal(before.Due) || after.State != before.State {
		b.Errorf("the holder of the key is %s with %s, due %v; want %s with %s, due %v",
			after.State, after.Message.Args, after.Due, before.State, before.Message.Args, before.Due)
	}
	h.succeed()
}
