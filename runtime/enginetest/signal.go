package enginetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

var signalTests = []test{
	{name: "BeforeFirstRun", run: testSignalBefore, needs: need{journal: true}},
	{name: "WhileRunning", run: testSignalRunning, needs: need{journal: true}},
	{name: "WhileWaiting", run: testSignalWaiting, needs: need{journal: true}},
	{name: "WhileRetrying", run: testSignalRetrying, needs: need{journal: true}},
	{name: "AfterEnd", run: testSignalAfterEnd, needs: need{journal: true}},
	{name: "Unknown", run: testSignalUnknown, needs: need{journal: true}},
	{name: "Order", run: testSignalOrder, needs: need{journal: true}},
	{name: "SameKey", run: testSignalKey, needs: need{journal: true}},
	{name: "SameKeyAtOnce", run: testSignalKeyRace, needs: need{journal: true}},
	{name: "ApartFromOtherEntries", run: testSignalApart, needs: need{journal: true}},
	{name: "Full", run: testSignalFull, needs: need{journal: true}},
}

func testSignalBefore(b *bench) {
	for _, due := range []time.Duration{0, 4 * b.o.Step} {
		id := b.insert("task.parent", dueIn(due))
		b.signal(id, "go", "", `{"by":"é"}`)
		s := b.serve([]string{"task.parent"})
		h := s.next()
		if e := b.named(h.read(), "go"); e.Came != 1 || !sameJSON(e.Value, []byte(`{"by":"é"}`)) {
			b.Errorf("a signal that came before the first run is %+v with %s", e, shown(e.Value))
		}
		h.suspend(engine.Wait{Need: 1, Name: "go"}, 0) // not seen yet: it has come
		s.next().succeed()
		b.until(id, engine.StateSucceeded)
		s.mustStop()
	}
}

func testSignalRunning(b *bench) {
	id := b.insert("task.parent")
	s := b.serve([]string{"task.parent"})
	h := s.next()
	h.read()
	b.signal(id, "go", "", `1`)
	b.named(h.read(), "go")
	if err := h.ctx.Err(); err != nil {
		b.Errorf("a signal has stopped the run: %v", err)
	}
	h.suspend(engine.Wait{Need: 1, Name: "go"}, time.Hour)
	s.next().succeed()
	b.until(id, engine.StateSucceeded)
}

func testSignalWaiting(b *bench) {
	id := b.insert("task.parent")
	s := b.serve([]string{"task.parent"})
	for i := range 5 {
		s.next().suspend(engine.Wait{Seen: int64(i), Need: 1, Name: "go"}, time.Hour)
		b.until(id, engine.StateWaiting)
		b.signal(id, "go", "", fmt.Sprint(i))
	}
	h := s.next()
	if es := h.read(); len(es) != 5 {
		b.Errorf("the journal has %s, want 5 signals", entryNames(es))
	}
	h.succeed()
	b.until(id, engine.StateSucceeded)
}

// testSignalRetrying: a signal does not shorten the wait for a retry.
func testSignalRetrying(b *bench) {
	id := b.insert("task.parent")
	s := b.serve([]string{"task.other", "task.parent"})
	s.nextNamed("task.parent").conclude(engine.Outcome{Kind: engine.OutcomeRetry, After: time.Hour, Reason: "busy"})
	en := b.until(id, engine.StateRetrying)
	b.signal(id, "go", "", `1`)
	b.barrier(s, "task.other")
	s.none("it waits for its retry")
	if now := b.get(id); now.State != engine.StateRetrying || !now.Due.Equal(en.Due) || now.Reason != "busy" {
		b.Errorf("after a signal a retrying task is %s, due %v, %q, want as before", now.State, now.Due, now.Reason)
	}
	b.named(b.journal(id), "go")
}

func testSignalAfterEnd(b *bench) {
	s := b.serve([]string{"task.parent"})
	for _, o := range []engine.Outcome{{Kind: engine.OutcomeSucceed}, {Kind: engine.OutcomeFail, Reason: "no"}, {Kind: engine.OutcomeCancel, Reason: "no"}} {
		id := b.insert("task.parent")
		s.next().conclude(o)
		b.ended(id)
		b.is("Signal to a task that has ended", b.signalOn(b.e, id, "go", "", `1`), engine.ErrState)
		if es := b.journal(id); len(es) != 0 {
			b.Errorf("the journal has %s", entryNames(es))
		}
	}
}

func testSignalUnknown(b *bench) {
	b.is("Signal to an unknown task", b.signalOn(b.e, uuid.New(), "go", "", `1`), engine.ErrNotFound)
}

// testSignalOrder: signals are in the journal in the order in which they were
// sent, of each name and over all.
func testSignalOrder(b *bench) {
	id := b.insert("task.parent")
	for i := range 20 {
		b.signal(id, fmt.Sprint("s", i%3), "", fmt.Sprint(i))
	}
	h := b.serve([]string{"task.parent"}).next()
	es := h.read()
	if len(es) != 20 {
		b.Fatalf("the journal has %d signals, want 20", len(es))
	}
	for i, e := range es {
		if e.Name != fmt.Sprint("s", i%3) || e.Came != int64(i+1) || !sameJSON(e.Value, number(i)) {
			b.Errorf("signal %d is %s, place %d, with %s", i, e.Name, e.Came, shown(e.Value))
		}
	}
	h.succeed()
}

func testSignalKey(b *bench) {
	id, other := b.insert("task.parent"), b.insert("task.parent")
	b.signal(id, "go", "k1", `1`)
	b.signal(id, "go", "k1", `2`)
	b.signal(id, "go", "k2", `3`)
	b.signal(id, "stop", "k1", `4`)
	b.signal(id, "go", "", `5`)
	b.signal(id, "go", "", `6`)
	b.signal(other, "go", "k1", `7`)
	var got []string
	for _, e := range b.journal(id) {
		got = append(got, e.Name+string(e.Value))
	}
	if text := strings.Join(got, " "); text != "go1 go3 stop4 go5 go6" {
		b.Errorf("the journal has %s, want go1 go3 stop4 go5 go6: of one key the first counts", text)
	}
	if es := b.journal(other); len(es) != 1 {
		b.Errorf("the journal of another task has %s", entryNames(es))
	}
	s := b.serve([]string{"task.parent"})
	for range 2 {
		s.next().suspend(engine.Wait{Seen: 9, Need: 1}, 0)
	}
	b.until(id, engine.StateWaiting)
	b.signal(id, "go", "k1", `8`)
	if en := b.get(id); en.State != engine.StateWaiting {
		b.Errorf("after a signal with a key that was sent before the task is %s", en.State)
	}
}

// testSignalKeyRace: of several senders at once, one counts.
func testSignalKeyRace(b *bench) {
	id := b.insert("task.parent", dueIn(time.Hour))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 10 {
				if err := b.signalOn(b.e, id, "go", fmt.Sprint("k", n), fmt.Sprint(i)); err != nil {
					b.Errorf("Signal: %v", err)
				}
			}
		})
	}
	wg.Wait()
	es := b.journal(id)
	if len(es) != 10 || es[len(es)-1].Came != 10 {
		b.Errorf("80 signals of 10 keys are %s, want 10", entryNames(es))
	}
}

// testSignalApart: a signal and another entry may have one name.
func testSignalApart(b *bench) {
	id := b.insert("task.parent")
	h := b.serve([]string{"task.parent"}).next()
	b.signal(id, "a", "", `"signal"`)
	h.record(step("a", `"step"`), step("b", `"step"`))
	b.signal(id, "b", "", `"signal"`)
	kinds := make(map[string]int)
	for _, e := range h.read() {
		kinds[fmt.Sprintf("%c%s%s", e.Kind, e.Name, e.Value)]++
	}
	for _, want := range []string{`sa"step"`, `sb"step"`, `ga"signal"`, `gb"signal"`} {
		if kinds[want] != 1 {
			b.Errorf("the journal has %v, want one %s", kinds, want)
		}
	}
	h.succeed()
}

// testSignalFull: a journal does not grow without bounds.
func testSignalFull(b *bench) {
	const mib = 1 << 20
	id := b.insert("task.parent", dueIn(time.Hour))
	large := `"` + strings.Repeat("v", mib-2) + `"`
	n := 0
	for ; n < 2*engine.MaxJournalBytes/mib; n++ {
		if err := b.signalOn(b.e, id, "go", "", large); err != nil {
			if !errors.Is(err, engine.ErrJournalFull) {
				b.Fatalf("signal %d of 1 MiB: %v, want ErrJournalFull", n, err)
			}
			break
		}
	}
	if most := engine.MaxJournalBytes / mib; n > most || n < most-2 {
		b.Errorf("%d signals of 1 MiB were taken, want about %d", n, most)
	}
	if err := b.signalOn(b.e, b.insert("task.parent", dueIn(time.Hour)), "go", "", large); err != nil {
		b.Errorf("Signal to another task: %v", err)
	}
}
