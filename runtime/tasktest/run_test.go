package tasktest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/tasktest"
	"github.com/taskctx/taskctx/runtime/wire"
)

// Proves: FEATURES 78
func TestRun_InOneLine(t *testing.T) {
	box := new(outbox)
	got, err := tasktest.Run(t, RegisterTasks, ChargeCardCall("c-1", 100),
		tasktest.WithAttempt(2), tasktest.WithTag("plan", "pro"), tasktest.Supply[sender](box))
	if want := (receipt{"c-1", 100, 2, "pro"}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if len(box.sent) != 1 {
		t.Errorf("sent %v", box.sent)
	}
}

func TestRun_ReturnsTheTasksOwnError(t *testing.T) {
	var transaction *tx
	seeTx := tasktest.WithConfig(runtime.Config{Middleware: []runtime.Middleware{
		func(next runtime.Handler) runtime.Handler {
			return func(ctx *runtime.Context) error {
				c, err := runtime.BuildContext[*billingContext](ctx)
				if err != nil {
					return err
				}
				transaction = c.Tx
				return next(ctx)
			}
		},
	}})
	_, err := tasktest.Run(t, RegisterTasks, ChargeCardCall("c-1", -1), tasktest.Supply[sender](new(outbox)), seeTx)
	if !errors.Is(err, errDeclined) {
		t.Errorf("%v, want what the task returned", err)
	}
	if transaction == nil || len(transaction.ended) != 1 || !errors.Is(transaction.ended[0], errDeclined) {
		t.Errorf("transaction %+v: want its cleanup called with the task's error", transaction)
	}
	_, err = tasktest.Run(t, RegisterTasks, ChargeCardCall("c-1", 666), tasktest.Supply[sender](new(outbox)))
	var p *runtime.PanicError
	if !errors.As(err, &p) || p.Value != "the devil" {
		t.Errorf("%v, want the panic", err)
	}
}

func TestRun_OverItsRetries(t *testing.T) {
	got, err := tasktest.Run(t, RegisterTasks, ChargeCardCall("c-1", 1),
		tasktest.WithAttempt(9), tasktest.Supply[sender](new(outbox)))
	if err != nil || got.Attempt != 9 {
		t.Errorf("attempt %d, %v", got.Attempt, err)
	}
}

func TestRun_ListsMissingSuppliesOfThisTask(t *testing.T) {
	_, err := tasktest.Run(t, RegisterTasks, ChargeCardCall("c-1", 1))
	if err == nil || !strings.Contains(err.Error(), "runtime.Supply[tasktest_test.sender]") {
		t.Errorf("%v, want the supply that is missing", err)
	}
	if err != nil && strings.Contains(err.Error(), "Stringer") {
		t.Errorf("%v: asks for what another task needs", err)
	}
	_, err = tasktest.Run(t, nil, ChargeCardCall("c-1", 1))
	if err == nil || !strings.Contains(err.Error(), `no task "billing.ChargeCard"`) {
		t.Errorf("%v, want that no such task is registered", err)
	}
}

func TestRun_InvalidCall(t *testing.T) {
	_, err := tasktest.Run(t, RegisterTasks, ChargeCardCall("\xff", 1), tasktest.Supply[sender](new(outbox)))
	if err == nil || !strings.Contains(err.Error(), "customer") {
		t.Errorf("%v, want the argument that cannot be encoded", err)
	}
	_, err = tasktest.Run(t, RegisterTasks, ChargeCardCall("c", 1), tasktest.Supply[sender](new(outbox)),
		tasktest.With(runtime.WithDeadline(time.Now().Add(-time.Second))))
	if !errors.Is(err, tasktest.ErrNotRun) {
		t.Errorf("%v, want ErrNotRun for a task past its deadline", err)
	}
}

// A nil option is none, as for Enqueue.
func TestRun_InvalidOptions(t *testing.T) {
	_, err := tasktest.Run(t, RegisterTasks, ChargeCardCall("c", 1), nil, tasktest.Supply[sender](new(outbox)))
	if err != nil || tasktest.NewRecorder(nil).Len() != 0 {
		t.Error(err)
	}
	failed, text := catch(t, func(t testing.TB) {
		_, _ = tasktest.Run(t, RegisterTasks, ChargeCardCall("c", 1), tasktest.WithAttempt(-1))
	})
	if !failed || !strings.Contains(text, "WithAttempt(-1)") {
		t.Errorf("said %q", text)
	}
}

// Proves: FEATURES 78
func TestRun_WithAFakeContext(t *testing.T) {
	fake := &tx{ended: []error{nil}}
	box := new(outbox)
	_, err := tasktest.Run(t, RegisterTasks, ChargeCardCall("c-1", 1),
		tasktest.Build(func(ctx *runtime.Context) (*billingContext, error) {
			return &billingContext{ctx, box, fake}, nil
		}))
	if err != nil || len(box.sent) != 1 {
		t.Errorf("sent %v, %v: want the faked context used", box.sent, err)
	}
}

func TestRun_RecordsCallsOfTheTask(t *testing.T) {
	rec := tasktest.NewRecorder()
	if _, err := tasktest.Run(t, RegisterTasks, ChargeCardCall("c-1", 1),
		tasktest.Supply[sender](new(outbox)), tasktest.WithRecorder(rec), tasktest.WithTag("plan", "pro")); err != nil {
		t.Fatal(err)
	}
	rec.AssertOnly(t, SendReceiptCall("c-1", "pin-1234", runtime.WithTag("plan", "pro")))
	sent := rec.Named("billing.SendReceipt")
	if len(sent) != 1 || sent[0].Message.Meta.Parent == sent[0].Message.Meta.ID || sent[0].Message.Meta.Parent == [16]byte{} {
		t.Errorf("enqueued %+v: want the charged task as its parent", sent)
	}
}

func TestRun_WithACancelledContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("no time")
		ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, cause)
		defer cancel()
		u := glue.NewTask[struct{}, runtime.Void](wire.Spec{Name: "t.Sleep"}, nil)
		register := func(app *runtime.App) {
			glue.Register(app, u, func(ctx *runtime.Context, _ *struct{}) (runtime.Void, error) {
				return runtime.Void{}, ctx.Sleep(time.Hour)
			})
		}
		from := time.Now()
		_, err := tasktest.Run(t, register, u.Call(nil, nil), tasktest.WithContext(ctx))
		if !errors.Is(err, cause) || time.Since(from) != time.Minute {
			t.Errorf("%v after %s, want the context's cause after a minute", err, time.Since(from))
		}
	})
}

// Proves: FEATURES 41, 78
func TestContext_CallsTheFunctionDirectly(t *testing.T) {
	box := new(outbox)
	var transaction *tx
	t.Run("use", func(t *testing.T) {
		ctx := tasktest.ContextOf[*billingContext](t, RegisterTasks,
			tasktest.Supply[sender](box), tasktest.WithAttempt(1), tasktest.WithName("billing.ChargeCard"))
		transaction = ctx.Tx
		got, err := ChargeCard(ctx, "c-1", 5)
		if err != nil || got.Attempt != 1 || ctx.Metadata().Name != "billing.ChargeCard" {
			t.Errorf("%+v, %v, metadata %+v", got, err, ctx.Metadata())
		}
		if len(transaction.ended) != 0 {
			t.Error("the cleanup ran before the test ended")
		}
	})
	if len(transaction.ended) != 1 || transaction.ended[0] != nil {
		t.Errorf("cleanup called with %v, want once with nil when the test ended", transaction.ended)
	}
}

func TestContext_IsATasks(t *testing.T) {
	var ctx *runtime.Context
	t.Run("use", func(t *testing.T) {
		ctx = tasktest.Context(t, tasktest.WithTag("plan", "pro"), tasktest.With(runtime.WithTimeout(time.Hour)))
		inner, ok := runtime.FromContext(context.WithValue(ctx, new(int), 1))
		if !ok || inner.Metadata().Tags.Get("plan") != "pro" {
			t.Errorf("metadata %+v", inner.Metadata())
		}
		if _, ok := ctx.Deadline(); !ok {
			t.Error("no deadline of the timeout")
		}
		rec, err := ctx.Reload()
		if err != nil || rec.State != engine.StateRunning {
			t.Errorf("record %+v, %v", rec, err)
		}
		if err := ctx.Err(); err != nil {
			t.Errorf("ended: %v", err)
		}
	})
	if !errors.Is(context.Cause(ctx), runtime.ErrTaskDone) {
		t.Errorf("after the test the context's cause is %v", context.Cause(ctx))
	}
}

func TestEnd_BeforeTheTestEnds(t *testing.T) {
	ctx := tasktest.ContextOf[*billingContext](t, RegisterTasks, tasktest.Supply[sender](new(outbox)))
	err := tasktest.End(ctx, errDeclined)
	if err == nil || !strings.Contains(err.Error(), "declined") {
		t.Errorf("End: %v", err)
	}
	if len(ctx.Tx.ended) != 1 || !errors.Is(ctx.Tx.ended[0], errDeclined) {
		t.Errorf("cleanup called with %v", ctx.Tx.ended)
	}
	if tasktest.End(context.Background(), nil) == nil {
		t.Error("End of a foreign context succeeded")
	}
}

// Proves: FEATURES 78
func TestIdle_InABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := runtime.New(memory.New(memory.Config{}), runtime.Config{})
		runs := 0
		flaky := glue.NewTask[struct{}, runtime.Void](wire.Spec{
			Name: "t.Flaky", Retries: 3, Delay: time.Hour, MaxDelay: 24 * time.Hour,
		}, nil)
		follow := glue.NewTask[struct{}, runtime.Void](wire.Spec{Name: "t.Follow"}, nil)
		glue.Register(app, follow, func(ctx *runtime.Context, _ *struct{}) (runtime.Void, error) {
			runs += 100
			return runtime.Void{}, ctx.Sleep(time.Hour)
		})
		glue.Register(app, flaky, func(ctx *runtime.Context, _ *struct{}) (runtime.Void, error) {
			if runs++; runs < 3 {
				return runtime.Void{}, errDeclined
			}
			_, err := follow.Call(nil, nil).Enqueue(ctx, ctx.App())
			return runtime.Void{}, err
		})
		tasktest.Start(t, app)
		if _, err := flaky.Call(nil, []runtime.Option{runtime.WithDelay(24 * time.Hour)}).Enqueue(t.Context(), app); err != nil {
			t.Fatal(err)
		}
		from := time.Now()
		tasktest.Idle(t, app)
		if passed := time.Since(from); runs != 103 || passed < 26*time.Hour || passed > 29*time.Hour {
			t.Errorf("%d runs in %s; want all of them, over a day of the bubble's time", runs, passed)
		}
	})
}

// halted is a test that runs until it fails: testing.TB with FailNow of its own.
type halted struct {
	testing.TB
	failed bool
	text   []string
}

func (h *halted) Helper()       {}
func (h *halted) Failed() bool  { return h.failed }
func (h *halted) Skipped() bool { return false }
func (h *halted) FailNow()      { h.failed = true; panic(h) }
func (h *halted) Error(args ...any) {
	h.failed = true
	h.text = append(h.text, fmt.Sprint(args...))
}
func (h *halted) Errorf(format string, args ...any) { h.Error(fmt.Sprintf(format, args...)) }
func (h *halted) Fatalf(format string, args ...any) { h.Errorf(format, args...); h.FailNow() }

// catch runs f with a test that may fail, and returns what it said.
func catch(t *testing.T, f func(t testing.TB)) (failed bool, text string) {
	h := &halted{TB: t}
	func() {
		defer func() {
			if p := recover(); p != nil && p != any(h) {
				panic(p)
			}
		}()
		f(h)
	}()
	return h.failed, strings.Join(h.text, "\n")
}

func TestList_RefusesForeignCursors(t *testing.T) {
	app := tasktest.Context(t).App()
	for _, cursor := range []string{"no cursor", "-1"} {
		if _, _, err := app.List(t.Context(), engine.Query{Cursor: cursor}); err == nil {
			t.Errorf("List with the cursor %q, which it never returned: want an error", cursor)
		}
	}
}
