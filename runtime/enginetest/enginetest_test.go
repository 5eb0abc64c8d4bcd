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

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/enginetest"
	"github.com/taskctx/taskctx/runtime/memory"
)

// The suite is tested by what it must find: engines that are right but for one
// thing. Each runs in a process of its own, where its failures are no failures
// of this test.

// brokenEnv names the broken engine that a process is to test.
const brokenEnv = "TASKCTX_BROKEN_ENGINE"

// engine is the memory engine but for what is set.
type spoiled struct {
	*memory.Engine
	insert func(m *engine.Message)                                // changes what is stored
	worker func(w *engine.Worker)                                 // changes who serves
	before func(d *engine.Delivery)                               // changes what is run
	after  func(d *engine.Delivery, o *engine.Outcome)            // changes what became of it
	cancel func(e *spoiled, id uuid.UUID, reason string) error    // replaces Cancel
	remove func(e *spoiled, id uuid.UUID) error                   // replaces Delete
	query  func(q *engine.Query)                                  // changes what List is asked for
	list   func(es []*engine.Entry) []*engine.Entry               // changes a page
	entry  func(en *engine.Entry, err error) error                // changes what Get returns
	served func(err error) error                                  // changes what Serve returns
	memo   func(m engine.Memo) engine.Memo                        // replaces the memo
	signal func(name, key string) (string, string)                // changes a signal
	wait   func(e *spoiled, en *engine.Entry, id uuid.UUID) error // changes what Wait returns
}

func (e *spoiled) Insert(ctx context.Context, ms []*engine.Message) ([]engine.Inserted, error) {
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

func (e *spoiled) InsertOne(ctx context.Context, m *engine.Message) (engine.Inserted, error) {
	ins, err := e.Insert(ctx, []*engine.Message{m})
	if err != nil {
		return engine.Inserted{}, err
	}
	return ins[0], nil
}

func (e *spoiled) Serve(ctx context.Context, w *engine.Worker) error {
	own := *w
	own.RunInline = func(ctx context.Context, d *engine.Delivery, o *engine.Outcome) {
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

func (e *spoiled) Get(ctx context.Context, id uuid.UUID) (*engine.Entry, error) {
	en, err := e.Engine.Get(ctx, id)
	if e.entry != nil {
		err = e.entry(en, err)
	}
	return en, err
}

func (e *spoiled) List(ctx context.Context, q engine.Query) ([]*engine.Entry, string, error) {
	if e.query != nil {
		e.query(&q)
	}
	es, next, err := e.Engine.List(ctx, q)
	if e.list != nil {
		es = e.list(es)
	}
	return es, next, err
}

func (e *spoiled) Cancel(ctx context.Context, id uuid.UUID, reason string) error {
	if e.cancel != nil {
		return e.cancel(e, id, reason)
	}
	return e.Engine.Cancel(ctx, id, reason)
}

func (e *spoiled) Delete(ctx context.Context, id uuid.UUID) error {
	if e.remove != nil {
		return e.remove(e, id)
	}
	return e.Engine.Delete(ctx, id)
}

func (e *spoiled) Wait(ctx context.Context, id uuid.UUID) (*engine.Entry, error) {
	en, err := e.Engine.Wait(ctx, id)
	if e.wait != nil && err == nil {
		err = e.wait(e, en, id)
	}
	return en, err
}

func (e *spoiled) Signal(ctx context.Context, id uuid.UUID, name, key string, v json.RawMessage) error {
	if e.signal != nil {
		name, key = e.signal(name, key)
	}
	return e.Engine.Signal(ctx, id, name, key, v)
}

// suspended is an after that changes suspensions only.
func suspended(change func(o *engine.Outcome, w *engine.Wait)) func(*engine.Delivery, *engine.Outcome) {
	return func(_ *engine.Delivery, o *engine.Outcome) {
		if o.Kind != engine.OutcomeSuspend {
			return
		}
		var w engine.Wait
		if o.Wait != nil {
			w = *o.Wait
		}
		change(o, &w)
		o.Wait = &w
	}
}

// deafMemo loses what is saved.
type deafMemo struct{ engine.Memo }

func (deafMemo) SaveMemo(context.Context, json.RawMessage) error { return nil }

// broken are the engines: what is wrong with each, and the group of the suite
// that finds it.
var broken = []struct {
	name, group string
	e           spoiled
}{
	{"KeysIgnored", "Key", spoiled{insert: func(m *engine.Message) { m.Key = "" }}},
	{"KeysHeldTooLong", "Key", spoiled{insert: func(m *engine.Message) { m.KeyFor *= 1000 }}},
	{"KeysOfTheDeadHeld", "KeyHold", spoiled{insert: func(m *engine.Message) {
		if m.KeyHold == engine.HoldTime {
			m.KeyHold = engine.HoldTick
		}
	}}},
	{"ActiveKeysForATime", "KeyHold", spoiled{insert: func(m *engine.Message) {
		if m.KeyHold == engine.HoldActive {
			m.KeyHold, m.KeyFor = engine.HoldTime, time.Hour
		}
	}}},
	{"WaitingKeysActive", "KeyHold", spoiled{insert: func(m *engine.Message) {
		if m.KeyHold == engine.HoldWaiting {
			m.KeyHold = engine.HoldActive
		}
	}}},
	{"TicksFreed", "KeyHold", spoiled{insert: func(m *engine.Message) { m.KeyHold = engine.HoldTime }}},
	{"FailedKeptAsTheOthers", "Keep", spoiled{insert: func(m *engine.Message) { m.KeepFailed = m.Keep }}},
	{"KeepOfTheKeyIgnored", "Keep", spoiled{insert: func(m *engine.Message) { m.KeyHold = engine.HoldTick }}},
	{"NeverBrief", "List", spoiled{query: func(q *engine.Query) { q.Brief = false }}},
	{"TagsLost", "Insert", spoiled{insert: func(m *engine.Message) { m.Meta.Tags = nil }}},
	{"TimeLost", "Insert", spoiled{insert: func(m *engine.Message) { m.Meta.EnqueuedAt = m.Meta.EnqueuedAt.Truncate(time.Second) }}},
	{"NumbersAsFloats", "Insert", spoiled{insert: func(m *engine.Message) {
		var v any
		if json.Unmarshal(m.Args, &v) == nil {
			m.Args, _ = json.Marshal(v)
		}
	}}},
	{"DueIgnored", "Insert", spoiled{insert: func(m *engine.Message) { m.Due = time.Time{} }}},
	{"PriorityIgnored", "Order", spoiled{insert: func(m *engine.Message) { m.Priority = 0 }}},
	{"OneSlotMore", "Slots", spoiled{worker: func(w *engine.Worker) { w.Slots++ }}},
	{"OneSlotOnly", "Slots", spoiled{worker: func(w *engine.Worker) { w.Slots = 1 }}},
	{"NamesIgnored", "Names", spoiled{worker: func(w *engine.Worker) {
		w.Names = append(slices.Clone(w.Names), "task.unknown")
		slices.Sort(w.Names)
	}}},
	{"ParkedForEver", "Names", spoiled{worker: func(w *engine.Worker) { w.ParkFor = time.Hour }}},
	{"RefusedNotCalled", "Stop", spoiled{worker: func(w *engine.Worker) { w.Refused = nil }}},
	{"AttemptFromOne", "Outcome", spoiled{before: func(d *engine.Delivery) { d.Attempt++ }}},
	{"ResultLost", "Outcome", spoiled{after: func(_ *engine.Delivery, o *engine.Outcome) { o.Result = nil }}},
	{"ReasonCut", "Outcome", spoiled{after: func(_ *engine.Delivery, o *engine.Outcome) { o.Reason = o.Reason[:min(len(o.Reason), 100)] }}},
	{"AfterIgnored", "Outcome", spoiled{after: func(_ *engine.Delivery, o *engine.Outcome) { o.After = 0 }}},
	{"DelayUsesAttempt", "Outcome", spoiled{after: func(_ *engine.Delivery, o *engine.Outcome) {
		if o.Kind == engine.OutcomeDelay {
			o.Kind = engine.OutcomeRetry
		}
	}}},
	{"ReleaseUsesAttempt", "Outcome", spoiled{after: func(_ *engine.Delivery, o *engine.Outcome) {
		if o.Kind == engine.OutcomeRelease {
			o.Kind = engine.OutcomeRetry
		}
	}}},
	{"MemoOfOutcomeLost", "Memo", spoiled{after: func(_ *engine.Delivery, o *engine.Outcome) { o.Memo = nil }}},
	{"MemoNotSaved", "Memo", spoiled{memo: func(m engine.Memo) engine.Memo { return deafMemo{m} }}},
	{"RunningNotCancelled", "Cancel", spoiled{cancel: func(e *spoiled, id uuid.UUID, reason string) error {
		if en, err := e.Engine.Get(context.Background(), id); err == nil && en.State == engine.StateRunning {
			return nil
		}
		return e.Engine.Cancel(context.Background(), id, reason)
	}}},
	{"CancelReasonLost", "Cancel", spoiled{cancel: func(e *spoiled, id uuid.UUID, _ string) error {
		return e.Engine.Cancel(context.Background(), id, "")
	}}},
	{"RunningDeleted", "Delete", spoiled{remove: func(e *spoiled, id uuid.UUID) error {
		if err := e.Engine.Delete(context.Background(), id); !errors.Is(err, engine.ErrRunning) {
			return err
		}
		return nil
	}}},
	{"TaskNamedTwice", "Delete", spoiled{remove: func(e *spoiled, id uuid.UUID) error {
		if err := e.Engine.Delete(context.Background(), id); err != nil {
			return fmt.Errorf("delete task %s: %w", id, err)
		}
		return nil
	}}},
	{"NewestFirst", "List", spoiled{list: func(es []*engine.Entry) []*engine.Entry { slices.Reverse(es); return es }}},
	{"OneMissing", "List", spoiled{list: func(es []*engine.Entry) []*engine.Entry { return es[:max(0, len(es)-1)] }}},
	{"OtherError", "Insert", spoiled{entry: func(_ *engine.Entry, err error) error {
		if err != nil {
			return errors.New("no such row")
		}
		return nil
	}}},
	{"WaitDoesNotSayEnded", "Wait", spoiled{wait: func(*spoiled, *engine.Entry, uuid.UUID) error { return engine.ErrNotFound }}},
	{"NoJournalToRead", "Journal", spoiled{memo: func(m engine.Memo) engine.Memo { return deafMemo{m} }}},
	{"SuspendedIsDelayed", "Suspend", spoiled{after: suspended(func(o *engine.Outcome, _ *engine.Wait) {
		o.Kind, o.After = engine.OutcomeDelay, max(o.After, time.Millisecond)
	})}},
	{"SuspendedForEver", "Suspend", spoiled{after: suspended(func(o *engine.Outcome, w *engine.Wait) {
		if w.Need > 0 {
			o.After = 0
		}
	})}},
	{"WokenByAnything", "Suspend", spoiled{after: suspended(func(_ *engine.Outcome, w *engine.Wait) { w.Name = "" })}},
	{"WokenByOne", "Suspend", spoiled{after: suspended(func(_ *engine.Outcome, w *engine.Wait) { w.Need = min(w.Need, 1) })}},
	{"WokenTwice", "Suspend", spoiled{after: suspended(func(_ *engine.Outcome, w *engine.Wait) { w.Seen = max(w.Seen-1, 0) })}},
	{"FailFastIgnored", "Suspend", spoiled{after: suspended(func(_ *engine.Outcome, w *engine.Wait) { w.FailFast = false })}},
	{"SignalLost", "Race", spoiled{after: suspended(func(_ *engine.Outcome, w *engine.Wait) { w.Seen++ })}},
	{"SignalKeyIgnored", "Signal", spoiled{signal: func(name, _ string) (string, string) { return name, "" }}},
	{"SignalsOfOneName", "Signal", spoiled{signal: func(_, key string) (string, string) { return "go", key }}},
	{"UnfinishedNotNamed", "Stop", spoiled{served: func(error) error { return nil }}},
	{"StopIsAnError", "Stop", spoiled{served: func(err error) error { return errors.Join(err, context.Canceled) }}},
}

// TestRun_FindsBroken: for each broken engine the suite fails, in the group that is
// about what is broken.
func TestRun_FindsBroken(t *testing.T) {
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
		t.Skip("run by TestRun_FindsBroken")
	}
	for _, b := range broken {
		if b.name == name {
			enginetest.Run(t, func(testing.TB) engine.Engine {
				e := b.e
				e.Engine = memory.New(memory.Config{})
				return &e
			}, enginetest.Options{Patience: time.Second, Step: 20 * time.Millisecond, Tasks: 50})
		}
	}
}

// TestRight is the same without a fault: the faults above are what is found.
func TestRight(t *testing.T) {
	enginetest.Run(t, func(testing.TB) engine.Engine { return &spoiled{Engine: memory.New(memory.Config{})} }, enginetest.Options{})
}
