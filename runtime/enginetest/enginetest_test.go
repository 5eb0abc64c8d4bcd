package enginetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/enginetest"
	"github.com/taskctx/taskctx/runtime/memory"
)

// The suite is tested by what it must find: engines that are right but for one
// thing. Each runs in a process of its own, where its failures are no failures
// of this test.

// brokenEnv names the broken engine that a process is to test.
const brokenEnv = "TASKCTX_BROKEN_ENGINE"

// engine is the memory engine but for what is set.
type engine struct {
	*memory.Engine
	insert func(m *runtime.Message)                               // changes what is stored
	worker func(w *runtime.Worker)                                // changes who serves
	before func(d *runtime.Delivery)                              // changes what is run
	after  func(d *runtime.Delivery, o *runtime.Outcome)          // changes what became of it
	cancel func(e *engine, id uuid.UUID, reason string) error     // replaces Cancel
	remove func(e *engine, id uuid.UUID) error                    // replaces Delete
	query  func(q *runtime.Query)                                 // changes what List is asked for
	list   func(es []*runtime.Entry) []*runtime.Entry             // changes a page
	entry  func(en *runtime.Entry, err error) error               // changes what Get returns
	served func(err error) error                                  // changes what Serve returns
	memo   func(m runtime.Memo) runtime.Memo                      // replaces the memo
	wait   func(e *engine, en *runtime.Entry, id uuid.UUID) error // changes what Wait returns
}

func (e *engine) Insert(ctx context.Context, ms []*runtime.Message) ([]runtime.Inserted, error) {
	if e.insert != nil {
		ms = slices.Clone(ms)
		for i := range ms {
			m := *ms[i]
			e.insert(&m)
			ms[i] = &m
		}
	}
	return e.Engine.Insert(ctx, ms)
}

func (e *engine) InsertOne(ctx context.Context, m *runtime.Message) (runtime.Inserted, error) {
	ins, err := e.Insert(ctx, []*runtime.Message{m})
	if err != nil {
		return runtime.Inserted{}, err
	}
	return ins[0], nil
}

func (e *engine) Serve(ctx context.Context, w *runtime.Worker) error {
	own := *w
	own.RunInline = func(ctx context.Context, d *runtime.Delivery, o *runtime.Outcome) {
		if e.before != nil {
			e.before(d)
		}
		if e.memo != nil {
			d.Memo = e.memo(d.Memo)
		}
		w.RunInline(ctx, d, o)
		if e.after != nil {
			e.after(d, o)
		}
	}
	if e.worker != nil {
		e.worker(&own)
	}
	err := e.Engine.Serve(ctx, &own)
	if e.served != nil {
		err = e.served(err)
	}
	return err
}

func (e *engine) Get(ctx context.Context, id uuid.UUID) (*runtime.Entry, error) {
	en, err := e.Engine.Get(ctx, id)
	if e.entry != nil {
		err = e.entry(en, err)
	}
	return en, err
}

func (e *engine) List(ctx context.Context, q runtime.Query) ([]*runtime.Entry, string, error) {
	if e.query != nil {
		e.query(&q)
	}
	es, next, err := e.Engine.List(ctx, q)
	if e.list != nil {
		es = e.list(es)
	}
	return es, next, err
}

func (e *engine) Cancel(ctx context.Context, id uuid.UUID, reason string) error {
	if e.cancel != nil {
		return e.cancel(e, id, reason)
	}
	return e.Engine.Cancel(ctx, id, reason)
}

func (e *engine) Delete(ctx context.Context, id uuid.UUID) error {
	if e.remove != nil {
		return e.remove(e, id)
	}
	return e.Engine.Delete(ctx, id)
}

func (e *engine) Wait(ctx context.Context, id uuid.UUID) (*runtime.Entry, error) {
	en, err := e.Engine.Wait(ctx, id)
	if e.wait != nil && err == nil {
		err = e.wait(e, en, id)
	}
	return en, err
}

// deafMemo loses what is saved.
type deafMemo struct{ runtime.Memo }

func (deafMemo) SaveMemo(context.Context, json.RawMessage) error { return nil }

// broken are the engines: what is wrong with each, and the group of the suite
// that finds it.
var broken = []struct {
	name, group string
	e           engine
}{
	{"KeysIgnored", "Key", engine{insert: func(m *runtime.Message) { m.Key = "" }}},
	{"KeysHeldTooLong", "Key", engine{insert: func(m *runtime.Message) { m.KeyFor *= 1000 }}},
	{"KeysOfTheDeadHeld", "KeyHold", engine{insert: func(m *runtime.Message) {
		if m.KeyHold == runtime.HoldTime {
			m.KeyHold = runtime.HoldTick
		}
	}}},
	{"ActiveKeysForATime", "KeyHold", engine{insert: func(m *runtime.Message) {
		if m.KeyHold == runtime.HoldActive {
			m.KeyHold, m.KeyFor = runtime.HoldTime, time.Hour
		}
	}}},
	{"WaitingKeysActive", "KeyHold", engine{insert: func(m *runtime.Message) {
		if m.KeyHold == runtime.HoldWaiting {
			m.KeyHold = runtime.HoldActive
		}
	}}},
	{"TicksFreed", "KeyHold", engine{insert: func(m *runtime.Message) { m.KeyHold = runtime.HoldTime }}},
	{"FailedKeptAsTheOthers", "Keep", engine{insert: func(m *runtime.Message) { m.KeepFailed = m.Keep }}},
	{"KeepOfTheKeyIgnored", "Keep", engine{insert: func(m *runtime.Message) { m.KeyHold = runtime.HoldTick }}},
	{"NeverBrief", "List", engine{query: func(q *runtime.Query) { q.Brief = false }}},
	{"TagsLost", "Insert", engine{insert: func(m *runtime.Message) { m.Meta.Tags = nil }}},
	{"TimeLost", "Insert", engine{insert: func(m *runtime.Message) { m.Meta.EnqueuedAt = m.Meta.EnqueuedAt.Truncate(time.Second) }}},
	{"NumbersAsFloats", "Insert", engine{insert: func(m *runtime.Message) {
		var v any
		if json.Unmarshal(m.Args, &v) == nil {
			m.Args, _ = json.Marshal(v)
		}
	}}},
	{"DueIgnored", "Insert", engine{insert: func(m *runtime.Message) { m.Due = time.Time{} }}},
	{"PriorityIgnored", "Order", engine{insert: func(m *runtime.Message) { m.Priority = 0 }}},
	{"OneSlotMore", "Slots", engine{worker: func(w *runtime.Worker) { w.Slots++ }}},
	{"OneSlotOnly", "Slots", engine{worker: func(w *runtime.Worker) { w.Slots = 1 }}},
	{"NamesIgnored", "Names", engine{worker: func(w *runtime.Worker) {
		w.Names = append(slices.Clone(w.Names), "task.unknown")
		slices.Sort(w.Names)
	}}},
	{"ParkedForEver", "Names", engine{worker: func(w *runtime.Worker) { w.ParkFor = time.Hour }}},
	{"RefusedNotCalled", "Stop", engine{worker: func(w *runtime.Worker) { w.Refused = nil }}},
	{"AttemptFromOne", "Outcome", engine{before: func(d *runtime.Delivery) { d.Attempt++ }}},
	{"ResultLost", "Outcome", engine{after: func(_ *runtime.Delivery, o *runtime.Outcome) { o.Result = nil }}},
	{"ReasonCut", "Outcome", engine{after: func(_ *runtime.Delivery, o *runtime.Outcome) { o.Reason = o.Reason[:min(len(o.Reason), 100)] }}},
	{"AfterIgnored", "Outcome", engine{after: func(_ *runtime.Delivery, o *runtime.Outcome) { o.After = 0 }}},
	{"DelayUsesAttempt", "Outcome", engine{after: func(_ *runtime.Delivery, o *runtime.Outcome) {
		if o.Kind == runtime.OutcomeDelay {
			o.Kind = runtime.OutcomeRetry
		}
	}}},
	{"ReleaseUsesAttempt", "Outcome", engine{after: func(_ *runtime.Delivery, o *runtime.Outcome) {
		if o.Kind == runtime.OutcomeRelease {
			o.Kind = runtime.OutcomeRetry
		}
	}}},
	{"MemoOfOutcomeLost", "Memo", engine{after: func(_ *runtime.Delivery, o *runtime.Outcome) { o.Memo = nil }}},
	{"MemoNotSaved", "Memo", engine{memo: func(m runtime.Memo) runtime.Memo { return deafMemo{m} }}},
	{"RunningNotCancelled", "Cancel", engine{cancel: func(e *engine, id uuid.UUID, reason string) error {
		if en, err := e.Engine.Get(context.Background(), id); err == nil && en.State == runtime.StateRunning {
			return nil
		}
		return e.Engine.Cancel(context.Background(), id, reason)
	}}},
	{"CancelReasonLost", "Cancel", engine{cancel: func(e *engine, id uuid.UUID, _ string) error {
		return e.Engine.Cancel(context.Background(), id, "")
	}}},
	{"RunningDeleted", "Delete", engine{remove: func(e *engine, id uuid.UUID) error {
		if err := e.Engine.Delete(context.Background(), id); !errors.Is(err, runtime.ErrRunning) {
			return err
		}
		return nil
	}}},
	{"TaskNamedTwice", "Delete", engine{remove: func(e *engine, id uuid.UUID) error {
		if err := e.Engine.Delete(context.Background(), id); err != nil {
			return fmt.Errorf("delete task %s: %w", id, err)
		}
		return nil
	}}},
	{"NewestFirst", "List", engine{list: func(es []*runtime.Entry) []*runtime.Entry { slices.Reverse(es); return es }}},
	{"OneMissing", "List", engine{list: func(es []*runtime.Entry) []*runtime.Entry { return es[:max(0, len(es)-1)] }}},
	{"OtherError", "Insert", engine{entry: func(_ *runtime.Entry, err error) error {
		if err != nil {
			return errors.New("no such row")
		}
		return nil
	}}},
	{"WaitDoesNotSayEnded", "Wait", engine{wait: func(*engine, *runtime.Entry, uuid.UUID) error { return runtime.ErrNotFound }}},
	{"UnfinishedNotNamed", "Stop", engine{served: func(error) error { return nil }}},
	{"StopIsAnError", "Stop", engine{served: func(err error) error { return errors.Join(err, context.Canceled) }}},
}

// TestFindsBroken: for each broken engine the suite fails, in the group that is
// about what is broken.
func TestFindsBroken(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a process for each broken engine")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range broken {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestBroken$/^"+b.group+"$", "-test.timeout=2m")
			cmd.Env = append(os.Environ(), brokenEnv+"="+b.name)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestBroken/"+b.group) {
				t.Errorf("the group %s of the suite does not find what is wrong; it prints\n%s", b.group, out)
			}
			if strings.Contains(string(out), "panic: ") {
				t.Errorf("the suite panics, so its author does not learn what is missing:\n%s", out)
			}
		})
	}
}

// TestBroken is the process of one broken engine.
func TestBroken(t *testing.T) {
	name := os.Getenv(brokenEnv)
	if name == "" {
		t.Skip("run by TestFindsBroken")
	}
	for _, b := range broken {
		if b.name == name {
			enginetest.Run(t, func(testing.TB) runtime.Engine {
				e := b.e
				e.Engine = memory.New()
				return &e
			}, enginetest.Options{Patience: time.Second, Step: 20 * time.Millisecond, Tasks: 50})
		}
	}
}

// TestRight is the same without a fault: the faults above are what is found.
func TestRight(t *testing.T) {
	enginetest.Run(t, func(testing.TB) runtime.Engine { return &engine{Engine: memory.New()} }, enginetest.Options{})
}
