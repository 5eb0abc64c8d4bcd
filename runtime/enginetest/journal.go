package enginetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

var journalTests = []test{
	{name: "RecordedFromRunToRun", run: testJournalRecorded, needs: need{journal: true}},
	{name: "AllOrNone", run: testJournalAllOrNone, needs: need{journal: true}},
	{name: "NameTakenKeepsFirst", run: testJournalNameTaken, needs: need{journal: true}},
	{name: "ChildInsertedOnce", run: testJournalChildOnce, needs: need{journal: true}},
	{name: "ChildOnceWhenAnswerLost", run: testJournalAnswerLost, needs: need{journal: true}},
	{name: "ChildIsATask", run: testJournalChildMessage, needs: need{journal: true}},
	{name: "ChildTakesItsKey", run: testJournalChildKey, needs: need{journal: true}},
	{name: "ChildReplacesNothing", run: testJournalChildReplaces, needs: need{journal: true}},
	{name: "RecordAfterLeaseLost", run: testJournalLeaseLost, needs: need{journal: true, second: true, pause: true}},
	{name: "RecordAfterConclusion", run: testJournalConcluded, needs: need{journal: true}},
	{name: "Largest", run: testJournalLargest, needs: need{journal: true}},
	{name: "FromManyGoroutines", run: testJournalGoroutines, needs: need{journal: true}},
	{name: "GoneWithTheRecord", run: testJournalGone, needs: need{journal: true}},
	{name: "OfNoEntries", run: testJournalEmpty, needs: need{journal: true}},
	{name: "ThousandChildrenOneRecord", run: testJournalThousand, needs: need{journal: true}},
}

func testJournalRecorded(b *bench) {
	id := b.insert("task.parent")
	s := b.serve([]string{"task.parent"})
	h := s.next()
	if es := h.read(); len(es) != 0 {
		b.Errorf("the journal of a new task has %s", entryNames(es))
	}
	first := []engine.NewEntry{
		step("z", `{"n":12345678901234567890,"s":"é 漢 \u2028 \" <>&"}`), step("a", `null`), {Name: "none", Kind: engine.EntryStep},
		{Name: "timer", Kind: engine.EntryTimer, Value: json.RawMessage(`"2026-01-02T03:04:05Z"`)},
	}
	b.sameEntries("the answer of Record", h.record(first...), first, 0)
	b.sameEntries("the journal in the same run", h.read(), first, 0)
	h.conclude(engine.Outcome{Kind: engine.OutcomeRetry, Reason: "again"})
	h = s.next()
	b.sameEntries("the journal in the next run", h.read(), first, 0)
	second := []engine.NewEntry{step("b", `[1]`), step("c/é 漢'\"\\%_", `2`)}
	b.sameEntries("the answer of Record", h.record(second...), second, 1)
	es := h.read()
	b.sameEntries("the journal", es[:min(4, len(es))], first, 0)
	b.sameEntries("the journal", es[min(4, len(es)):], second, 1)
	h.succeed()
	b.until(id, engine.StateSucceeded)
	if es := b.journal(id); len(es) != 6 {
		b.Errorf("after the end the journal has %s, want all 6 entries", entryNames(es))
	}
}

func testJournalAllOrNone(b *bench) {
	holder := b.insert("task.holder", held("k-"+b.queue, engine.HoldActive), dueIn(time.Hour))
	id := b.insert("task.parent")
	h := b.serve([]string{"task.parent"}).next()
	_, err := h.journal().Record(b.ctx(), []engine.NewEntry{
		step("one", `1`), h.child("free", "task.child", dueIn(time.Hour)),
		h.child("held", "task.child", dueIn(time.Hour), held("k-"+b.queue, engine.HoldActive)),
		h.child("after", "task.child", dueIn(time.Hour)),
	})
	var heldBy *engine.KeyHeldError
	if !errors.As(err, &heldBy) || heldBy.Entry != "held" || heldBy.Holder != holder {
		b.Errorf("Record of a child whose key task %s holds: %v, want a *engine.KeyHeldError of the entry \"held\" and that task", holder, err)
	}
	if es := h.read(); len(es) != 0 {
		b.Errorf("after a Record that failed the journal has %s", entryNames(es))
	}
	if n := len(b.listed(engine.Query{Queue: b.queue, Name: "task.child"})); n != 0 {
		b.Errorf("after a Record that failed there are %d children", n)
	}
	out := h.record(step("one", `1`), h.child("free", "task.child", dueIn(time.Hour)))
	b.named(out, "free")
	h.succeed()
	b.until(id, engine.StateSucceeded)
}

func testJournalNameTaken(b *bench) {
	b.insert("task.parent")
	s := b.serve([]string{"task.parent"})
	h := s.next()
	h.record(step("a", `"first"`))
	h.conclude(engine.Outcome{Kind: engine.OutcomeRetry})
	h = s.next()
	out := h.record(step("b", `"new"`), step("a", `"second"`), step("c", `"new"`))
	if a := out[1]; !sameJSON(a.Value, json.RawMessage(`"first"`)) || a.Attempt != 0 {
		b.Errorf("Record of a name that is taken answers %+v with %s, want what is there, \"first\" of attempt 0", a, shown(a.Value))
	}
	out = h.record(step("twice", `1`), step("twice", `2`))
	if !sameJSON(out[0].Value, out[1].Value) {
		b.Errorf("one name twice in a Record has the values %s and %s", out[0].Value, out[1].Value)
	}
	if es := h.read(); len(es) != 4 {
		b.Errorf("the journal has %s, want a, b, c and twice", entryNames(es))
	}
	h.succeed()
}

func testJournalChildOnce(b *bench) {
	b.insert("task.parent")
	s := b.serve([]string{"task.parent"})
	h := s.next()
	first := h.record(h.child("c", "task.child", dueIn(time.Hour)))[0]
	if en := b.get(first.Child); en.Message.Name != "task.child" || en.State != engine.StateScheduled {
		b.Errorf("the child is %s %s, want a scheduled task.child", en.State, en.Message.Name)
	}
	h.conclude(engine.Outcome{Kind: engine.OutcomeRetry})
	h = s.next()
	out := h.record(h.child("c", "task.child", dueIn(time.Hour)), h.child("d", "task.child", dueIn(time.Hour)))
	if out[0].Child != first.Child {
		b.Errorf("the child of the entry is %s in the second run, want that of the first, %s", out[0].Child, first.Child)
	}
	if n := len(b.listed(engine.Query{Queue: b.queue, Name: "task.child"})); n != 2 {
		b.Errorf("there are %d children, want 2", n)
	}
	h.succeed()
}

// testJournalAnswerLost: after lost answers each child is inserted once, and
// the stored entries are found.
func testJournalAnswerLost(b *bench) {
	b.insert("task.parent")
	s := b.serve([]string{"task.parent"})
	h := s.next()
	lost := 0
	for i := range 50 {
		name := fmt.Sprint("c", i)
		for try := 0; ; try++ {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i*try*20)*time.Microsecond)
			if try > 8 {
				ctx = b.ctx()
			}
			out, err := h.journal().Record(ctx, []engine.NewEntry{step("s"+name, `1`), h.child(name, "task.child", dueIn(time.Hour))})
			cancel()
			if err == nil {
				if out[1].Child == uuid.Nil {
					b.Fatal("the entry of the child has no Child")
				}
				break
			}
			lost++
			if try > 8 {
				b.Fatalf("Record: %v", err)
			}
		}
	}
	if n := len(b.listed(engine.Query{Queue: b.queue, Name: "task.child", Limit: 1000})); n != 50 {
		b.Errorf("there are %d children after %d answers that were not waited for, want 50", n, lost)
	}
	if n := len(h.read()); n != 100 {
		b.Errorf("the journal has %d entries, want 100", n)
	}
	h.succeed()
}

func testJournalChildMessage(b *bench) {
	id := b.insert("task.parent")
	s := b.serve([]string{"task.parent", "task.child"})
	h := s.nextNamed("task.parent")
	n := h.child("page/1", "task.child", keep(2*time.Hour, 3*time.Hour), func(m *engine.Message) {
		m.Meta.Tags = map[string]string{"plan": "pro"}
		m.Meta.Headers = map[string]string{"trace": "x"}
		m.Meta.Orphan = true
		m.Args = json.RawMessage(`{"n":12345678901234567890}`)
	})
	e := h.record(n)[0]
	c := s.nextNamed("task.child")
	if c.id() != e.Child {
		b.Errorf("the child that runs is %s, that of the entry %s", c.id(), e.Child)
	}
	b.sameMessage("the child's delivery", c.d.Message, n.Spawn, e.Child)
	c.succeed()
	b.sameMessage("the child's entry after its end", b.until(e.Child, engine.StateSucceeded).Message, n.Spawn, e.Child)
	h.succeed()
	b.until(id, engine.StateSucceeded)
}

func testJournalChildKey(b *bench) {
	b.insert("task.parent")
	h := b.serve([]string{"task.parent"}).next()
	e := h.record(h.child("c", "task.child", dueIn(time.Hour), held("k-"+b.queue, engine.HoldActive)))[0]
	in := b.insertInto(b.e, b.message("task.other", dueIn(time.Hour), held("k-"+b.queue, engine.HoldActive)))
	if !in.Existing || in.ID != e.Child {
		b.Errorf("an enqueue with the key of the child answers %+v, want Existing and the child, %s", in, e.Child)
	}
	h.succeed()
}

// testJournalLeaseLost: a worker that lost its task remembers nothing for it, and
// spawns nothing.
func testJournalLeaseLost(b *bench) {
	id := b.insert("task.parent")
	other := b.second()
	late := b.serve([]string{"task.parent"}).next()
	late.record(step("before", `1`))
	resume := b.pause()
	h := b.serveOn(other, []string{"task.parent"}).next()
	if h.d.Attempt != 1 {
		b.Errorf("Attempt after a lost lease is %d, want 1", h.d.Attempt)
	}
	b.named(h.read(), "before")
	h.record(step("a", `"mine"`))
	resume()
	_, err := late.journal().Record(b.ctx(), []engine.NewEntry{step("b", `"late"`), late.child("c", "task.child", dueIn(time.Hour))})
	b.is("Record after the lease was lost", err, engine.ErrLeaseLost)
	_, err = late.journal().ReadJournal(b.ctx())
	b.is("ReadJournal after the lease was lost", err, engine.ErrLeaseLost)
	if es := h.read(); len(es) != 2 {
		b.Errorf("the journal has %s, want before and a", entryNames(es))
	}
	if n := len(b.listed(engine.Query{Queue: b.queue, Name: "task.child"})); n != 0 {
		b.Errorf("the worker that lost its lease has spawned %d children", n)
	}
	late.succeed()
	h.succeed()
	b.until(id, engine.StateSucceeded)
}

func testJournalConcluded(b *bench) {
	id := b.insert("task.parent")
	s := b.serve([]string{"task.parent"})
	h := s.next()
	j := h.journal()
	h.suspend(engine.Wait{Need: 1}, 0)
	b.until(id, engine.StateWaiting)
	_, err := j.Record(b.ctx(), []engine.NewEntry{step("late", `1`)})
	b.is("Record after the run was suspended", err, engine.ErrLeaseLost)
	b.signal(id, "go", "", `1`)
	h = s.next()
	_, err = j.Record(b.ctx(), []engine.NewEntry{step("late", `1`)})
	b.is("Record by a run while the next one runs", err, engine.ErrLeaseLost)
	_, err = j.ReadJournal(b.ctx())
	b.is("ReadJournal by a run while the next one runs", err, engine.ErrLeaseLost)
	h.succeed()
	b.until(id, engine.StateSucceeded)
	_, err = h.journal().Record(b.ctx(), []engine.NewEntry{step("late", `1`)})
	b.is("Record after the end", err, engine.ErrLeaseLost)
	if es := b.journal(id); len(es) != 1 {
		b.Errorf("the journal has %s, want only the signal", entryNames(es))
	}
}

func testJournalLargest(b *bench) {
	const mib = 1 << 20
	b.insert("task.parent")
	s := b.serve([]string{"task.parent", "task.child"})
	h := s.nextNamed("task.parent")
	long := strings.Repeat("n", engine.MaxEntryName)
	large := json.RawMessage(`"` + strings.Repeat("v", mib-2) + `"`)
	es := []engine.NewEntry{{Name: long, Kind: engine.EntryStep, Value: large}, h.child("c", "task.child")}
	h.record(es...)
	s.nextNamed("task.child").conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: large})
	b.poll("the end of the child comes", func() bool { return b.named(h.read(), "c").Came > 0 })
	got := h.read()
	if e := b.named(got, long); !bytes.Equal(e.Value, large) {
		b.Errorf("a value of 1 MiB comes back as %d bytes", len(e.Value))
	}
	if e := b.named(got, "c"); !bytes.Equal(e.Result, large) {
		b.Errorf("a child's result of 1 MiB comes back as %d bytes", len(e.Result))
	}
	h.succeed()
}

func testJournalGoroutines(b *bench) {
	const branches, each = 8, 10
	id := b.insert("task.parent")
	h := b.serve([]string{"task.parent"}).next()
	values := make([]json.RawMessage, branches)
	var wg sync.WaitGroup
	for i := range branches {
		wg.Go(func() {
			for n := range each {
				name := fmt.Sprintf("%d/%d", i, n)
				if _, err := h.journal().Record(b.ctx(), []engine.NewEntry{
					step(name, name[2:]), h.child("c"+name, "task.child", dueIn(time.Hour)),
				}); err != nil {
					b.Errorf("Record: %v", err)
					return
				}
			}
			out, err := h.journal().Record(b.ctx(), []engine.NewEntry{step("same", fmt.Sprint(i))})
			if err != nil {
				b.Errorf("Record: %v", err)
				return
			}
			values[i] = out[0].Value
		})
	}
	wg.Wait()
	es := h.read()
	if len(es) != 2*branches*each+1 {
		b.Errorf("the journal has %d entries, want %d", len(es), 2*branches*each+1)
	}
	for i, v := range values {
		if want := b.named(es, "same").Value; !sameJSON(v, want) {
			b.Errorf("branch %d was told that an entry is %s, it is %s", i, v, want)
		}
	}
	if n := len(b.listed(engine.Query{Queue: b.queue, Name: "task.child", Limit: 1000})); n != branches*each {
		b.Errorf("there are %d children, want %d", n, branches*each)
	}
	h.succeed()
	b.until(id, engine.StateSucceeded)
}

func testJournalGone(b *bench) {
	id := b.insert("task.parent")
	h := b.serve([]string{"task.parent"}).next()
	h.record(step("a", `1`))
	h.conclude(engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"})
	b.until(id, engine.StateFailed)
	b.named(b.journal(id), "a")
	if err := b.e.Delete(b.ctx(), id); err != nil {
		b.Fatalf("Delete: %v", err)
	}
	j, _ := engine.As[engine.Journaler](b.e)
	es, err := j.Journal(b.ctx(), id)
	b.is("Journal of a task that was deleted", err, engine.ErrNotFound)
	if len(es) != 0 {
		b.Errorf("the journal of a task that was deleted has %s", entryNames(es))
	}
}

func testJournalEmpty(b *bench) {
	id := b.insert("task.plain", dueIn(time.Hour))
	if es := b.journal(id); len(es) != 0 {
		b.Errorf("the journal of a task that has not run has %s", entryNames(es))
	}
	j, _ := engine.As[engine.Journaler](b.e)
	_, err := j.Journal(b.ctx(), uuid.New())
	b.is("Journal of an unknown task", err, engine.ErrNotFound)
}

func testJournalThousand(b *bench) {
	const n = 1000
	id := b.insert("task.parent")
	s := b.serve([]string{"task.parent"})
	h := s.next()
	es := make([]engine.NewEntry, n)
	for i := range es {
		es[i] = h.child(fmt.Sprint("c/", i), "task.child", func(m *engine.Message) { m.Args = json.RawMessage(fmt.Sprintf(`{"n":%d}`, i)) })
	}
	b.sameEntries("the answer of Record", h.record(es...), es, 0)
	h.suspend(engine.Wait{Need: n}, 0)
	b.auto([]string{"task.child"}, func(_ context.Context, d *engine.Delivery) engine.Outcome {
		return engine.Outcome{Kind: engine.OutcomeSucceed, Result: d.Message.Args}
	}, slots(4))
	h = s.next()
	got := h.read()
	if len(got) != n {
		b.Fatalf("the journal has %d entries, want %d", len(got), n)
	}
	came := make(map[int64]bool)
	for i, e := range got {
		came[e.Came] = true
		if e.Name != es[i].Name || e.State != engine.StateSucceeded || !sameJSON(e.Result, es[i].Spawn.Args) {
			b.Fatalf("entry %d is %s, %s with the result %s, want %s, succeeded with %s",
				i, e.Name, e.State, shown(e.Result), es[i].Name, es[i].Spawn.Args)
		}
	}
	if len(came) != n || !came[1] || !came[n] {
		b.Errorf("%d children came at %d places, want 1 to %d", n, len(came), n)
	}
	h.succeed()
	b.until(id, engine.StateSucceeded)
}
