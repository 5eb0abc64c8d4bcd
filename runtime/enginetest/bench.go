package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// bench is the tools of one subtest.
type bench struct {
	*testing.T
	e     engine.Engine
	o     Options
	queue string
	open  func(testing.TB) engine.Engine
}

var queues atomic.Int64

func newBench(t *testing.T, open func(testing.TB) engine.Engine, o Options) *bench {
	t.Helper()
	b := &bench{T: t, o: o, open: open}
	b.queue = fmt.Sprintf("q%d-%s", queues.Add(1), uuid.NewString()[:8])
	b.e = open(t)
	return b
}

// second opens another handle on the bench's storage.
func (b *bench) second() engine.Engine {
	b.Helper()
	return b.o.Second(b, b.e)
}

// pause makes the bench's engine stand still, until resume is called or the
// test has failed, since a paused handle could not be closed.
func (b *bench) pause() (resume func()) {
	b.Helper()
	resume = sync.OnceFunc(b.o.Pause(b, b.e))
	b.Cleanup(resume)
	return resume
}

// message returns a message as an App makes it, changed by the edits.
func (b *bench) message(name string, edits ...func(*engine.Message)) *engine.Message {
	b.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		b.Fatal(err)
	}
	m := &engine.Message{
		Name: name, Queue: b.queue, Args: json.RawMessage(`{"n":1}`), Keep: time.Hour,
		Meta: engine.Meta{
			Version: engine.WireVersion, ID: id, EnqueuedAt: time.Now().UTC().Truncate(time.Millisecond),
			Signature: "n:int", Retries: 3,
		},
	}
	for _, edit := range edits {
		edit(m)
	}
	return m
}

func due(t time.Time) func(*engine.Message) { return func(m *engine.Message) { m.Due = t } }

func dueIn(d time.Duration) func(*engine.Message) { return due(time.Now().Add(d)) }

func priority(p int8) func(*engine.Message) { return func(m *engine.Message) { m.Priority = p } }

func key(k string, d time.Duration) func(*engine.Message) {
	return func(m *engine.Message) { m.Key, m.KeyFor = k, d }
}

// held is key with the given KeyHold, and no KeyFor.
func held(k string, h engine.KeyHold) func(*engine.Message) {
	return func(m *engine.Message) { m.Key, m.KeyHold = k, h }
}

func keep(succeeded, failed time.Duration) func(*engine.Message) {
	return func(m *engine.Message) { m.Keep, m.KeepFailed = succeeded, failed }
}

// insertInto stores one message by InsertOne, if the engine has it.
func (b *bench) insertInto(e engine.Inserter, m *engine.Message) engine.Inserted {
	b.Helper()
	if one, ok := e.(engine.SingleInserter); ok {
		in, err := one.InsertOne(b.ctx(), m)
		if err != nil {
			b.Fatalf("InsertOne: %v", err)
		}
		return in
	}
	ins, err := e.Insert(b.ctx(), []*engine.Message{m})
	if err != nil {
		b.Fatalf("Insert: %v", err)
	}
	if len(ins) != 1 {
		b.Fatalf("Insert of 1 message returned %d answers", len(ins))
	}
	if ins[0].Err != nil {
		b.Fatalf("Insert: %v", ins[0].Err)
	}
	return ins[0]
}

// insert stores a new message and returns the task's id.
func (b *bench) insert(name string, edits ...func(*engine.Message)) uuid.UUID {
	b.Helper()
	return b.put(b.message(name, edits...))
}

// put stores the message and returns the task's id.
func (b *bench) put(m *engine.Message) uuid.UUID {
	b.Helper()
	in := b.insertInto(b.e, m)
	if in.Existing {
		b.Fatalf("Insert says that the task existed; its key %q was not held", m.Key)
	}
	if in.ID == uuid.Nil {
		b.Fatal("Insert returned no ID")
	}
	return in.ID
}

// batch stores the messages with one Insert.
func (b *bench) batch(ms ...*engine.Message) []uuid.UUID {
	b.Helper()
	ins, err := b.e.Insert(b.ctx(), ms)
	if err != nil {
		b.Fatalf("Insert: %v", err)
	}
	if len(ins) != len(ms) {
		b.Fatalf("Insert of %d messages returned %d answers", len(ms), len(ins))
	}
	ids := make([]uuid.UUID, len(ms))
	for i, in := range ins {
		if in.Err != nil {
			b.Fatalf("Insert: message %d: %v", i, in.Err)
		}
		ids[i] = in.ID
	}
	return ids
}

// get returns the entry of the task.
func (b *bench) get(id uuid.UUID) *engine.Entry {
	b.Helper()
	en, err := b.e.Get(b.ctx(), id)
	if err != nil {
		b.Fatalf("Get: %v", err)
	}
	if en.ID != id {
		b.Fatalf("Get returned the entry of %s, not of %s", en.ID, id)
	}
	return en
}

// poll calls check until it returns true, and fails the test otherwise.
func (b *bench) poll(what string, check func() bool) {
	b.Helper()
	wait := time.Millisecond
	for end := time.Now().Add(b.o.Patience); !check(); {
		if time.Now().After(end) {
			b.Fatalf("waited %v in vain: %s", b.o.Patience, what)
		}
		time.Sleep(wait)
		wait = min(2*wait, 20*time.Millisecond)
	}
}

// until waits until the task has the state, and returns its entry.
func (b *bench) until(id uuid.UUID, want engine.State) *engine.Entry {
	b.Helper()
	var en *engine.Entry
	var last engine.State
	end := time.Now().Add(b.o.Patience)
	for wait := time.Millisecond; time.Now().Before(end); wait = min(2*wait, 20*time.Millisecond) {
		if en = b.get(id); en.State == want {
			return en
		}
		if last = en.State; last.Final() {
			b.Fatalf("the task is %s (reason %q), want %s", last, en.Reason, want)
		}
		time.Sleep(wait)
	}
	b.Fatalf("the task stays %s, want %s", last, want)
	return nil
}

// is fails the test unless err wraps want.
func (b *bench) is(what string, err, want error) {
	b.Helper()
	if !errors.Is(err, want) {
		b.Errorf("%s: got error %v, want one that wraps %s", what, err, errorName(want))
	}
}

// namedOnce fails the test unless an App's error names the task once: engines
// leave that to the App.
func (b *bench) namedOnce(what string, err error, id uuid.UUID) {
	b.Helper()
	if err == nil || strings.Count(err.Error(), id.String()) != 1 {
		b.Errorf("%s through an App: got error %v, want one that names the task once", what, err)
	}
}

// errorName returns the name under which an engine's author knows an error.
func errorName(err error) string {
	for name, e := range map[string]error{
		"engine.ErrNotFound": engine.ErrNotFound, "engine.ErrState": engine.ErrState, "engine.ErrRunning": engine.ErrRunning,
		"engine.ErrClosed": engine.ErrClosed, "engine.ErrQueueFull": engine.ErrQueueFull,
		"engine.ErrUnsupported": engine.ErrUnsupported, "engine.ErrLeaseLost": engine.ErrLeaseLost,
		"engine.ErrCancelled": engine.ErrCancelled, "engine.ErrShutdown": engine.ErrShutdown,
	} {
		if err == e {
			return name
		}
	}
	return fmt.Sprintf("%q", err)
}

// shown returns JSON for a failure message.
func shown(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "missing"
	}
	return fmt.Sprintf("%.80s", raw)
}

// sameMessage fails the test unless got is the message that was sent, with the
// id that Insert returned.
func (b *bench) sameMessage(where string, got, sent *engine.Message, id uuid.UUID) {
	b.Helper()
	if got == nil {
		b.Fatalf("%s: there is no message", where)
	}
	if got.Meta.ID != id {
		b.Errorf("%s: Meta.ID is %s, want the id that Insert returned, %s", where, got.Meta.ID, id)
	}
	if !sameJSON(got.Args, sent.Args) {
		b.Errorf("%s: Args are %s, want %s", where, got.Args, sent.Args)
	}
	g, s := *got, *sent
	g.Args, s.Args = nil, nil
	g.Meta.ID, s.Meta.ID = uuid.Nil, uuid.Nil
	for _, m := range []*engine.Message{&g, &s} {
		for _, at := range []*time.Time{&m.Meta.EnqueuedAt, &m.Meta.Deadline} {
			if !at.IsZero() {
				*at = at.UTC().Round(0)
			}
		}
		if len(m.Meta.Tags) == 0 {
			m.Meta.Tags = nil
		}
		if len(m.Meta.Headers) == 0 {
			m.Meta.Headers = nil
		}
		if len(m.Meta.Redact) == 0 {
			m.Meta.Redact = nil
		}
		m.Due = time.Time{} // on the entry; see TestDue
	}
	gv, sv := reflect.ValueOf(g), reflect.ValueOf(s)
	b.sameFields(where, "Message.", gv, sv)
}

// sameFields compares two structs field by field, so that a failure names the
// lost field.
func (b *bench) sameFields(where, path string, got, want reflect.Value) {
	b.Helper()
	for i := range got.NumField() {
		name := path + got.Type().Field(i).Name
		g, w := got.Field(i), want.Field(i)
		if g.Type() == reflect.TypeFor[engine.Meta]() {
			b.sameFields(where, "Meta.", g, w)
			continue
		}
		if at, ok := g.Interface().(time.Time); ok {
			if !at.Equal(w.Interface().(time.Time)) {
				b.Errorf("%s: %s is %v, want %v", where, name, g, w)
			}
			continue
		}
		if !reflect.DeepEqual(g.Interface(), w.Interface()) {
			b.Errorf("%s: %s is %#v, want %#v", where, name, g.Interface(), w.Interface())
		}
	}
}

// sameJSON compares as JSON: an engine may store the value rather than the
// text.
func sameJSON(a, b json.RawMessage) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	return reflect.DeepEqual(x, y)
}

// names formats the names of entries, for failures.
func names(es []*engine.Entry) string {
	var ns []string
	for _, e := range es {
		ns = append(ns, e.Message.Name)
	}
	return strings.Join(ns, " ")
}

// sorted returns the names in the order that a Worker needs.
func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}

// endedContext returns a context that has ended.
func endedContext() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
