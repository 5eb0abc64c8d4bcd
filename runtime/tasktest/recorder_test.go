package tasktest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/tasktest"
	"github.com/taskctx/taskctx/runtime/wire"
)

func enqueue(t *testing.T, rec *tasktest.Recorder, calls ...runtime.Call[runtime.Void]) {
	t.Helper()
	for _, c := range calls {
		if _, err := c.Enqueue(context.Background(), rec); err != nil {
			t.Fatal(err)
		}
	}
}

// Proves: FEATURES 35, 78
func TestRecorder_KeepsEnqueuedCalls(t *testing.T) {
	rec := tasktest.NewRecorder()
	h, err := ChargeCardCall("c-1", 100, runtime.WithDelay(time.Hour)).Enqueue(context.Background(), rec)
	if err != nil {
		t.Fatal(err)
	}
	rec.AssertEnqueued(t, ChargeCardCall("c-1", 100))
	rec.AssertEnqueued(t, ChargeCardCall("c-1", 100, runtime.WithDelay(time.Hour)))
	rec.AssertNotEnqueued(t, ChargeCardCall("c-1", 101))
	rec.AssertNotEnqueued(t, ChargeCardCall("c-1", 100, runtime.WithDelay(time.Minute)))
	rec.AssertOnly(t, ChargeCardCall("c-1", 100))
	charged := rec.Named("billing.ChargeCard")
	if len(charged) != 1 || rec.Len() != 1 || charged[0].Message.Meta.ID != h.ID() {
		t.Fatalf("recorded %+v", charged)
	}
	if got := tasktest.Arg[int64](t, charged[0], "cents"); got != 100 {
		t.Errorf("cents: %d", got)
	}
	if r, err := h.Record(context.Background()); err != nil || r.State != engine.StateScheduled {
		t.Errorf("record %+v, %v", r, err)
	}
	rec.Reset()
	rec.AssertOnly(t)
}

func TestRecorder_TakesBatchesAndUniqueKeys(t *testing.T) {
	rec := tasktest.NewRecorder()
	var b runtime.Batch
	runtime.AddTo(&b, ChargeCardCall("c-1", 1))
	runtime.AddTo(&b, SendReceiptCall("c-1", "1234", runtime.WithKey("k", time.Hour)))
	again := runtime.AddTo(&b, SendReceiptCall("c-2", "1234", runtime.WithKey("k", time.Hour)))
	if err := b.Enqueue(context.Background(), rec); err != nil {
		t.Fatal(err)
	}
	rec.AssertOnly(t, SendReceiptCall("c-1", "1234"), ChargeCardCall("c-1", 1))
	if !again.Existing() {
		t.Error("a second call of the key was taken for a new one")
	}
}

func TestRecorder_Fail(t *testing.T) {
	rec := tasktest.NewRecorder()
	rec.Fail(engine.ErrQueueFull)
	if _, err := ChargeCardCall("c-1", 1).Enqueue(context.Background(), rec); !errors.Is(err, engine.ErrQueueFull) {
		t.Errorf("%v, want the error given", err)
	}
	rec.Fail(nil)
	enqueue(t, rec, SendReceiptCall("c-1", "1"))
}

func TestRecorder_AssertionsShowTheDifference(t *testing.T) {
	rec := tasktest.NewRecorder()
	failed, text := catch(t, func(t testing.TB) { rec.AssertEnqueued(t, ChargeCardCall("c-1", 100)) })
	if !failed || !strings.Contains(text, "nothing was enqueued") {
		t.Errorf("failed %t:\n%s", failed, text)
	}
	enqueue(t, rec, SendReceiptCall("c-9", "secret-pin", runtime.WithTag("plan", "free"), runtime.WithPriority(1)))
	if _, err := ChargeCardCall("c-2", 7).Enqueue(context.Background(), rec); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		assert func(t testing.TB)
		want   []string
	}{
		"argument": {
			func(t testing.TB) { rec.AssertEnqueued(t, ChargeCardCall("c-2", 100)) },
			[]string{"nearest is #2", "cents: want 100, got 7", `#1 billing.SendReceipt`},
		},
		"option": {
			func(t testing.TB) {
				rec.AssertEnqueued(t, ChargeCardCall("c-2", 7, runtime.WithQueue("slow"), runtime.WithDelay(time.Hour)))
			},
			[]string{`queue: want slow, got billing`, "due after: want 1h0m0s, got 0s"},
		},
		"tag": {
			func(t testing.TB) {
				rec.AssertEnqueued(t, SendReceiptCall("c-9", "secret-pin", runtime.WithTag("plan", "pro")))
			},
			[]string{`tag plan: want "pro", got "free"`},
		},
		"redacted": {
			func(t testing.TB) { rec.AssertEnqueued(t, SendReceiptCall("c-9", "wrong-pin")) },
			[]string{"pin: want [redacted], got [redacted]"},
		},
		"more": {
			func(t testing.TB) { rec.AssertOnly(t, ChargeCardCall("c-2", 7)) },
			[]string{"1 task was enqueued beside", "billing.SendReceipt"},
		},
		"not": {
			func(t testing.TB) { rec.AssertNotEnqueued(t, ChargeCardCall("c-2", 7)) },
			[]string{"must not be", "billing.ChargeCard"},
		},
		"argument of another type": {
			func(t testing.TB) { tasktest.Arg[string](t, rec.All()[1], "cents") },
			[]string{"cents"},
		},
		"argument that is not there": {
			func(t testing.TB) { tasktest.Arg[string](t, rec.All()[1], "dollars") },
			[]string{"dollars"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			failed, text := catch(t, test.assert)
			if !failed {
				t.Fatal("the assertion passed")
			}
			for _, w := range test.want {
				if !strings.Contains(text, w) {
					t.Errorf("does not say %q:\n%s", w, text)
				}
			}
			if strings.Contains(text, "secret-pin") || strings.Contains(text, "wrong-pin") {
				t.Errorf("shows a redacted argument:\n%s", text)
			}
		})
	}
}

func TestRun_FailNowInATaskFailsTheTest(t *testing.T) {
	u := glue.NewTask[struct{}, runtime.Void](wire.Spec{Name: "t.FailNow"}, nil)
	var inner *halted
	register := func(app *runtime.App) {
		glue.Register(app, u, func(*runtime.Context, *struct{}) (runtime.Void, error) {
			inner.failed = true
			goexit() // what FailNow of a *testing.T does
			return runtime.Void{}, nil
		})
	}
	failed, _ := catch(t, func(tb testing.TB) {
		inner = tb.(*halted)
		_, err := tasktest.Run(tb, register, u.Call(nil, nil))
		t.Errorf("Run returned %v in a test that has failed", err)
	})
	if !failed {
		t.Error("the test goes on")
	}
}
