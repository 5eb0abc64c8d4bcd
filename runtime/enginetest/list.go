package enginetest

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
)

var listTests = []test{
	{name: "OldestFirst", run: testListOrder, needs: need{feature: ListOrder}},
	{name: "Pages", run: testListPages},
	{name: "PagesWhileTasksCome", run: testListPagesMoving},
	{name: "ByState", run: testListByState},
	{name: "ByName", run: testListByName},
	{name: "ByTag", run: testListByTag},
	{name: "DefaultLimit", run: testListDefault},
	{name: "Nothing", run: testListNothing},
}

// list returns all pages of the query, by the limit in it.
func (b *bench) list(q runtime.Query) []uuid.UUID {
	b.Helper()
	q.Queue = b.queue
	var ids []uuid.UUID
	for range 10_000 {
		es, next, err := b.e.List(b.ctx(), q)
		if err != nil {
			b.Fatalf("List: %v", err)
		}
		if q.Limit > 0 && len(es) > q.Limit {
			b.Fatalf("List with Limit %d returned %d entries", q.Limit, len(es))
		}
		for _, en := range es {
			if en.Message == nil {
				b.Fatalf("List returned an entry without its message")
			}
			if en.Message.Queue != b.queue {
				b.Errorf("List of the queue %q returned a task of %q", b.queue, en.Message.Queue)
			}
			ids = append(ids, en.ID)
		}
		if next == "" {
			return ids
		}
		q.Cursor = next
	}
	b.Fatal("List never returned an empty cursor")
	return nil
}

// lists fails the test unless the query finds exactly the tasks, in their order
// if the engine keeps one.
func (b *bench) lists(what string, q runtime.Query, want ...uuid.UUID) {
	b.Helper()
	got := b.list(q)
	if b.o.lacks(ListOrder) {
		byID := func(x, y uuid.UUID) int { return slices.Compare(x[:], y[:]) }
		slices.SortFunc(got, byID)
		want = slices.SortedFunc(slices.Values(want), byID)
	}
	if !slices.Equal(got, want) {
		b.Errorf("List of %s returned\n\t%v\nwant\n\t%v", what, got, want)
	}
}

func testListOrder(b *bench) {
	var ids []uuid.UUID
	for range 5 {
		ids = append(ids, b.insert("task.list"))
	}
	ids = append(ids, b.batch(b.message("task.list"), b.message("task.list"))...)
	b.lists("all", runtime.Query{}, ids...)
}

func testListPages(b *bench) {
	var ids []uuid.UUID
	for range 10 {
		ids = append(ids, b.insert("task.list"))
	}
	for _, limit := range []int{1, 3, 5, 10, 11} {
		b.lists("all, in pages", runtime.Query{Limit: limit}, ids...)
	}
}

// testListPagesMoving: what is there all the time is listed once, whatever
// comes and goes between two pages.
func testListPagesMoving(b *bench) {
	var ids []uuid.UUID
	for range 12 {
		ids = append(ids, b.insert("task.list"))
	}
	seen := make(map[uuid.UUID]int)
	q := runtime.Query{Queue: b.queue, Limit: 4}
	for page := 0; ; page++ {
		es, next, err := b.e.List(b.ctx(), q)
		if err != nil {
			b.Fatalf("List: %v", err)
		}
		for _, en := range es {
			seen[en.ID]++
		}
		if page == 0 && len(es) > 0 { // the page's last task goes, a new one comes
			if err := b.e.Delete(b.ctx(), es[len(es)-1].ID); err != nil {
				b.Fatalf("Delete: %v", err)
			}
			b.insert("task.list")
		}
		if next == "" {
			break
		}
		q.Cursor = next
	}
	for i, id := range ids {
		if seen[id] != 1 && (!b.o.lacks(ListOrder) || seen[id] > 1) {
			b.Errorf("task %d was listed %d times, want once", i, seen[id])
		}
	}
}

func testListByState(b *bench) {
	s := b.serve([]string{"task.list"}, slots(10))
	want := make(map[runtime.State][]uuid.UUID)
	for kind, state := range map[runtime.OutcomeKind]runtime.State{
		runtime.OutcomeSucceed: runtime.StateSucceeded, runtime.OutcomeFail: runtime.StateFailed,
		runtime.OutcomeCancel: runtime.StateCancelled, runtime.OutcomeRetry: runtime.StateRetrying,
	} {
		id := b.insert("task.list")
		s.next().conclude(runtime.Outcome{Kind: kind, After: time.Hour, Reason: "r"})
		b.until(id, state)
		want[state] = append(want[state], id)
	}
	want[runtime.StateRunning] = append(want[runtime.StateRunning], b.insert("task.list"))
	h := s.next()
	want[runtime.StateScheduled] = append(want[runtime.StateScheduled], b.insert("task.list", dueIn(time.Hour)))
	want[runtime.StatePending] = append(want[runtime.StatePending], b.insert("task.unknown"))
	for state, ids := range want {
		b.lists("state "+string(state), runtime.Query{States: []runtime.State{state}}, ids...)
	}
	if got := b.list(runtime.Query{States: []runtime.State{runtime.StatePending, runtime.StateRunning, runtime.StateFailed}}); len(got) != 3 {
		b.Errorf("List of three states returned %d tasks, want 3", len(got))
	}
	if got := b.list(runtime.Query{Limit: 2}); len(got) != 7 {
		b.Errorf("List of all states in pages returned %d tasks, want 7", len(got))
	}
	h.succeed()
}

func testListByName(b *bench) {
	one, two := b.insert("task.one"), b.insert("task.two")
	b.lists("name task.one", runtime.Query{Name: "task.one"}, one)
	b.lists("name task.two", runtime.Query{Name: "task.two", Limit: 1}, two)
	b.lists("name task", runtime.Query{Name: "task"})
}

func testListByTag(b *bench) {
	tag := func(tags map[string]string) func(*runtime.Message) {
		return func(m *runtime.Message) { m.Meta.Tags = tags }
	}
	pro := b.insert("task.list", tag(map[string]string{"plan": "pro", "it's \"x\".y": "1"}))
	free := b.insert("task.list", tag(map[string]string{"plan": "free"}))
	b.insert("task.list")
	b.lists("tag plan", runtime.Query{Tag: "plan"}, pro, free)
	b.lists("tag plan in pages", runtime.Query{Tag: "plan", Limit: 1}, pro, free)
	b.lists("tag plan=pro", runtime.Query{Tag: "plan", TagValue: "pro"}, pro)
	b.lists("a tag with quotes", runtime.Query{Tag: "it's \"x\".y"}, pro)
	b.lists("tag plan=none", runtime.Query{Tag: "plan", TagValue: "none"})
}

func testListDefault(b *bench) {
	ms := make([]*runtime.Message, 120)
	for i := range ms {
		ms[i] = b.message("task.list")
	}
	b.batch(ms...)
	es, next, err := b.e.List(b.ctx(), runtime.Query{Queue: b.queue})
	if err != nil {
		b.Fatalf("List: %v", err)
	}
	if len(es) != 100 || next == "" {
		b.Errorf("List with Limit 0 of 120 tasks returned %d entries and the cursor %q, want 100 and one", len(es), next)
	}
	if got := b.list(runtime.Query{}); len(got) != 120 {
		b.Errorf("List returned %d tasks over all pages, want 120", len(got))
	}
}

func testListNothing(b *bench) {
	b.lists("an empty queue", runtime.Query{})
	for _, cursor := range []string{"no cursor of yours", "-1", "-zz", " ", "\x00"} {
		if _, _, err := b.e.List(b.ctx(), runtime.Query{Queue: b.queue, Cursor: cursor}); err == nil {
			b.Errorf("List with the cursor %q, which it never returned: want an error", cursor)
		}
	}
}
