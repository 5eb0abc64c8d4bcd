package enginetest

import (
	"encoding/json"
	"strings"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

var memoTests = []test{
	{name: "EmptyAtFirst", run: testMemoEmpty},
	{name: "SavedWhileRunning", run: testMemoSaved},
	{name: "FromRunToRun", run: testMemoRuns},
	{name: "OfTheOutcome", run: testMemoOutcome},
	{name: "Largest", run: testMemoLarge},
}

// load reads the memo of the run.
func (h *handed) load() json.RawMessage {
	h.b.Helper()
	memo, err := h.d.Memo.LoadMemo(h.b.ctx())
	if err != nil {
		h.b.Fatalf("LoadMemo: %v", err)
	}
	return memo
}

func (h *handed) save(memo string) {
	h.b.Helper()
	if err := h.d.Memo.SaveMemo(h.b.ctx(), json.RawMessage(memo)); err != nil {
		h.b.Fatalf("SaveMemo: %v", err)
	}
}

// memoIs fails the test unless the memo is want.
func (b *bench) memoIs(where string, got json.RawMessage, want string) {
	b.Helper()
	if !sameJSON(got, json.RawMessage(want)) {
		b.Errorf("%s: the memo is %s, want %.80s", where, shown(got), want)
	}
}

func testMemoEmpty(b *bench) {
	b.insert("task.memo")
	h := b.serve([]string{"task.memo"}).next()
	if memo := h.load(); len(memo) != 0 {
		b.Errorf("LoadMemo of a new task returns %s, want nothing", memo)
	}
	h.succeed()
}

func testMemoSaved(b *bench) {
	id := b.insert("task.memo")
	h := b.serve([]string{"task.memo"}).next()
	h.save(`{"done":1}`)
	b.memoIs("Entry while running", b.get(id).Memo, `{"done":1}`)
	b.memoIs("LoadMemo", h.load(), `{"done":1}`)
	h.save(`{"done":2}`)
	b.memoIs("Entry after the second SaveMemo", b.get(id).Memo, `{"done":2}`)
	h.succeed()
	b.memoIs("Entry after the end", b.until(id, engine.StateSucceeded).Memo, `{"done":2}`)
}

func testMemoRuns(b *bench) {
	id := b.insert("task.memo")
	s := b.serve([]string{"task.memo"})
	h := s.next()
	h.save(`[1]`)
	h.conclude(engine.Outcome{Kind: engine.OutcomeRetry})
	h = s.next()
	b.memoIs("after a retry", h.load(), `[1]`)
	h.save(`[1,2]`)
	h.conclude(engine.Outcome{Kind: engine.OutcomeDelay})
	h = s.next()
	b.memoIs("after a delay", h.load(), `[1,2]`)
	h.save(`[1,2,3]`)
	h.conclude(engine.Outcome{Kind: engine.OutcomeRelease})
	h = s.next()
	b.memoIs("after a release", h.load(), `[1,2,3]`)
	h.conclude(engine.Outcome{Kind: engine.OutcomeFail, Reason: "x"})
	b.memoIs("Entry after the end", b.until(id, engine.StateFailed).Memo, `[1,2,3]`)
}

func testMemoOutcome(b *bench) {
	s := b.serve([]string{"task.memo"})
	for _, kind := range []engine.OutcomeKind{
		engine.OutcomeSucceed, engine.OutcomeFail, engine.OutcomeCancel, engine.OutcomeRetry, engine.OutcomeDelay, engine.OutcomeRelease,
	} {
		id := b.insert("task.memo")
		h := s.next()
		h.save(`"while running"`)
		h.conclude(engine.Outcome{Kind: kind, Memo: json.RawMessage(`"of the outcome"`)})
		if kind == engine.OutcomeRetry || kind == engine.OutcomeDelay || kind == engine.OutcomeRelease {
			h = s.next()
			b.memoIs("the next run", h.load(), `"of the outcome"`)
			h.conclude(engine.Outcome{Kind: engine.OutcomeSucceed})
		}
		b.memoIs("Entry after the end", b.ended(id).Memo, `"of the outcome"`)
	}
}

// ended waits until the task has ended, in any state.
func (b *bench) ended(id uuid.UUID) *engine.Entry {
	b.Helper()
	var en *engine.Entry
	b.poll("the task ends", func() bool { en = b.get(id); return en.State.Final() })
	return en
}

func testMemoLarge(b *bench) {
	memo := `"` + strings.Repeat("m", engine.MaxMemo-2) + `"`
	id := b.insert("task.memo")
	s := b.serve([]string{"task.memo"})
	h := s.next()
	h.save(memo)
	b.memoIs("LoadMemo", h.load(), memo)
	h.conclude(engine.Outcome{Kind: engine.OutcomeRetry, Memo: json.RawMessage(memo)})
	h = s.next()
	b.memoIs("the next run", h.load(), memo)
	h.succeed()
	b.memoIs("Entry after the end", b.ended(id).Memo, memo)
}
