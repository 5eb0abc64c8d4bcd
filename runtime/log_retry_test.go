package runtime_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/taskctx/taskctx/runtime"
)

// A retry by hand has the attempt of the run before it, and is marked in the
// kept log as well: after a failure, after a cancel, and once only if it is
// snoozed.
//
// Proves: FEATURES 33
func TestKeepLogs_MarksRetriesByHand(t *testing.T) {
	app := newUnitApp(t, runtime.Config{KeepLogs: 100})
	u := newUnit[int, int]("test.ByHand", retries(1))
	ends := []error{errFlaky, errFlaky, runtime.Cancelled("enough"), runtime.Snooze(0), errFlaky, nil}
	run := 0
	u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		ctx.Logger().Info(fmt.Sprint("run ", run))
		run++
		if rec, err := ctx.Reload(); err != nil || rec.Logs[len(rec.Logs)-1].Message != fmt.Sprint("run ", run-1) {
			return 0, errors.Join(errors.New("its own log is another"), err)
		}
		return 0, ends[run-1]
	})
	start(t, app)
	h, err := u.call(0).Enqueue(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := h.Wait(t.Context()); err == nil {
			t.Fatal("it succeeded")
		}
		if err := app.Retry(t.Context(), h.ID()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"0 run 0", "1 retry 1 of 1", "1 run 1", "1 retry by hand", "1 run 2", "1 retry by hand", "1 run 3", "1 run 4",
		"1 retry by hand", "1 run 5",
	}
	if got := keptLines(t, h); !slices.Equal(got, want) {
		t.Errorf("kept %q\nwant %q", got, want)
	}
}

// Proves: FEATURES 33
func TestKeepLogs_MarksARetryByHandOfTheFirstRun(t *testing.T) {
	app := newUnitApp(t, runtime.Config{KeepLogs: 2})
	u := newUnit[int, int]("test.Once")
	run := 0
	u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		if run++; run == 3 { // the others log nothing
			ctx.Logger().Info("run")
		}
		return 0, errFlaky
	})
	start(t, app)
	h, err := u.call(0).Enqueue(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{{}, {"0 retry by hand"}, {"0 retry by hand", "0 run"}} {
		if _, err := h.Wait(t.Context()); err == nil {
			t.Fatal("it succeeded")
		}
		if got := keptLines(t, h); !slices.Equal(got, want) {
			t.Errorf("kept %q, want %q", got, want)
		}
		if err := app.Retry(t.Context(), h.ID()); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = h.Wait(t.Context())
}

// keptLines returns the attempt and the text of each line that was kept.
func keptLines[R any](t *testing.T, h *runtime.Handle[R]) []string {
	t.Helper()
	rec, err := h.Record(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range rec.Logs {
		lines = append(lines, fmt.Sprintf("%d %s", l.Attempt, l.Message))
	}
	return lines
}
