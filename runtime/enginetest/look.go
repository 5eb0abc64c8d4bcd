package enginetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// lookTests are about an operator's questions: the newest tasks first, by
// reason, time and worker, the workers, and the longest waits.
var lookTests = []test{
	{name: "NewestFirst", run: testListNewest, needs: need{feature: NewestFirst}},
	{name: "NewestFirstIsRefused", run: testListNewestRefused},
	{name: "NewestFirstWhileTasksGo", run: testListNewestMoving, needs: need{feature: NewestFirst}},
	{name: "ByReason", run: testListByReason},
	{name: "ByTime", run: testListByTime},
	{name: "ByWorker", run: testListByWorker},
	{name: "ByParent", run: testListByParent},
	{name: "ByPriority", run: testListByPriority},
	{name: "Workers", run: testWorkers},
	{name: "WorkersOfOthers", run: testWorkersOfOthers, needs: need{second: true}},
	{name: "Oldest", run: testOldest},
}

func testListNewest(b *bench) {
	var ids []uuid.UUID
	for range 6 {
		ids = append(ids, b.insert("task.list"))
	}
	ids = append(ids, b.batch(b.message("task.list"), b.message("task.rare"), b.message("task.list"), b.message("task.list"))...)
	rare := ids[7]
	slices.Reverse(ids)
	for _, limit := range []int{0, 1, 3, 10, 11} {
		b.lists("all, the newest first", engine.Query{Newest: true, Limit: limit}, ids...)
	}
	b.lists("the newest by name", engine.Query{Newest: true, Name: "task.rare"}, rare)
	b.lists("the newest by state", engine.Query{Newest: true, States: []engine.State{engine.StatePending}, Limit: 4}, ids...)
	b.lists("none of the newest", engine.Query{Newest: true, States: []engine.State{engine.StateFailed}})
}

func testListNewestRefused(b *bench) {
	if !b.o.lacks(NewestFirst) {
		b.Skip("the engine lists the newest first")
	}
	_, _, err := b.e.List(b.ctx(), engine.Query{Queue: b.queue, Newest: true})
	b.is("List of the newest first", err, engine.ErrUnsupported)
}

// testListNewestMoving: a task that stays is listed once, while the tasks of a
// page are taken away before the next is read, as a bulk action does.
func testListNewestMoving(b *bench) {
	for _, newest := range []bool{true, false} {
		var ids []uuid.UUID
		for range 12 {
			ids = append(ids, b.insert("task.list"))
		}
		seen := make(map[uuid.UUID]int)
		q := engine.Query{Queue: b.queue, Limit: 3, Newest: newest}
		for {
			es, next, err := b.e.List(b.ctx(), q)
			if err != nil {
				b.Fatalf("List: %v", err)
			}
			for _, en := range es {
				seen[en.ID]++
				if err := b.e.Delete(b.ctx(), en.ID); err != nil {
					b.Fatalf("Delete: %v", err)
				}
			}
			if next == "" {
				break
			}
			q.Cursor = next
		}
		for i, id := range ids {
			if seen[id] != 1 {
				b.Errorf("newest first %t: task %d was listed %d times while those before were deleted, want once", newest, i, seen[id])
			}
		}
	}
}

// testListByPriority: waiting tasks, and those that have ended.
func testListByPriority(b *bench) {
	priorities := []int8{0, 1, 3, 0, 3}
	if b.o.lacks(Priorities) {
		priorities = []int8{0, 0}
	}
	with := make(map[int8][]uuid.UUID)
	var all []uuid.UUID
	for _, p := range priorities {
		id := b.insert("task.priority", priority(p))
		with[p], all = append(with[p], id), append(all, id)
	}
	listed := func(when string) {
		b.Helper()
		for p := range int8(engine.Priorities) {
			b.lists(fmt.Sprintf("priority %d, %s", p, when), engine.Query{Priorities: []int8{p}}, with[p]...)
		}
		b.lists("all priorities, "+when, engine.Query{Priorities: []int8{3, 0, 1}, Limit: 2}, all...)
		b.lists("two priorities and a name, "+when, engine.Query{Priorities: []int8{1, 2}, Name: "task.priority", Brief: true}, with[1]...)
	}
	listed("waiting")
	s := b.serve([]string{"task.priority"})
	for range all {
		s.next().succeed()
	}
	for _, id := range all {
		b.until(id, engine.StateSucceeded)
	}
	listed("ended")
}

func testListByReason(b *bench) {
	s := b.serve([]string{"task.reason"}, slots(1))
	fail := func(reason string) uuid.UUID {
		id := b.insert("task.reason")
		s.end(id, engine.Outcome{Kind: engine.OutcomeFail, Reason: reason}, engine.StateFailed)
		return id
	}
	card := fail("card c-17 was declined: insufficient funds")
	quota := fail(`quota of "50%" is used up_x` + "\nsecond line: declined")
	tilde := fail("~^$.*(?i)[a] was declined")
	b.insert("task.none")
	for pattern, want := range map[string][]uuid.UUID{
		"declined":                    {card, quota, tilde},
		"DECLINED":                    nil,
		"card * was declined":         {card},
		"^card * funds$":              {card},
		"^card * was declined$":       nil,
		"^declined":                   nil,
		"declined$":                   {tilde},
		"*declined":                   {card, quota, tilde},
		`^quota of "50%" is used`:     {quota},
		`^quota of "5%" is used`:      nil,
		"used up_x$":                  {quota},
		"used upAx$":                  nil,
		"(?i)[a] was":                 {tilde},
		"card*card":                   nil,
		"^*$":                         {card, quota, tilde, uuid.Nil},
		"second*declined":             {quota},
		"^card c-17 was declined: *$": {card},
	} {
		if slices.Contains(want, uuid.Nil) {
			want = want[:3]
			b.lists("reason "+pattern, engine.Query{Reason: pattern, States: []engine.State{engine.StateFailed}}, want...)
			continue
		}
		b.lists("reason "+pattern, engine.Query{Reason: pattern}, want...)
		b.lists("reason "+pattern+", one on a page", engine.Query{Reason: pattern, Limit: 1}, want...)
		b.lists("reason "+pattern+", in brief", engine.Query{Reason: pattern, Brief: true}, want...)
	}
	b.cancel(b.e, b.insert("task.none", dueIn(time.Hour)), "the order was withdrawn")
	if got := b.list(engine.Query{Reason: "withdrawn", Name: "task.none"}); len(got) != 1 {
		b.Errorf("List of the reason of a cancellation returned %d tasks, want 1", len(got))
	}
}

func testListByTime(b *bench) {
	s := b.serve([]string{"task.time"}, slots(2))
	first := b.insert("task.time")
	s.next().succeed()
	ended := b.until(first, engine.StateSucceeded).EndedAt
	time.Sleep(2 * b.o.Step)
	second := b.insert("task.time")
	h := s.next()
	b.until(second, engine.StateRunning)
	time.Sleep(2 * b.o.Step)
	third := b.insert("task.later", dueIn(time.Hour))
	began, enqueued := b.get(second).StartedAt, b.get(third).Message.Meta.EnqueuedAt
	if !ended.Before(began) || !began.Before(enqueued) {
		b.Fatalf("the times %v, %v and %v are not in order", ended, began, enqueued)
	}
	const tick = time.Millisecond
	b.lists("since the end of the first", engine.Query{Since: ended.Add(-tick)}, first, second, third)
	b.lists("after the end of the first", engine.Query{Since: ended.Add(tick)}, second, third)
	b.lists("after the begin of the second", engine.Query{Since: began.Add(tick)}, third)
	b.lists("until the begin of the second", engine.Query{Until: began.Add(-tick)}, first)
	b.lists("until after the begin of the second", engine.Query{Until: began.Add(tick)}, first, second)
	b.lists("between", engine.Query{Since: ended.Add(tick), Until: enqueued.Add(-tick)}, second)
	b.lists("in the future", engine.Query{Since: time.Now().Add(time.Hour)})
	b.lists("before everything", engine.Query{Until: ended.Add(-time.Hour)})
	h.succeed()
	b.until(second, engine.StateSucceeded)
	b.lists("the second after its begin, since it has ended", engine.Query{Since: began.Add(tick), Limit: 1}, second, third)
}

func testListByWorker(b *bench) {
	s := b.serve([]string{"task.worker"}, slots(2))
	done := b.insert("task.worker")
	s.next().succeed()
	id := b.until(done, engine.StateSucceeded).Worker
	runs := b.insert("task.worker")
	h := s.next()
	b.insert("task.waits")
	b.lists("the worker's", engine.Query{Worker: id}, done, runs)
	b.lists("what the worker runs", engine.Query{Worker: id, States: []engine.State{engine.StateRunning}}, runs)
	b.lists("another worker's", engine.Query{Worker: "nobody"})
	h.succeed()
}

func testListByParent(b *bench) {
	root := b.insert("task.root")
	under := func(parent uuid.UUID) uuid.UUID {
		return b.insert("task.under", func(m *engine.Message) { m.Meta.Parent, m.Meta.Root = parent, root })
	}
	child := under(root)
	grandchild := under(child)
	other := under(root)
	b.insert("task.alone")
	b.lists("children", engine.Query{Parent: root}, child, other)
	b.lists("children, one on a page", engine.Query{Parent: root, Limit: 1}, child, other)
	b.lists("grandchildren", engine.Query{Parent: child}, grandchild)
	b.lists("a tree", engine.Query{Root: root}, child, grandchild, other)
	b.lists("nobody's children", engine.Query{Parent: grandchild})
	for _, id := range []uuid.UUID{child, other} {
		b.cancel(b.e, id, "no")
		b.until(id, engine.StateCancelled)
	}
	b.lists("children that have ended", engine.Query{Parent: root, States: []engine.State{engine.StateCancelled}}, child, other)
}

// worker returns the engine's entry of the worker with an id, nil without one.
func (b *bench) worker(e engine.Engine, id string) *engine.WorkerInfo {
	b.Helper()
	l, ok := e.(engine.WorkerLister)
	if !ok {
		b.Skip("the engine is no WorkerLister")
	}
	ws, err := l.Workers(b.ctx())
	if err != nil {
		b.Fatalf("Workers: %v", err)
	}
	var found *engine.WorkerInfo
	for _, w := range ws {
		if w.ID == id {
			if found != nil {
				b.Errorf("Workers returned worker %s twice", id)
			}
			found = &w
		}
	}
	return found
}

func testWorkers(b *bench) {
	if b.worker(b.e, "nobody") != nil {
		b.Error("Workers returned a worker that never was")
	}
	before := time.Now()
	s := b.serve([]string{"task.b", "task.a"}, slots(3))
	id := b.insert("task.a")
	h := s.next()
	own := b.until(id, engine.StateRunning).Worker
	var w *engine.WorkerInfo
	b.poll("Workers returns the worker that runs a task, and that it runs one", func() bool {
		w = b.worker(b.e, own)
		return w != nil && w.Running == 1
	})
	if !slices.Equal(w.Queues, []string{b.queue}) || !slices.Equal(sorted(w.Names), []string{"task.a", "task.b"}) {
		b.Errorf("Workers returned the queues %q and the names %q, want %q, task.a and task.b", w.Queues, w.Names, b.queue)
	}
	if w.Slots != 0 && w.Slots != 3 {
		b.Errorf("Workers returned %d slots, want 3", w.Slots)
	}
	for what, at := range map[string]time.Time{"StartedAt": w.StartedAt, "SeenAt": w.SeenAt} {
		if !at.IsZero() && (at.Before(before.Add(-time.Minute)) || at.After(time.Now().Add(time.Minute))) {
			b.Errorf("Workers returned %s %v, want a time since %v", what, at, before)
		}
	}
	h.succeed()
	b.until(id, engine.StateSucceeded)
	b.poll("Workers returns that the worker runs none", func() bool {
		w := b.worker(b.e, own)
		return w != nil && w.Running == 0
	})
	s.mustStop()
	b.poll("Workers returns no worker that has stopped", func() bool { return b.worker(b.e, own) == nil })
}

// testWorkersOfOthers: a handle that serves nothing knows the workers of another.
func testWorkersOfOthers(b *bench) {
	s := b.serve([]string{"task.a"}, slots(1))
	id := b.insert("task.a")
	h := s.next()
	own := b.until(id, engine.StateRunning).Worker
	other := b.second()
	b.poll("Workers of another handle returns the worker that runs a task", func() bool {
		w := b.worker(other, own)
		return w != nil && w.Running == 1
	})
	h.succeed()
}

func testOldest(b *bench) {
	c, ok := b.e.(engine.Counter)
	if !ok {
		b.Skip("the engine is no Counter")
	}
	oldest := func() (time.Time, bool) {
		b.Helper()
		counts, err := c.Counts(b.ctx())
		if err != nil {
			b.Fatalf("Counts: %v", err)
		}
		for _, n := range counts {
			if n.State != engine.StatePending && !n.Oldest.IsZero() {
				b.Errorf("Counts returned %+v: want Oldest of pending tasks only", n)
			}
			if n.Queue == b.queue && n.State == engine.StatePending {
				return n.Oldest, true
			}
		}
		return time.Time{}, false
	}
	b.insert("task.later", dueIn(time.Hour))
	if _, some := oldest(); some {
		b.Error("Counts returned pending tasks of a queue that has none")
	}
	before := time.Now()
	first := b.insert("task.old")
	if at, _ := oldest(); at.IsZero() {
		b.Skip("the engine does not tell which is oldest")
	}
	time.Sleep(4 * b.o.Step)
	for range 3 {
		b.insert("task.new")
	}
	check := func(what string, from, to time.Time) {
		b.Helper()
		const slack = time.Second // of asynq's whole seconds, and of clocks
		if at, _ := oldest(); at.Before(from.Add(-slack)) || at.After(to.Add(slack)) {
			b.Errorf("%s: Oldest is %v, want from %v to %v", what, at, from, to)
		}
	}
	check("with an old task", before, before.Add(2*b.o.Step))
	if !b.o.lacks(Priorities) {
		b.insert("task.urgent", priority(3))
		check("with a task that goes first", before, before.Add(2*b.o.Step))
	}
	if err := b.e.Delete(b.ctx(), first); err != nil && !errors.Is(err, engine.ErrNotFound) {
		b.Fatalf("Delete: %v", err)
	}
	check("without it", before.Add(3*b.o.Step), time.Now())
}
