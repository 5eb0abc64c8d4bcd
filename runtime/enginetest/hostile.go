package enginetest

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

var hostileTests = []test{
	{name: "Names", run: testHostileNames},
	{name: "Queues", run: testHostileQueues},
	{name: "Arguments", run: testHostileArgs},
	{name: "Results", run: testHostileResults},
	{name: "Memos", run: testHostileMemos},
	{name: "Tags", run: testHostileTags},
	{name: "Keys", run: testHostileKeys},
	{name: "CancelReasons", run: testHostileCancelReasons},
}

// hostile are texts that some stores cannot hold, or give a meaning of their
// own.
var hostile = []string{
	"with space", "dotted.name", "ünïcode.漢字", "a:b", "a/b", "{braces}", "*", "%", "_", "it's", `"quoted"`, `back\slash`,
	"UPPER.lower", "new\nline", strings.Repeat("long", 50), "\x00", "\xff\xfe", "--", "null", "0", ";DROP TABLE x",
}

// refusedOr stores the message. It returns false if the engine refuses it,
// which must happen at once: nothing is stored then.
func (b *bench) refusedOr(m *engine.Message) (uuid.UUID, bool) {
	b.Helper()
	before := len(b.list(engine.Query{}))
	ins, err := b.e.Insert(b.ctx(), []*engine.Message{m})
	if err == nil && len(ins) == 1 && ins[0].Err == nil {
		return ins[0].ID, true
	}
	if after := len(b.list(engine.Query{})); after != before {
		b.Errorf("Insert returned %v, but the message is there", err)
	}
	return uuid.Nil, false
}

// works runs the stored task and returns the message that Run got.
func (b *bench) works(s *server, what string, id uuid.UUID) *engine.Message {
	b.Helper()
	h := s.next()
	if h.id() != id {
		b.Errorf("%s: task %s was run, want %s", what, h.id(), id)
	}
	h.succeed()
	b.until(id, engine.StateSucceeded)
	return h.d.Message
}

// testHostileNames: a name either works as it is, or Check refuses it.
func testHostileNames(b *bench) {
	refused := 0
	for _, name := range append([]string{""}, hostile...) {
		m := b.message(name)
		check := b.e.Check(m)
		id, ok := b.refusedOr(m)
		if ok != (check == nil) {
			b.Errorf("name %q: Check says %v, but stored is %v: Insert applies Check", name, check, ok)
		}
		if !ok {
			refused++
			if check != nil {
				b.is("Check of the name "+name, check, engine.ErrUnsupported)
			}
			continue
		}
		s := b.serve([]string{name})
		if got := b.works(s, "name "+name, id).Name; got != name {
			b.Errorf("the name %q is delivered as %q", name, got)
		}
		s.mustStop()
	}
	b.Logf("%d names of %d are refused", refused, len(hostile)+1)
}

func testHostileQueues(b *bench) {
	refused := 0
	for _, queue := range hostile {
		queue += b.queue
		m := b.message("task.queue", func(m *engine.Message) { m.Queue = queue })
		check := b.e.Check(m)
		id, ok := b.refusedOr(m)
		if ok != (check == nil) {
			b.Errorf("queue %q: Check says %v, but stored is %v: Insert applies Check", queue, check, ok)
		}
		if !ok {
			refused++
			continue
		}
		s := b.serve([]string{"task.queue"}, func(w *engine.Worker) { w.Queues = []string{queue} })
		if got := b.works(s, "queue "+queue, id).Queue; got != queue {
			b.Errorf("the queue %q is delivered as %q", queue, got)
		}
		s.mustStop()
	}
	b.Logf("%d queues of %d are refused", refused, len(hostile))
}

// hostileJSON is valid JSON that some stores cannot hold.
var hostileJSON = []string{
	`{"s":"\u0000"}`, `{"s":"\ud800"}`, `{"\u0000":1}`, `{"n":1e400}`, `{"n":123456789012345678901234567890.123456789}`,
	`{"a":1,"a":2}`, `{"s":"` + strings.Repeat(`\\`, 1000) + `"}`, ` { "s" : 1 } `,
}

// testHostileArgs: an engine refuses arguments that it cannot store; it never
// delivers others.
func testHostileArgs(b *bench) {
	s := b.serve([]string{"task.hostile"})
	refused := 0
	for _, args := range hostileJSON {
		id, ok := b.refusedOr(b.message("task.hostile", func(m *engine.Message) { m.Args = json.RawMessage(args) }))
		if !ok {
			refused++
			continue
		}
		got := b.works(s, "arguments", id).Args
		if !sameNumbers(got, args) && args != `{"a":1,"a":2}` && args != `{"n":1e400}` {
			b.Errorf("arguments %.60s are delivered as %.60s", args, got)
		}
	}
	b.Logf("%d arguments of %d are refused", refused, len(hostileJSON))
}

// testHostileResults: a task with a hostile result has done its work, and it
// must end.
func testHostileResults(b *bench) {
	s := b.serve([]string{"task.hostile"})
	for _, result := range append([]string{`null`, `""`, `"\u0000"`}, hostileJSON...) {
		id := b.insert("task.hostile")
		s.next().conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(result)})
		en := b.ended(id)
		if en.State == engine.StateSucceeded && !json.Valid(en.Result) {
			b.Errorf("the result %.60s is read back as %.60s, which is no JSON", result, en.Result)
		}
		if en.State != engine.StateSucceeded && en.Reason == "" {
			b.Errorf("a task with the result %.60s is %s without a reason", result, en.State)
		}
	}
}

func testHostileMemos(b *bench) {
	s := b.serve([]string{"task.hostile"})
	for _, memo := range []string{`"\u0000"`, `"\ud800"`, `{"a":1,"a":2}`, `null`, `[]`} {
		id := b.insert("task.hostile")
		h := s.next()
		if err := h.d.Memo.SaveMemo(b.ctx(), json.RawMessage(memo)); err == nil && !sameJSON(h.load(), json.RawMessage(memo)) {
			b.Errorf("the memo %s is read back as %s", memo, h.load())
		}
		h.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Memo: json.RawMessage(memo)})
		b.ended(id)
	}
}

func testHostileTags(b *bench) {
	s := b.serve([]string{"task.hostile"})
	refused := 0
	for _, text := range append([]string{""}, hostile...) {
		tags := map[string]string{text: text + "!"}
		m := b.message("task.hostile", func(m *engine.Message) { m.Meta.Tags, m.Meta.Headers = tags, tags })
		id, ok := b.refusedOr(m)
		if !ok {
			refused++
			continue
		}
		got := b.works(s, "tag", id)
		if strings.ToValidUTF8(text, "") == text && (got.Meta.Tags[text] != text+"!" || got.Meta.Headers[text] != text+"!") {
			b.Errorf("tag and header %q are delivered as %q and %q", tags, got.Meta.Tags, got.Meta.Headers)
		}
		if text == "" || strings.ToValidUTF8(text, "") != text || strings.Contains(text, "\x00") {
			continue
		}
		b.lists("tag "+text, engine.Query{Tag: text, TagValue: text + "!"}, id)
	}
	b.Logf("%d tags of %d are refused", refused, len(hostile)+1)
}

func testHostileKeys(b *bench) {
	for _, text := range hostile {
		m := b.message("task.hostile", key(text+b.queue, time.Hour))
		id, ok := b.refusedOr(m)
		if !ok {
			continue
		}
		b.sameTask("key "+text, b.insertInto(b.e, b.message("task.hostile", key(text+b.queue, time.Hour))), id)
	}
}

// testHostileCancelReasons: reasons come from people. A reason that cannot be
// stored is shown as near to it as possible.
func testHostileCancelReasons(b *bench) {
	for _, reason := range append([]string{"", strings.Repeat("r", 2*engine.MaxReason)}, hostile...) {
		id := b.insert("task.hostile")
		if err := b.e.Cancel(b.ctx(), id, reason); err != nil {
			b.Errorf("Cancel with the reason %.40q: %v", reason, err)
			continue
		}
		en := b.until(id, engine.StateCancelled)
		clean := strings.ToValidUTF8(reason, "") == reason && !strings.Contains(reason, "\x00") && len(reason) <= engine.MaxReason
		if clean && en.Reason != reason {
			b.Errorf("the reason %q is read back as %q", reason, en.Reason)
		}
	}
	id := b.insert("task.hostile")
	h := b.serve([]string{"task.hostile"}).next()
	if err := b.e.Cancel(context.Background(), id, "\x00\xff"); err != nil {
		b.Errorf("Cancel of a running task with a NUL byte in its reason: %v", err)
	}
	h.stopped()
	h.conclude(engine.Outcome{Kind: engine.OutcomeCancel})
	b.until(id, engine.StateCancelled)
}
