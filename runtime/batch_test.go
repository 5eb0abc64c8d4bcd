package runtime_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// Proves: FEATURES 76
func TestBatch(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	ints, texts := newUnit[int, int]("test.Ints"), newUnit[string, string]("test.Texts")
	ints.handle(app, func(_ *runtime.Context, i int) (int, error) { return 2 * i, nil })
	texts.handle(app, func(_ *runtime.Context, s string) (string, error) { return s + "!", nil })
	start(t, app)
	ctx := context.Background()
	var b runtime.Batch
	if err := b.Enqueue(ctx, app); err != nil {
		t.Errorf("an empty batch: %v", err)
	}
	one, two := runtime.AddTo(&b, ints.call(21)), runtime.AddTo(&b, texts.call("hey"))
	if _, err := one.Wait(ctx); err == nil {
		t.Error("Wait for a batch that was not enqueued")
	}
	if _, err := one.Record(ctx); err == nil {
		t.Error("Record of a batch that was not enqueued")
	}
	if b.Len() != 2 {
		t.Errorf("%d calls", b.Len())
	}
	if err := b.Enqueue(ctx, app); err != nil {
		t.Fatal(err)
	}
	if v, err := one.Wait(ctx); err != nil || v != 42 {
		t.Errorf("%d, %v", v, err)
	}
	if v, err := two.Wait(ctx); err != nil || v != "hey!" {
		t.Errorf("%q, %v", v, err)
	}
	if err := b.Enqueue(ctx, app); !errors.Is(err, runtime.ErrBatchDone) {
		t.Errorf("enqueued again: %v", err)
	}
}

// Proves: FEATURES 76
func TestBatch_IsAllOrNone(t *testing.T) {
	app := runtime.New(newMemory(t, memory.Config{Capacity: 3}), runtime.Config{})
	u := newUnit[string, runtime.Void]("test.AllOrNone")
	ctx := context.Background()
	for name, test := range map[string]struct {
		calls []runtime.Call[runtime.Void]
		want  string
	}{
		"cannot be encoded": {[]runtime.Call[runtime.Void]{u.call("a"), u.call("\xff"), u.call("c", runtime.WithDelay(-1))}, "call 2: enqueue test.AllOrNone: WithDelay"},
		"no room":           {[]runtime.Call[runtime.Void]{u.call("a"), u.call("b"), u.call("c"), u.call("d")}, "queue is full"},
	} {
		var b runtime.Batch
		for _, c := range test.calls {
			runtime.AddTo(&b, c)
		}
		if err := b.Enqueue(ctx, app); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if records, _, err := app.List(ctx, engine.Query{}); err != nil || len(records) != 0 {
			t.Errorf("%s: %d of a batch that failed are stored, %v", name, len(records), err)
		}
	}
}

// An engine that cannot store a batch as one says which calls it did not store.
func TestBatch_Partial(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[int, runtime.Void]("test.Partial")
	var b runtime.Batch
	for i := range 3 {
		runtime.AddTo(&b, u.call(i))
	}
	err := b.Enqueue(context.Background(), app.Via(inserterFunc(func(_ context.Context, ms []*engine.Message) ([]engine.Inserted, error) {
		ins := make([]engine.Inserted, len(ms))
		for i, m := range ms {
			ins[i].ID = m.Meta.ID
		}
		ins[1].Err = errFlaky
		return ins, nil
	})))
	var partial *runtime.PartialError
	if !errors.As(err, &partial) || !slices.Equal(partial.Failed, []int{1}) || !errors.Is(err, errFlaky) {
		t.Errorf("%v, want that call 1 failed", err)
	}
	short := app.Via(inserterFunc(func(context.Context, []*engine.Message) ([]engine.Inserted, error) { return nil, nil }))
	if _, err := u.call(0).Enqueue(context.Background(), short); err == nil {
		t.Error("an engine that answers for nothing is believed")
	}
}
