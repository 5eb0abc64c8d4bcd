package runtime_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/local"
	"github.com/taskctx/taskctx/runtime/wire"
)

// What the app itself says of a task, that it will be retried, is parked, has
// failed, has the locals for logs as well: those that traveled here, and those
// that the task set.
//
// Proves: FEATURES 70, 80
func TestInLogs_InTheAppsLog(t *testing.T) {
	const canary = "canary-4711"
	id := local.New[string]("request_id", local.InLogs(), local.Travels())
	own := local.New[lazy]("own", local.InLogs())
	for _, secret := range []bool{false, true} {
		t.Run(fmt.Sprint("redact ", secret), func(t *testing.T) {
			logger, out := newLog()
			app := newUnitApp(t, runtime.Config{Logger: logger})
			u := newUnit[string, int]("test.Unit", retries(1), func(s *wire.Spec) { s.Params[0].Redact = secret })
			u.handle(app, func(ctx *runtime.Context, v string) (int, error) {
				if err := own.Set(ctx, lazy(v)); err != nil {
					return 0, err
				}
				return 0, errFlaky
			})
			start(t, app)
			ctx := local.With(t.Context())
			if err := id.Set(ctx, "r-1"); err != nil {
				t.Fatal(err)
			}
			h, err := u.call(canary).Enqueue(ctx, app)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.Wait(ctx); err == nil {
				t.Fatal("the task succeeded")
			}
			for _, msg := range []string{"task will be retried", "task failed"} {
				lines := out.lines(t, msg)
				if len(lines) != 1 || lines[0]["request_id"] != "r-1" || !strings.HasPrefix(fmt.Sprint(lines[0]["own"]), "lazy ") {
					t.Errorf("%q: %v", msg, lines)
				}
			}
			if strings.Contains(out.text(), canary) == secret {
				t.Errorf("redacted %t:\n%s", secret, out.text())
			}
		})
	}
}

// rudeValue is a local whose way into a log goes wrong.
type rudeValue struct{ crash func() }

func (v rudeValue) LogValue() slog.Value { v.crash(); return slog.Value{} }

// Proves: RELIABILITY 5
func TestInLogs_LocalThatCannotBeLogged(t *testing.T) {
	local := local.New[rudeValue]("rude", local.InLogs())
	for name, crash := range crashes {
		t.Run(name, func(t *testing.T) {
			app := newUnitApp(t, runtime.Config{Workers: 1})
			u := newUnit[string, int]("test.Rude", func(s *wire.Spec) { s.Params[0].Redact = true })
			u.handle(app, func(ctx *runtime.Context, v string) (int, error) {
				if v == "" {
					return 1, nil
				}
				if err := local.Set(ctx, rudeValue{crash}); err != nil {
					return 0, err
				}
				return 0, errFlaky // which the app logs
			})
			start(t, app)
			h, err := u.call("canary").Enqueue(context.Background(), app)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = h.Wait(context.Background())
			rec, err := h.Record(context.Background())
			if err != nil || rec.State != engine.StateFailed || rec.Reason != "flaky" {
				t.Errorf("%+v, %v; want it failed by its own error", rec, err)
			}
			if _, err := await(t, app, u.call("")); err != nil {
				t.Errorf("the next task on the slot: %v", err)
			}
		})
	}
}
