package runtime_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// Tasks go through their states, as one sees who asks from outside.
//
// Proves: FEATURES 37
func TestState_OverATasksLife(t *testing.T) {
	errFatal := errors.New("fatal")
	const (
		scheduled, pending, running, retrying = engine.StateScheduled, engine.StatePending, engine.StateRunning, engine.StateRetrying
		succeeded, failed, cancelled          = engine.StateSucceeded, engine.StateFailed, engine.StateCancelled
	)
	for name, test := range map[string]struct {
		ends []error
		opts []runtime.Option
		want []engine.State
	}{
		"succeeds":       {ends: []error{nil}, want: []engine.State{pending, running, succeeded}},
		"is due later":   {ends: []error{nil}, opts: []runtime.Option{runtime.WithDelay(time.Hour)}, want: []engine.State{scheduled, running, succeeded}},
		"is retried":     {ends: []error{errFlaky, nil}, want: []engine.State{pending, running, retrying, running, succeeded}},
		"fails for good": {ends: []error{errFlaky, errFatal}, want: []engine.State{pending, running, retrying, running, failed}},
		"cancels itself": {ends: []error{runtime.Cancelled("")}, want: []engine.State{pending, running, cancelled}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app := newUnitApp(t, runtime.Config{})
				u := newUnit[int, runtime.Void]("test.States", retries(1), backoff(time.Hour, 1, 0))
				run := 0
				u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
					run++
					return runtime.Void{}, errors.Join(ctx.Sleep(time.Minute), test.ends[run-1])
				})
				ctx := context.Background()
				h, err := u.call(0, test.opts...).Enqueue(ctx, app)
				if err != nil {
					t.Fatal(err)
				}
				var got []engine.State
				look := func() engine.State {
					rec, err := h.Record(ctx)
					if err != nil {
						t.Fatal(err)
					}
					if n := len(got); n == 0 || got[n-1] != rec.State {
						got = append(got, rec.State)
					}
					return rec.State
				}
				look()
				start(t, app)
				for !look().Final() {
					time.Sleep(30 * time.Second)
					synctest.Wait()
				}
				if !slices.Equal(got, test.want) {
					t.Errorf("the task was %v, want %v", got, test.want)
				}
			})
		})
	}
}

// When a task was first enqueued is the same in all its runs, whatever comes
// between them: it is due later, is snoozed, fails, is given back by a worker
// that stops, and is retried by hand. A second enqueue of its key does not
// change it.
//
// Proves: FEATURES 14
func TestMetadata_EnqueuedAtStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{ShutdownTimeout: time.Second})
		u := newUnit[int, runtime.Void]("test.EnqueuedAt", retries(2), backoff(time.Hour, 1, 0))
		var seen []time.Time
		u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
			seen = append(seen, ctx.Metadata().EnqueuedAt)
			switch len(seen) {
			case 1:
				return runtime.Void{}, runtime.Snooze(time.Hour)
			case 3:
				return runtime.Void{}, ctx.Sleep(time.Hour) // the worker stops meanwhile
			case 6:
				return runtime.Void{}, nil
			}
			return runtime.Void{}, errFlaky
		})
		start(t, app)
		ctx := context.Background()
		from := time.Now().UTC().Round(0)
		keep := []runtime.Option{runtime.WithDelay(24 * time.Hour), runtime.WithKey("k", 1000*time.Hour), runtime.WithKeep(1000 * time.Hour)}
		h, err := u.call(0, keep...).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if again, err := u.call(0, keep...).Enqueue(ctx, app); err != nil || !again.Existing() {
			t.Fatalf("the second enqueue of the key is another task, %v", err)
		}
		time.Sleep(25*time.Hour + time.Minute) // in the third run
		if err := app.Stop(ctx); err != nil || len(seen) != 3 {
			t.Fatalf("stopped after %d runs, %v", len(seen), err)
		}
		time.Sleep(time.Hour)
		start(t, app)
		if _, err := h.Wait(ctx); err == nil {
			t.Fatal("it succeeded before it was retried by hand")
		}
		if err := app.Retry(ctx, h.ID()); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Wait(ctx); err != nil || len(seen) != 6 {
			t.Fatalf("ended after %d runs, %v", len(seen), err)
		}
		for i, at := range seen {
			if at != from { // the location and the monotonic reading too
				t.Errorf("run %d: enqueued at %#v, want %#v", i+1, at, from)
			}
		}
		if rec, err := h.Record(ctx); err != nil || !rec.EnqueuedAt.Equal(from) {
			t.Errorf("on the record: %s, %v, want %s", rec.EnqueuedAt, err, from)
		}
	})
}
