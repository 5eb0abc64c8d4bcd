package enginetest

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

var nameTests = []test{
	{name: "UnknownWaits", run: testUnknownWaits},
	{name: "UnknownGoesToWhoKnows", run: testUnknownLater},
	{name: "UnknownFailsAfterParkFor", run: testUnknownFails},
	{name: "UnknownToldOnce", run: testUnknownTold, needs: need{logged: true}},
	{name: "UnknownHere", run: testUnknownHere},
	{name: "UnknownScheduled", run: testUnknownScheduled},
	{name: "UnknownCancelled", run: testUnknownCancelled},
	{name: "UnknownFailedThenRetried", run: testUnknownRetried},
	{name: "QueuesApart", run: testQueuesApart},
	{name: "SeveralQueues", run: testSeveralQueues},
	{name: "NamesExact", run: testNamesExact},
	{name: "TwoWorkers", run: testNamesTwoWorkers},
}

func testUnknownWaits(b *bench) {
	id := b.insert("task.unknown")
	s := b.serve([]string{"task.known"})
	b.insert("task.known")
	s.nextNamed("task.known").succeed()
	if en := b.get(id); en.State.Final() || en.Attempt != 0 {
		b.Errorf("a task that no worker knows is %s with Attempt %d (reason %q), want waiting with 0", en.State, en.Attempt, en.Reason)
	}
	s.mustStop()
}

func testUnknownLater(b *bench) {
	id := b.insert("task.unknown")
	s := b.serve([]string{"task.known"})
	b.insert("task.known")
	s.nextNamed("task.known").succeed()
	s.mustStop()
	s = b.serve([]string{"task.known", "task.unknown"})
	h := s.nextNamed("task.unknown")
	if h.d.Attempt != 0 {
		b.Errorf("Attempt is %d, want 0: waiting for a worker that knows the task uses none", h.d.Attempt)
	}
	h.succeed()
	b.until(id, engine.StateSucceeded)
}

func testUnknownFails(b *bench) {
	id := b.insert("task.unknown")
	b.serve([]string{"task.known"}, parkFor(2*b.o.Step))
	en := b.until(id, engine.StateFailed)
	if !strings.Contains(en.Reason, "task.unknown") {
		b.Errorf("Entry.Reason is %q, want one that names the task that nobody knows, task.unknown", en.Reason)
	}
	if en.EndedAt.IsZero() {
		b.Error("Entry.EndedAt is zero, want when the task failed")
	}
}

// testUnknownTold: a line for the name of those that wait, and some when they fail.
func testUnknownTold(b *bench) {
	var l logged
	b.e = b.o.Logged(b, slog.New(slog.NewTextHandler(&l, nil)))
	ids := []uuid.UUID{b.insert("task.unknown"), b.insert("task.unknown"), b.insert("task.unknown")}
	s := b.serve([]string{"task.known"}, parkFor(10*b.o.Step))
	for _, id := range ids {
		b.until(id, engine.StateFailed)
	}
	s.mustStop()
	if waits, failed := l.lines("no worker knows"), l.lines("no worker knew"); len(waits) != 1 || len(failed) == 0 ||
		!strings.Contains(waits[0], "task.unknown") {
		b.Errorf("the log of three tasks of one name that nobody knows is\n%s%swant a line that names them, and some that they failed",
			strings.Join(waits, ""), strings.Join(failed, ""))
	}
}

// logged collects a log.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) lines(with string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, with) {
			found = append(found, line)
		}
	}
	return found
}

// testUnknownHere: a task waits for the worker that knows it and has no room, however
// long that takes, and neither its reason nor the log says that nobody knows it.
func testUnknownHere(b *bench) {
	var l logged
	if b.o.Logged != nil {
		b.e = b.o.Logged(b, slog.New(slog.NewTextHandler(&l, nil)))
	}
	able := b.serve([]string{"task.known"}, slots(1), parkFor(2*b.o.Step))
	b.insert("task.known")
	busy := able.nextNamed("task.known")
	id := b.insert("task.known")
	b.serve([]string{"task.other"}, parkFor(2*b.o.Step))
	for range 2 { // the second time it has waited too long, if nobody knew it
		b.until(b.insert("task.nobody"), engine.StateFailed)
		if en := b.get(id); en.State.Final() || strings.Contains(en.Reason, "no worker") {
			b.Errorf("a task that a busy worker knows is %s (reason %q), want waiting for that worker", en.State, en.Reason)
		}
	}
	for _, line := range slices.Concat(l.lines("no worker knows"), l.lines("no worker knew"), l.lines("knows it")) {
		if strings.Contains(line, "task.known") {
			b.Errorf("the log says of a task that a busy worker knows\n%s", line)
		}
	}
	busy.succeed()
	h := able.nextNamed("task.known")
	if h.id() != id || h.d.Attempt != 0 {
		b.Errorf("task %s with Attempt %d was run, want %s with 0", h.id(), h.d.Attempt, id)
	}
	h.succeed()
	b.until(id, engine.StateSucceeded)
}

// testUnknownScheduled: ParkFor begins when the task is due.
func testUnknownScheduled(b *bench) {
	late := b.insert("task.unknown", dueIn(time.Hour))
	now := b.insert("task.unknown")
	b.serve([]string{"task.known"}, parkFor(2*b.o.Step))
	b.until(now, engine.StateFailed)
	if en := b.get(late); en.State != engine.StateScheduled {
		b.Errorf("a task due in an hour is %s (reason %q), want scheduled", en.State, en.Reason)
	}
}

func testUnknownCancelled(b *bench) {
	cancelled, deleted := b.insert("task.unknown"), b.insert("task.unknown")
	s := b.serve([]string{"task.known"})
	b.insert("task.known")
	s.nextNamed("task.known").succeed()
	b.cancel(b.e, cancelled, "nobody knows it")
	b.cancelled(cancelled, "nobody knows it")
	if err := b.e.Delete(b.ctx(), deleted); err != nil {
		b.Fatalf("Delete: %v", err)
	}
	b.gone(deleted)
	s.mustStop()
}

// testUnknownRetried: once a worker knows the task, an operator runs it again.
func testUnknownRetried(b *bench) {
	id := b.insert("task.unknown")
	s := b.serve([]string{"task.known"}, parkFor(b.o.Step))
	b.until(id, engine.StateFailed)
	s.mustStop()
	b.retry(id)
	h := b.serve([]string{"task.unknown"}).next()
	if h.id() != id || h.d.Attempt != 0 {
		b.Errorf("task %s with Attempt %d was run, want %s with 0", h.id(), h.d.Attempt, id)
	}
	h.succeed()
	b.until(id, engine.StateSucceeded)
}

func testQueuesApart(b *bench) {
	other := b.queue + "-other"
	inOther := func(m *engine.Message) { m.Queue = other }
	id := b.insert("task.q", inOther)
	s := b.serve([]string{"task.q"})
	mine := b.insert("task.q")
	h := s.next()
	if h.id() != mine {
		b.Fatalf("a task of the queue %q was run by a worker that serves %q", h.d.Message.Queue, b.queue)
	}
	h.succeed()
	if en := b.get(id); en.State != engine.StatePending {
		b.Errorf("a task of a queue that nobody serves is %s, want pending", en.State)
	}
	s.mustStop()
}

func testSeveralQueues(b *bench) {
	qs := []string{b.queue, b.queue + "-b", b.queue + "-c"}
	want := make(map[string]int)
	for i := range 12 {
		q := qs[i%3]
		want[q]++
		b.insert("task.q", func(m *engine.Message) { m.Queue = q })
	}
	s := b.serve([]string{"task.q"}, func(w *engine.Worker) { w.Queues = qs })
	for range 12 {
		h := s.next()
		want[h.d.Message.Queue]--
		h.succeed()
	}
	for q, n := range want {
		if n != 0 {
			b.Errorf("of the queue %q %d tasks too few were run", q, n)
		}
	}
}

// testNamesExact: a name is not a prefix or a pattern.
func testNamesExact(b *bench) {
	b.insert("task.a.b")
	b.insert("task.ab")
	b.insert("task.A")
	b.insert("task.a")
	s := b.serve([]string{"task.a"})
	s.nextNamed("task.a").succeed()
	b.insert("task.a")
	s.nextNamed("task.a").succeed()
	s.none("it is not named task.a")
}

// testNamesTwoWorkers: each of two workers on a queue gets the tasks it knows.
func testNamesTwoWorkers(b *bench) {
	old := b.serve([]string{"task.old"})
	both := b.serve([]string{"task.new", "task.newer"})
	for range 5 {
		b.insert("task.new")
		b.insert("task.old")
	}
	for range 5 {
		old.nextNamed("task.old").succeed()
		both.nextNamed("task.new").succeed()
	}
}
