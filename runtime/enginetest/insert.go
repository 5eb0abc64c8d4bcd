package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

var insertTests = []test{
	{name: "GetReturnsWhatWasSent", run: testGetReturnsWhatWasSent},
	{name: "RunGetsWhatWasSent", run: testRunGetsWhatWasSent},
	{name: "MessageIsNotChanged", run: testMessageIsNotChanged},
	{name: "Batch", run: testBatch},
	{name: "BatchOfNone", run: testBatchOfNone},
	{name: "BatchLarge", run: testBatchLarge},
	{name: "BatchAllOrNone", run: testBatchAllOrNone, needs: need{feature: AtomicBatches}},
	{name: "InsertOneIsInsert", run: testInsertOne},
	{name: "ForeignMessage", run: testForeignMessage},
	{name: "PayloadsExact", run: testPayloadsExact},
	{name: "LargePayload", run: testLargePayload},
	{name: "StateScheduled", run: testStateScheduled},
	{name: "DuePastRunsAtOnce", run: testDuePast},
	{name: "DelayedNotEarly", run: testDelayedNotEarly},
	{name: "DelayedWhileIdle", run: testDelayedWhileIdle},
	{name: "CheckKnowsPriorities", run: testCheckPriorities},
	{name: "GetUnknown", run: testGetUnknown},
	{name: "EndedContext", run: testInsertEndedContext},
	{name: "ForeignMessagesInABatch", run: testForeignBatch},
	{name: "CheckWithoutMeta", run: testCheckBare},
}

// full sets every field that a message can have.
func full(b *bench) *engine.Message {
	now := time.Now().UTC().Truncate(time.Millisecond)
	m := b.message("task.full")
	m.Args = json.RawMessage(`{"text":"ü \u2028 \"quoted\" </script>","n":9007199254740993,"list":[1,null,{"x":[]}],"f":1e-7}`)
	if !b.o.lacks(Priorities) {
		m.Priority = 2
	}
	m.Key, m.KeyFor, m.Keep = "full "+b.queue, time.Hour, 2*time.Hour
	m.KeepFailed = 3 * time.Hour
	parent, root := uuid.New(), uuid.New()
	m.Meta.Signature, m.Meta.Retries, m.Meta.Timeout = "text:string n:[]Order:9f86d081{1a2b3c4d;a%3b=*#0a0b0c0d;lines[].gift=int,string}", 7, 90*time.Second
	m.Meta.EnqueuedAt, m.Meta.Deadline = now, now.Add(24*time.Hour)
	m.Meta.Parent, m.Meta.Root = parent, root
	m.Meta.Tags = map[string]string{"plan": "pro", "ключ": "値 with spaces", "empty": ""}
	m.Meta.Headers = map[string]string{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
	m.Meta.Redact = []string{"text", "n"}
	return m
}

func testGetReturnsWhatWasSent(b *bench) {
	m := full(b)
	id := b.put(m)
	en := b.get(id)
	b.sameMessage("Entry.Message of a waiting task", en.Message, m, id)
	if en.State != engine.StatePending {
		b.Errorf("a task that is due is %s, want %s", en.State, engine.StatePending)
	}
	if en.Attempt != 0 || !en.StartedAt.IsZero() || !en.EndedAt.IsZero() || en.Result != nil || en.Reason != "" || en.Memo != nil {
		b.Errorf("a task that has not run has Attempt %d, StartedAt %v, EndedAt %v, Result %s, Reason %q, Memo %s, want all zero",
			en.Attempt, en.StartedAt, en.EndedAt, en.Result, en.Reason, en.Memo)
	}
	s := b.serve([]string{m.Name})
	h := s.next()
	b.sameMessage("Entry.Message of a running task", b.get(id).Message, m, id)
	h.succeed()
	b.sameMessage("Entry.Message of an ended task", b.until(id, engine.StateSucceeded).Message, m, id)
}

func testRunGetsWhatWasSent(b *bench) {
	m := full(b)
	id := b.put(m)
	s := b.serve([]string{m.Name})
	h := s.next()
	b.sameMessage("Delivery.Message of the first run", h.d.Message, m, id)
	if h.d.Attempt != 0 {
		b.Errorf("Delivery.Attempt of the first run is %d, want 0", h.d.Attempt)
	}
	h.conclude(engine.Outcome{Kind: engine.OutcomeRetry, Reason: "again"})
	h = s.next()
	b.sameMessage("Delivery.Message of the second run", h.d.Message, m, id)
	h.succeed()
}

func testMessageIsNotChanged(b *bench) {
	m := full(b)
	before := *m
	before.Meta.Tags = map[string]string{}
	for k, v := range m.Meta.Tags {
		before.Meta.Tags[k] = v
	}
	b.put(m)
	if !reflect.DeepEqual(*m, before) {
		b.Errorf("Insert changed the message from %+v to %+v", before, *m)
	}
}

func testBatch(b *bench) {
	var ms []*engine.Message
	for i := range 10 {
		ms = append(ms, b.message(fmt.Sprintf("task.b%d", i)))
	}
	ids := b.batch(ms...)
	seen := make(map[uuid.UUID]bool)
	for i, id := range ids {
		if seen[id] {
			b.Fatalf("Insert returned the id %s twice", id)
		}
		seen[id] = true
		if en := b.get(id); en.Message.Name != ms[i].Name {
			b.Errorf("answer %d is the id of %q, want that of message %d, %q", i, en.Message.Name, i, ms[i].Name)
		}
	}
}

func testBatchOfNone(b *bench) {
	ins, err := b.e.Insert(b.ctx(), nil)
	if err != nil || len(ins) != 0 {
		b.Errorf("Insert of no messages returned %v, %v, want neither answers nor an error", ins, err)
	}
}

func testBatchLarge(b *bench) {
	ms := make([]*engine.Message, 1000)
	for i := range ms {
		ms[i] = b.message("task.large")
	}
	ids := b.batch(ms...)
	var l log
	b.auto([]string{"task.large"}, func(_ context.Context, d *engine.Delivery) engine.Outcome {
		l.add(d)
		return engine.Outcome{Kind: engine.OutcomeSucceed}
	})
	b.poll("1,000 tasks of one batch run", func() bool { return l.len() >= len(ids) })
	l.once(b, ids)
}

func testBatchAllOrNone(b *bench) {
	good, bad := b.message("task.good"), b.message("task.bad")
	bad.Priority = 99
	_, err := b.e.Insert(b.ctx(), []*engine.Message{good, bad})
	b.is("Insert of a batch with a priority of 99", err, engine.ErrUnsupported)
	last := b.insert("task.last")
	es, _, err := b.e.List(b.ctx(), engine.Query{Queue: b.queue})
	if err != nil {
		b.Fatalf("List: %v", err)
	}
	if len(es) != 1 || es[0].ID != last {
		b.Errorf("after the batch that failed, the queue holds %s, want only task.last", names(es))
	}
}

func testInsertOne(b *bench) {
	one, ok := b.e.(engine.SingleInserter)
	if !ok {
		b.Skip("the engine is no SingleInserter")
	}
	bad := b.message("task.bad")
	bad.Priority = 99
	_, err := one.InsertOne(b.ctx(), bad)
	b.is("InsertOne with a priority of 99", err, engine.ErrUnsupported)
	m := b.message("task.one", key("k"+b.queue, time.Hour))
	in, err := one.InsertOne(b.ctx(), m)
	if err != nil || in.Existing || in.Err != nil {
		b.Fatalf("InsertOne returned %+v, %v", in, err)
	}
	ins, err := b.e.Insert(b.ctx(), []*engine.Message{b.message("task.one", key("k"+b.queue, time.Hour))})
	if err != nil || !ins[0].Existing || ins[0].ID != in.ID {
		b.Errorf("Insert of a key that InsertOne took returned %+v, %v, want the existing task", ins, err)
	}
}

func testForeignMessage(b *bench) {
	m := &engine.Message{Name: "task.foreign", Queue: b.queue, Args: json.RawMessage(`{"n":1}`)}
	id := b.put(m)
	s := b.serve([]string{m.Name})
	h := s.next()
	if h.d.Message.Meta.ID != id {
		b.Errorf("a message without Meta is delivered with the id %s, want the one Insert returned, %s", h.d.Message.Meta.ID, id)
	}
	if v := h.d.Message.Meta.Version; v != 0 {
		b.Errorf("a message without Meta is delivered with version %d, want 0", v)
	}
	h.succeed()
	b.until(id, engine.StateSucceeded)
}

func testForeignBatch(b *bench) {
	bare := func() *engine.Message { return &engine.Message{Name: "task.foreign", Queue: b.queue} }
	ids := b.batch(bare(), b.message("task.foreign"), bare())
	if ids[0] == uuid.Nil || ids[0] == ids[2] || ids[0] == ids[1] {
		b.Fatalf("messages without an id got the ids %v", ids)
	}
	s := b.serve([]string{"task.foreign"})
	for range ids {
		s.next().succeed()
	}
	for _, id := range ids {
		b.until(id, engine.StateSucceeded)
	}
}

// testCheckBare: App.Start calls Check for each registered task with the known
// part of its messages.
func testCheckBare(b *bench) {
	if err := b.e.Check(&engine.Message{Name: "task.bare", Queue: "default"}); err != nil {
		b.Errorf("Check of a name and a queue: %v", err)
	}
	m := &engine.Message{Name: "task.bare", Queue: "default", Key: "task.bare", KeyFor: time.Hour}
	if err := b.e.Check(m); err != nil && !errors.Is(err, engine.ErrUnsupported) {
		b.Errorf("Check of a message with a key: %v, want nil or one that wraps %q", err, engine.ErrUnsupported)
	}
}

func testPayloadsExact(b *bench) {
	s := b.serve([]string{"task.exact"})
	for _, args := range []string{
		`{}`, `{"s":""}`, `{"n":-9223372036854775808}`, `{"n":18446744073709551615}`, `{"f":0.1}`,
		`{"s":"\u0001 \t \n \\ / é 漢 😀"}`, `{"deep":[[[[[[1]]]]]]}`, `{"b":"AAECAw=="}`, `{"t":"2024-02-29T23:59:59.999999999+05:30"}`,
	} {
		id := b.insert("task.exact", func(m *engine.Message) { m.Args = json.RawMessage(args) })
		h := s.next()
		if !sameNumbers(h.d.Message.Args, args) {
			b.Errorf("arguments %s are delivered as %s", args, h.d.Message.Args)
		}
		h.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(args)})
		if en := b.until(id, engine.StateSucceeded); !sameNumbers(en.Result, args) {
			b.Errorf("result %s is read back as %s", args, en.Result)
		}
	}
}

// sameNumbers is sameJSON that takes numbers as they are written.
func sameNumbers(got json.RawMessage, want string) bool {
	decode := func(s string) (v any) {
		d := json.NewDecoder(strings.NewReader(s))
		d.UseNumber()
		if d.Decode(&v) != nil {
			return nil
		}
		return v
	}
	g := decode(string(got))
	return g != nil && reflect.DeepEqual(g, decode(want))
}

func testLargePayload(b *bench) {
	text := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	id := b.insert("task.large", func(m *engine.Message) { m.Args = json.RawMessage(`{"s":"` + text + `"}`) })
	s := b.serve([]string{"task.large"})
	h := s.next()
	if !sameJSON(h.d.Message.Args, json.RawMessage(`{"s":"`+text+`"}`)) {
		b.Errorf("arguments of 1 MiB are delivered as %d bytes", len(h.d.Message.Args))
	}
	h.conclude(engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`"` + text + `"`)})
	if en := b.until(id, engine.StateSucceeded); !sameJSON(en.Result, json.RawMessage(`"`+text+`"`)) {
		b.Errorf("a result of 1 MiB is read back as %d bytes", len(en.Result))
	}
}

func testStateScheduled(b *bench) {
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	id := b.insert("task.later", due(at))
	en := b.get(id)
	if en.State != engine.StateScheduled {
		b.Errorf("a task due in an hour is %s, want %s", en.State, engine.StateScheduled)
	}
	if !en.Due.Equal(at) {
		b.Errorf("Entry.Due is %v, want the message's, %v", en.Due, at)
	}
	soon := b.insert("task.soon", dueIn(b.o.Step))
	b.poll("a scheduled task is pending once it is due, although nobody serves it", func() bool {
		return b.get(soon).State == engine.StatePending
	})
}

func testDuePast(b *bench) {
	b.insert("task.past", dueIn(-time.Hour))
	b.serve([]string{"task.past"}).next().succeed()
}

func testDelayedNotEarly(b *bench) {
	at := time.Now().Add(4 * b.o.Step)
	b.insert("task.delayed", due(at))
	b.insert("task.now")
	s := b.serve([]string{"task.delayed", "task.now"}, slots(1))
	s.nextNamed("task.now").succeed()
	h := s.nextNamed("task.delayed")
	if now := time.Now(); now.Before(at) {
		b.Errorf("the task ran %v before it was due", at.Sub(now))
	}
	h.succeed()
}

func testDelayedWhileIdle(b *bench) {
	// On one slot the order holds even if both are due when the worker looks.
	s := b.serve([]string{"task.first", "task.third", "task.second"}, slots(1))
	b.insert("task.first")
	s.nextNamed("task.first").succeed() // the worker is up
	at := time.Now().Add(4 * b.o.Step)
	b.insert("task.third", due(at.Add(4*b.o.Step)))
	b.insert("task.second", due(at)) // due before the known tasks
	h := s.nextNamed("task.second")
	if now := time.Now(); now.Before(at) {
		b.Errorf("the task ran %v before it was due", at.Sub(now))
	}
	h.succeed()
	s.nextNamed("task.third").succeed()
}

func testCheckPriorities(b *bench) {
	for p := range int8(4) {
		m := b.message("task.p", priority(p))
		err := b.e.Check(m)
		if p == 0 || !b.o.lacks(Priorities) {
			if err != nil {
				b.Errorf("Check of priority %d: %v", p, err)
			}
			continue
		}
		b.is(fmt.Sprintf("Check of priority %d", p), err, engine.ErrUnsupported)
		_, err = b.e.Insert(b.ctx(), []*engine.Message{m})
		b.is(fmt.Sprintf("Insert with priority %d", p), err, engine.ErrUnsupported)
	}
	for _, p := range []int8{-128, -1, 4, 127} {
		b.is(fmt.Sprintf("Check of priority %d", p), b.e.Check(b.message("task.p", priority(p))), engine.ErrUnsupported)
	}
}

func testGetUnknown(b *bench) {
	for _, id := range []uuid.UUID{uuid.New(), {}, uuid.Must(uuid.NewV7())} {
		_, err := b.e.Get(b.ctx(), id)
		b.is("Get of an unknown id", err, engine.ErrNotFound)
		b.is("Cancel of an unknown id", b.e.Cancel(b.ctx(), id, "x"), engine.ErrNotFound)
		b.is("Retry of an unknown id", b.e.Retry(b.ctx(), id), engine.ErrNotFound)
		b.is("Delete of an unknown id", b.e.Delete(b.ctx(), id), engine.ErrNotFound)
	}
	id, app := uuid.New(), runtime.New(b.e, runtime.Config{})
	_, err := app.Lookup(b.ctx(), id)
	b.namedOnce("Lookup of an unknown id", err, id)
	b.namedOnce("Cancel of an unknown id", app.Cancel(b.ctx(), id, "x"), id)
	b.namedOnce("Cancel without a reason of an unknown id", app.Cancel(b.ctx(), id, ""), id)
	b.namedOnce("Retry of an unknown id", app.Retry(b.ctx(), id), id)
	b.namedOnce("Delete of an unknown id", app.Delete(b.ctx(), id), id)
}

// testInsertEndedContext: an insert either stores the message and says so, or
// stores nothing.
func testInsertEndedContext(b *bench) {
	m := b.message("task.ctx")
	ins, err := b.e.Insert(endedContext(), []*engine.Message{m})
	es, _, lerr := b.e.List(b.ctx(), engine.Query{Queue: b.queue})
	if lerr != nil {
		b.Fatalf("List: %v", lerr)
	}
	switch {
	case err == nil && (len(ins) != 1 || len(es) != 1):
		b.Errorf("Insert with an ended context says that it stored %d messages, and %d are there", len(ins), len(es))
	case err != nil && len(es) != 0:
		b.Errorf("Insert returned %v, but the message is there", err)
	case err != nil && !errors.Is(err, context.Canceled):
		b.Errorf("Insert with an ended context: %v, want an error that wraps its cause", err)
	}
}
