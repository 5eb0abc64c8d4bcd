package enginetest

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// historyTests are of [engine.Historian].
var historyTests = []test{
	{name: "Added", run: testHistoryAdded},
	{name: "Selected", run: testHistorySelected},
	{name: "OldForgotten", run: testHistoryOld},
	{name: "AnyNames", run: testHistoryNames},
	{name: "ManyAtOnce", run: testHistoryRace},
	{name: "OtherHandle", run: testHistoryOtherHandle, needs: need{second: true}},
	{name: "AfterClose", run: testHistoryClosed},
}

// historian returns the engine's Historian, or skips the test.
func (b *bench) historian(e engine.Engine) engine.Historian {
	b.Helper()
	h, ok := engine.As[engine.Historian](e)
	if !ok {
		b.Skip("the engine keeps no history")
	}
	return h
}

// kind is a kind of tally of this test alone.
func (b *bench) kind(name string) string {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(b.queue)) // never fails
	return name + "." + strconv.FormatUint(sum.Sum64(), 36)
}

// adds adds tallies.
func (b *bench) adds(h engine.Historian, ts ...engine.Tally) {
	b.Helper()
	if err := h.AddHistory(b.ctx(), ts); err != nil {
		b.Fatalf("AddHistory: %v", err)
	}
}

// history fails the test unless History returns the tallies, among those of
// this test.
func (b *bench) history(h engine.Historian, q engine.HistoryQuery, want ...engine.Tally) {
	b.Helper()
	all, err := h.History(b.ctx(), q)
	if err != nil {
		b.Fatalf("History: %v", err)
	}
	var got []engine.Tally
	for _, t := range all {
		if t.Kind == b.kind("good") || t.Kind == b.kind("bad") {
			got = append(got, t)
		}
	}
	if got, want := tallyLines(got), tallyLines(want); !slices.Equal(got, want) {
		b.Errorf("History(%+v):\n%s\nwant\n%s", q, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// tallyLines returns a line for each tally, sorted.
func tallyLines(ts []engine.Tally) []string {
	lines := make([]string, len(ts))
	for i, t := range ts {
		lines[i] = fmt.Sprintf("%s %q %s: %d within %s", t.At.UTC().Format(time.RFC3339Nano), t.Queue, t.Kind, t.Tasks, t.Step)
	}
	slices.Sort(lines)
	return lines
}

func testHistoryAdded(b *bench) {
	h := b.historian(b.e)
	now := time.Now().UTC().Truncate(time.Minute)
	t := engine.Tally{Step: time.Minute, At: now, Kind: b.kind("good"), Tasks: 3}
	b.adds(h) // nothing is no error
	b.adds(h, t)
	b.history(h, engine.HistoryQuery{Step: time.Minute}, t)
	more := t
	more.Tasks = 1 << 40
	other := t
	other.Kind, other.Tasks = b.kind("bad"), 1
	none := t
	none.Kind, none.Tasks = b.kind("bad"), 0
	b.adds(h, more, other, none, other)
	t.Tasks, other.Tasks = 1<<40+3, 2
	b.history(h, engine.HistoryQuery{Step: time.Minute}, t, other)
	b.history(h, engine.HistoryQuery{Step: time.Hour})
}

func testHistorySelected(b *bench) {
	h := b.historian(b.e)
	var all []engine.Tally
	at := func(step time.Duration, ago int, queue string) engine.Tally {
		t := engine.Tally{
			Step: step, At: time.Now().UTC().Truncate(step).Add(-time.Duration(ago) * step), Queue: queue, Kind: b.kind("good"), Tasks: int64(1 + len(all)),
		}
		all = append(all, t)
		return t
	}
	m3, m2, m0 := at(time.Minute, 3, ""), at(time.Minute, 2, ""), at(time.Minute, 0, "")
	mine, other := at(time.Hour, 2, b.queue), at(time.Hour, 1, b.queue+"-other")
	hour, day := at(time.Hour, 1, ""), at(24*time.Hour, 40, b.queue)
	b.adds(h, all...)
	b.history(h, engine.HistoryQuery{Step: time.Minute, Since: m2.At}, m2, m0)
	b.history(h, engine.HistoryQuery{Step: time.Minute, Until: m0.At}, m3, m2)
	b.history(h, engine.HistoryQuery{Step: time.Minute, Since: m2.At, Until: m0.At}, m2)
	b.history(h, engine.HistoryQuery{Step: time.Hour}, hour)
	b.history(h, engine.HistoryQuery{Step: time.Hour, Queue: b.queue}, mine)
	b.history(h, engine.HistoryQuery{Step: time.Hour, Queues: true}, mine, other)
	b.history(h, engine.HistoryQuery{Step: time.Hour, Queues: true, Since: other.At}, other)
	b.history(h, engine.HistoryQuery{Step: 24 * time.Hour, Queue: b.queue}, day)
	b.history(h, engine.HistoryQuery{Step: 24 * time.Hour})
}

// testHistoryOld: what is older than its step is kept for is not there, nor is
// what has a step that no history has.
func testHistoryOld(b *bench) {
	h := b.historian(b.e)
	now := time.Now().UTC()
	for _, step := range engine.HistorySteps() {
		kept := engine.HistoryKept(step)
		young := engine.Tally{Step: step, At: now.Add(-kept + 2*step).Truncate(step), Kind: b.kind("good"), Tasks: 1}
		old := engine.Tally{Step: step, At: now.Add(-kept - 2*step).Truncate(step), Kind: b.kind("bad"), Tasks: 1}
		b.adds(h, young, old, engine.Tally{Step: step + time.Second, At: now, Kind: b.kind("good"), Tasks: 1})
		b.history(h, engine.HistoryQuery{Step: step}, young)
	}
}

// testHistoryNames: a queue may have any name.
func testHistoryNames(b *bench) {
	h := b.historian(b.e)
	var all []engine.Tally
	for _, suffix := range []string{"", " ", " a b", ":1", "'\"", "\n", "ü\u202e", "{x}"} {
		all = append(all, engine.Tally{
			Step: time.Hour, At: time.Now().UTC().Truncate(time.Hour), Queue: b.queue + suffix, Kind: b.kind("good"), Tasks: int64(len(all) + 1),
		})
	}
	b.adds(h, all...)
	b.history(h, engine.HistoryQuery{Step: time.Hour, Queues: true}, all...)
	for _, t := range all {
		b.history(h, engine.HistoryQuery{Step: time.Hour, Queue: t.Queue}, t)
	}
}

// testHistoryRace: those who add at once lose nothing.
func testHistoryRace(b *bench) {
	h := b.historian(b.e)
	const writers, times = 4, 10
	var ts []engine.Tally
	for _, step := range engine.HistorySteps() {
		for _, kind := range []string{"good", "bad"} {
			ts = append(ts, engine.Tally{Step: step, At: time.Now().UTC().Truncate(step), Kind: b.kind(kind), Tasks: 1})
		}
	}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			own := make([]engine.Tally, 0, len(ts))
			for i := range ts { // each in an order of its own
				own = append(own, ts[(i*5+w)%len(ts)])
			}
			for range times {
				if err := h.AddHistory(b.ctx(), own); err != nil {
					b.Errorf("AddHistory: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for i := range ts {
		ts[i].Tasks = writers * times
	}
	for i, step := range engine.HistorySteps() {
		b.history(h, engine.HistoryQuery{Step: step}, ts[2*i], ts[2*i+1])
	}
}

func testHistoryOtherHandle(b *bench) {
	t := engine.Tally{Step: time.Minute, At: time.Now().UTC().Truncate(time.Minute), Kind: b.kind("good"), Tasks: 2}
	h := b.historian(b.e)
	b.adds(h, t)
	other := b.historian(b.o.Second(b, b.e))
	b.adds(other, t)
	t.Tasks = 4
	b.history(h, engine.HistoryQuery{Step: time.Minute}, t)
	b.history(other, engine.HistoryQuery{Step: time.Minute}, t)
}

func testHistoryClosed(b *bench) {
	h := b.historian(b.e)
	if err := b.e.Close(); err != nil {
		b.Fatalf("Close: %v", err)
	}
	b.is("AddHistory after Close", h.AddHistory(b.ctx(), []engine.Tally{{Step: time.Minute, At: time.Now(), Kind: "k", Tasks: 1}}), engine.ErrClosed)
	_, err := h.History(b.ctx(), engine.HistoryQuery{Step: time.Minute})
	b.is("History after Close", err, engine.ErrClosed)
}
