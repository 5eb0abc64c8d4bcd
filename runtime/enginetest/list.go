package enginetest

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
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
	{name: "PagesOfBytes", run: testListBytes},
	{name: "Brief", run: testListBrief},
	{name: "FewAmongMany", run: testListFew},
}

// list returns all pages of the query, by the limit in it.
func (b *bench) list(q engine.Query) []uuid.UUID {
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

// lists fails the test unless the query finds exactly the tasks, in their
// order if the engine keeps one.
func (b *bench) lists(what string, q engine.Query, want ...uuid.UUID) {
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
	b.lists("all", engine.Query{}, ids...)
}

func testListPages(b *bench) {
	var ids []uuid.UUID
	for range 10 {
		ids = append(ids, b.insert("task.list"))
	}
	for _, limit := range []int{1, 3, 5, 10, 11} {
		b.lists("all, in pages", engine.Query{Limit: limit}, ids...)
	}
}

// testListPagesMoving: a task that stays is listed once, while others come and
// go between pages.
func testListPagesMoving(b *bench) {
	var ids []uuid.UUID
	for range 12 {
		ids = append(ids, b.insert("task.list"))
	}
	seen := make(map[uuid.UUID]int)
	q := engine.Query{Queue: b.queue, Limit: 4}
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
	want := make(map[engine.State][]uuid.UUID)
	for kind, state := range map[engine.OutcomeKind]engine.State{
		engine.OutcomeSucceed: engine.StateSucceeded, engine.OutcomeFail: engine.StateFailed,
		engine.OutcomeCancel: engine.StateCancelled, engine.OutcomeRetry: engine.StateRetrying,
	} {
		id := b.insert("task.list")
		s.next().conclude(engine.Outcome{Kind: kind, After: time.Hour, Reason: "r"})
		b.until(id, state)
		want[state] = append(want[state], id)
	}
	want[engine.StateRunning] = append(want[engine.StateRunning], b.insert("task.list"))
	h := s.next()
	want[engine.StateScheduled] = append(want[engine.StateScheduled], b.insert("task.list", dueIn(time.Hour)))
	want[engine.StatePending] = append(want[engine.StatePending], b.insert("task.unknown"))
	for state, ids := range want {
		b.lists("state "+string(state), engine.Query{States: []engine.State{state}}, ids...)
	}
	if got := b.list(engine.Query{States: []engine.State{engine.StatePending, engine.StateRunning, engine.StateFailed}}); len(got) != 3 {
		b.Errorf("List of three states returned %d tasks, want 3", len(got))
	}
	if got := b.list(engine.Query{Limit: 2}); len(got) != 7 {
		b.Errorf("List of all states in pages returned %d tasks, want 7", len(got))
	}
	h.succeed()
}

func testListByName(b *bench) {
	one, two := b.insert("task.one"), b.insert("task.two")
	b.lists("name task.one", engine.Query{Name: "task.one"}, one)
	b.lists("name task.two", engine.Query{Name: "task.two", Limit: 1}, two)
	b.lists("name task", engine.Query{Name: "task"})
}

func testListByTag(b *bench) {
	tag := func(tags map[string]string) func(*engine.Message) {
		return func(m *engine.Message) { m.Meta.Tags = tags }
	}
	pro := b.insert("task.list", tag(map[string]string{"plan": "pro", "it's \"x\".y": "1"}))
	free := b.insert("task.list", tag(map[string]string{"plan": "free"}))
	b.insert("task.list")
	b.lists("tag plan", engine.Query{Tag: "plan"}, pro, free)
	b.lists("tag plan in pages", engine.Query{Tag: "plan", Limit: 1}, pro, free)
	b.lists("tag plan=pro", engine.Query{Tag: "plan", TagValue: "pro"}, pro)
	b.lists("a tag with quotes", engine.Query{Tag: "it's \"x\".y"}, pro)
	b.lists("tag plan=none", engine.Query{Tag: "plan", TagValue: "none"})
}

func testListDefault(b *bench) {
	ms := make([]*engine.Message, 120)
	for i := range ms {
		ms[i] = b.message("task.list")
	}
	b.batch(ms...)
	es, next, err := b.e.List(b.ctx(), engine.Query{Queue: b.queue})
	if err != nil {
		b.Fatalf("List: %v", err)
	}
	if len(es) != 100 || next == "" {
		b.Errorf("List with Limit 0 of 120 tasks returned %d entries and the cursor %q, want 100 and one", len(es), next)
	}
	if got := b.list(engine.Query{}); len(got) != 120 {
		b.Errorf("List returned %d tasks over all pages, want 120", len(got))
	}
}

func testListNothing(b *bench) {
	b.lists("an empty queue", engine.Query{})
	for _, cursor := range []string{"no cursor of yours", "-1", "-zz", " ", "\x00"} {
		if _, _, err := b.e.List(b.ctx(), engine.Query{Queue: b.queue, Cursor: cursor}); err == nil {
			b.Errorf("List with the cursor %q, which it never returned: want an error", cursor)
		}
	}
}

// maxPage bounds the arguments, results and memos on a page, in bytes.
const maxPage = 8 << 20

// testListBytes: a page is bounded in bytes, and all pages return all.
func testListBytes(b *bench) {
	const n, size = 12, 1 << 20
	text := `{"s":"` + strings.Repeat("0123456789abcdef", size/16) + `"}`
	var ids []uuid.UUID
	for range n {
		ids = append(ids, b.insert("task.large", func(m *engine.Message) { m.Args = json.RawMessage(text) }))
	}
	b.lists("large tasks", engine.Query{Limit: 100}, ids...)
	q := engine.Query{Queue: b.queue, Limit: 100}
	for {
		es, next, err := b.e.List(b.ctx(), q)
		if err != nil {
			b.Fatalf("List: %v", err)
		}
		bytes := 0
		for _, en := range es {
			bytes += len(en.Message.Args) + len(en.Result) + len(en.Memo)
		}
		if bytes > maxPage {
			b.Errorf("a page of List has %d tasks with %d bytes, want at most %d bytes", len(es), bytes, maxPage)
		}
		if q.Cursor = next; next == "" {
			return
		}
	}
}

// testListBrief: a brief listing leaves out the large fields, and nothing
// else.
func testListBrief(b *bench) {
	s := b.serve([]string{"task.brief"}, slots(1))
	tags := func(m *engine.Message) { m.Meta.Tags = map[string]string{"plan": "pro"} }
	succeeded := b.insert("task.brief", tags)
	h := s.next()
	h.save(`"kept"`)
	h.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`{"large":1}`)})
	b.until(succeeded, engine.StateSucceeded)
	failed := b.insert("task.brief", tags)
	s.end(failed, engine.Outcome{Kind: engine.OutcomeFail, Reason: "card declined"}, engine.StateFailed)
	waits := b.insert("task.brief", tags, dueIn(time.Hour))
	b.lists("all, in brief", engine.Query{Brief: true}, succeeded, failed, waits)
	b.lists("a tag, in brief", engine.Query{Brief: true, Tag: "plan", TagValue: "pro", Limit: 2}, succeeded, failed, waits)
	es, _, err := b.e.List(b.ctx(), engine.Query{Queue: b.queue, Brief: true})
	if err != nil {
		b.Fatalf("List: %v", err)
	}
	for _, en := range es {
		whole := b.get(en.ID)
		if en.Message.Args != nil || en.Result != nil || en.Memo != nil {
			b.Errorf("a brief entry has Args %s, Result %s and Memo %s, want none", en.Message.Args, en.Result, en.Memo)
		}
		whole.Message = copied(whole.Message)
		whole.Message.Args, whole.Result, whole.Memo = nil, nil, nil
		b.sameMessage("brief entry", en.Message, whole.Message, en.ID)
		if en.State != whole.State || en.Reason != whole.Reason || en.Worker != whole.Worker || en.Attempt != whole.Attempt ||
			!en.Due.Equal(whole.Due) || !en.StartedAt.Equal(whole.StartedAt) || !en.EndedAt.Equal(whole.EndedAt) {
			b.Errorf("the brief entry %+v differs from that of Get, %+v", en, whole)
		}
		if en.ID == failed && en.Reason != "card declined" {
			b.Errorf("the reason of a brief entry is %q, want it whole", en.Reason)
		}
	}
}

func copied(m *engine.Message) *engine.Message { own := *m; return &own }

// testListFew: a filter finds its tasks wherever they are among others, if not
// on the first page.
func testListFew(b *bench) {
	ms := make([]*engine.Message, b.o.Tasks)
	for i := range ms {
		ms[i] = b.message("task.many", dueIn(time.Hour))
	}
	tagged := func(m *engine.Message) { m.Meta.Tags = map[string]string{"rare": "yes"} }
	first := b.insert("task.few", tagged, dueIn(time.Hour))
	b.batch(ms...)
	last := b.insert("task.few", tagged, dueIn(time.Hour))
	b.lists("few by name", engine.Query{Name: "task.few"}, first, last)
	b.lists("few by name, one on a page", engine.Query{Name: "task.few", Limit: 1}, first, last)
	b.lists("few by tag", engine.Query{Tag: "rare", TagValue: "yes"}, first, last)
	b.cancel(b.e, last, "no")
	b.lists("few by state", engine.Query{States: []engine.State{engine.StateCancelled}}, last)
	b.lists("few by name and state", engine.Query{
		Name: "task.few", States: []engine.State{engine.StateScheduled}, Tag: "rare",
	}, first)
	b.lists("none", engine.Query{Name: "task.many", States: []engine.State{engine.StateFailed}})
}
