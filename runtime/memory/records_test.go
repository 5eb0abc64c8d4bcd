package memory_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// anyMessage draws a message with any of its fields set.
func anyMessage(t *rapid.T) *engine.Message {
	text := rapid.StringN(0, 12, -1)
	texts := rapid.MapOfN(text, text, 0, 3)
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		return rapid.SampledFrom([]time.Time{
			{}, time.Now().UTC(), time.Unix(0, 1).UTC(), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
			time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC), time.Now().Add(-time.Hour).UTC(),
		}).Draw(t, "time")
	})
	id := rapid.Custom(func(t *rapid.T) (id uuid.UUID) {
		if rapid.Bool().Draw(t, "set") {
			id = uuid.New()
		}
		return id
	})
	m := message(rapid.SampledFrom([]string{"task", "task.b", "täsk", strings.Repeat("long", 30)}).Draw(t, "name"))
	size := rapid.SampledFrom([]int{0, 1, 10, 100, 1000, 3000, 3000, 300_000}).Draw(t, "size")
	m.Args = json.RawMessage(`{"s":"` + strings.Repeat("x", size) + `"}`)
	if d := moment.Draw(t, "due"); d.Before(time.Now()) {
		m.Due = d
	}
	m.Priority = rapid.Int8Range(0, 3).Draw(t, "priority")
	if m.Key = text.Draw(t, "key"); m.Key != "" {
		m.Key += m.Meta.ID.String()
		m.KeyFor = time.Duration(rapid.Int64Range(0, math.MaxInt64/4).Draw(t, "keyFor"))
	}
	m.Keep = rapid.SampledFrom([]time.Duration{0, time.Hour, math.MaxInt64}).Draw(t, "keep")
	m.Meta.EnqueuedAt, m.Meta.Deadline = moment.Draw(t, "at"), moment.Draw(t, "deadline")
	m.Meta.Signature, m.Meta.Version = text.Draw(t, "sig"), rapid.Int16().Draw(t, "version")
	m.Meta.Retries, m.Meta.Timeout = rapid.Int().Draw(t, "retries"), time.Duration(rapid.Int64().Draw(t, "timeout"))
	m.Meta.Parent, m.Meta.Root = id.Draw(t, "parent"), id.Draw(t, "root")
	m.Meta.Tags, m.Meta.Headers = texts.Draw(t, "tags"), texts.Draw(t, "headers")
	m.Meta.Redact = rapid.SliceOfN(text, 0, 3).Draw(t, "redact")
	return m
}

// normal is a message as it compares after it was packed.
func normal(m *engine.Message) engine.Message {
	n := *m
	for _, at := range []*time.Time{&n.Due, &n.Meta.EnqueuedAt, &n.Meta.Deadline} {
		*at = at.Round(0).UTC()
	}
	if len(n.Meta.Tags) == 0 {
		n.Meta.Tags = nil
	}
	if len(n.Meta.Headers) == 0 {
		n.Meta.Headers = nil
	}
	if len(n.Meta.Redact) == 0 {
		n.Meta.Redact = nil
	}
	return n
}

// TestRecords_Exact: the record of a task that has succeeded, which is stored in
// another form, says what the task said.
func TestRecords_Exact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := memory.New(memory.Config{})
		var ms []*engine.Message
		names := map[string]bool{}
		for range rapid.IntRange(1, 8).Draw(t, "n") {
			ms = append(ms, anyMessage(t))
			names[ms[len(ms)-1].Name] = true
		}
		w := worker(2, func(ctx context.Context, d *engine.Delivery) engine.Outcome {
			switch d.Message.Meta.ID[15] % 4 {
			case 0:
				if d.Attempt == 0 {
					return engine.Outcome{Kind: engine.OutcomeRetry, Reason: "again"}
				}
			case 1:
				if err := d.Memo.SaveMemo(ctx, json.RawMessage(`"memo"`)); err != nil {
					panic(err)
				}
			case 2:
				return engine.Outcome{Kind: engine.OutcomeSucceed}
			}
			return engine.Outcome{Kind: engine.OutcomeSucceed, Result: d.Message.Args}
		}, keysOf(names)...)
		ctx, cancel := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() { served <- e.Serve(ctx, w) }()
		if _, err := e.Insert(ctx, ms); err != nil {
			t.Fatal(err)
		}
		for _, m := range ms {
			if _, err := e.Wait(ctx, m.Meta.ID); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		if err := <-served; err != nil {
			t.Fatal(err)
		}
		for _, m := range ms {
			en, err := e.Get(context.Background(), m.Meta.ID)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := normal(en.Message), normal(m); !reflect.DeepEqual(got, want) {
				t.Fatalf("the record has\n%+v\nwant\n%+v", got, want)
			}
			kind := m.Meta.ID[15] % 4
			attempt, result, memo := 0, string(m.Args), ""
			switch kind {
			case 0:
				attempt = 1
			case 1:
				memo = `"memo"`
			case 2:
				result = ""
			}
			if en.Attempt != attempt || string(en.Result) != result || string(en.Memo) != memo || en.Reason != "" ||
				en.Worker != w.ID || en.State != engine.StateSucceeded || en.StartedAt.IsZero() || en.EndedAt.Before(en.StartedAt) {
				t.Fatalf("the record of kind %d is %+v", kind, en)
			}
		}
	})
}

func keysOf(set map[string]bool) []string {
	var keys []string
	for k := range set {
		keys = append(keys, k)
	}
	return keys
}

// TestRecords_Bounded: the newest records stay, the others are forgotten, those
// that failed and those that succeeded alike; a deleted one leaves no trace.
func TestRecords_Bounded(t *testing.T) {
	const limit, n = 1000, 5000
	e := memory.New(memory.Config{Records: limit})
	run := func(_ context.Context, d *engine.Delivery) engine.Outcome {
		kind := engine.OutcomeSucceed
		if d.Message.Meta.ID[15]%4 == 0 {
			kind = engine.OutcomeFail
		}
		return engine.Outcome{Kind: kind, Result: json.RawMessage(`"` + d.Message.Meta.ID.String() + `"`)}
	}
	stop := serve(t, e, worker(1, run, "task"))
	var ids []uuid.UUID
	deleted := map[uuid.UUID]bool{}
	for i := range n {
		id := put(t, e, message("task"))
		ids = append(ids, id)
		if _, err := e.Wait(t.Context(), id); err != nil {
			t.Fatalf("Wait for a task that has just ended: %v", err)
		}
		if i%7 == 0 {
			if err := e.Delete(t.Context(), id); err != nil {
				t.Fatalf("Delete: %v", err)
			}
			deleted[id] = true
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	kept, forgotten := 0, false
	for i := n - 1; i >= 0; i-- { // from the newest back
		en, err := e.Get(t.Context(), ids[i])
		switch {
		case deleted[ids[i]] || kept == limit:
			if !errors.Is(err, engine.ErrNotFound) {
				t.Fatalf("Get of a record that is gone: %v, want ErrNotFound", err)
			}
			forgotten = forgotten || kept == limit
		case err != nil:
			t.Fatalf("Get of one of the newest %d records: %v", limit, err)
		default:
			kept++
			if string(en.Result) != `"`+ids[i].String()+`"` {
				t.Fatalf("the record of %s has the result %s", ids[i], en.Result)
			}
		}
	}
	if !forgotten {
		t.Error("nothing was forgotten: the test proves nothing")
	}
	var listed []uuid.UUID
	for q := (engine.Query{Limit: 37}); ; {
		entries, next, err := e.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, en := range entries {
			listed = append(listed, en.ID)
		}
		if q.Cursor = next; next == "" {
			break
		}
	}
	want := make([]uuid.UUID, 0, limit)
	for _, id := range ids {
		if _, err := e.Get(t.Context(), id); err == nil {
			want = append(want, id)
		}
	}
	if !reflect.DeepEqual(listed, want) {
		t.Errorf("List returned %d records in pages, want the %d that Get finds, oldest first", len(listed), len(want))
	}
}

// TestServe_ManyQueuesAndWorkers: records of more kinds than the packed form has room
// for are kept all the same.
func TestServe_ManyQueuesAndWorkers(t *testing.T) {
	const n = 10_000
	e := memory.New(memory.Config{})
	var done sync.WaitGroup
	done.Add(n)
	run := func(_ context.Context, d *engine.Delivery) engine.Outcome {
		defer done.Done()
		return engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`"` + d.Message.Meta.Signature + `"`)}
	}
	stop := serve(t, e, worker(2, run, "task"))
	ids := make([]uuid.UUID, n)
	for i := range ids {
		ids[i] = put(t, e, message("task", func(m *engine.Message) { m.Meta.Signature = fmt.Sprint("sig-", i) }))
	}
	done.Wait()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		if en := get(t, e, id); string(en.Result) != fmt.Sprintf(`"sig-%d"`, i) || en.Message.Meta.Signature != fmt.Sprint("sig-", i) {
			t.Fatalf("record %d is %+v of %q", i, en, en.Message.Meta.Signature)
		}
	}
}
