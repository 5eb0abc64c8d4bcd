package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"

	"github.com/taskctx/taskctx/runtime"
)

// Proves: FEATURES 53
func TestTrigger(t *testing.T) {
	ask := func(results ...any) []runtime.TriggerHook { // each hook answers with one; nil does not answer
		var hooks []runtime.TriggerHook
		for _, r := range results {
			hooks = append(hooks, func(ctx *runtime.Context, tr *runtime.TriggerError) (any, bool, error) {
				if len(tr.Attrs) != 1 || tr.Attrs[0].Value.Int64() != 7 || ctx.Metadata().Name != "test.Unit" {
					return nil, false, fmt.Errorf("the hook was asked with %v", tr.Attrs)
				}
				if err, ok := r.(error); ok {
					return nil, true, err
				}
				return r, r != nil, nil
			})
		}
		return hooks
	}
	panics := func(*runtime.Context, *runtime.TriggerError) (any, bool, error) { panic("boom") }
	tests := []struct {
		name  string
		hooks []runtime.TriggerHook
		want  int
		err   string
	}{
		{name: "no hook", err: "task triggered: [n=7]"},
		{name: "no answer", hooks: ask(nil, nil), err: "task triggered: [n=7]"},
		{name: "a result", hooks: ask(nil, 5, 6), want: 5},
		{name: "an error", hooks: ask(errors.New("mine")), err: "mine"},
		{name: "a result of another type", hooks: ask("five"), err: "result of a trigger hook"},
		{name: "a result that cannot be encoded", hooks: ask(math.NaN()), err: "result of a trigger hook"},
		{name: "panic", hooks: []runtime.TriggerHook{nil, panics}, err: "panic: boom"},
	}
	tx := runtime.NewKey[int]("tx", runtime.PerTask, nil)
	for _, tt := range tests {
		var ended error
		app := newUnitApp(t, runtime.Config{OnTrigger: tt.hooks})
		u := newUnit[int, int]("test.Unit")
		u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
			if _, err := tx.Provide(ctx, func(context.Context) (int, func(error) error, error) {
				return 1, func(err error) error { ended = err; return nil }, nil
			}); err != nil {
				return 0, err
			}
			return 0, fmt.Errorf("wrapped: %w", runtime.Trigger(slog.Int("n", 7)))
		})
		start(t, app)
		got, err := await(t, app, u.call(0))
		if got != tt.want || (tt.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %d, %v; want %d, %q", tt.name, got, err, tt.want, tt.err)
		}
		if (ended == nil) != (err == nil) {
			t.Errorf("%s: the task ends with %v, its transaction with %v", tt.name, err, ended)
		}
	}
}
