package runtime_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/taskctx/taskctx/runtime"
)

// scopeRun is what one task of the test below found.
type scopeRun struct{ Worker, Process int }

// Tasks that run at the same time have a worker's value each, and those that run
// later have the same values again. The process has one for all, which the first
// task opens while those on the other workers wait.
//
// Proves: FEATURES 11, 12
func TestStored_ConcurrentTasksHaveAValueEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers, rounds = 4, 3
		var j journal
		var opened, openedAll atomic.Int64
		perWorker := runtime.NewKey("worker", runtime.PerWorker, func(int) error { j.note("worker"); return nil })
		perProcess := runtime.NewKey("process", runtime.PerProcess, func(int) error { j.note("process"); return nil })
		open, meet := make(chan struct{}), make([]chan struct{}, rounds)
		app := newUnitApp(t, runtime.Config{Workers: workers})
		u := newUnit[int, scopeRun]("test.Scopes")
		u.handle(app, func(ctx *runtime.Context, round int) (r scopeRun, err error) {
			r.Worker, err = runtime.Stored(ctx, perWorker, func(context.Context) (int, error) { return int(opened.Add(1)), nil })
			if err != nil {
				return r, err
			}
			r.Process, err = runtime.Stored(ctx, perProcess, func(context.Context) (int, error) {
				defer func() { <-open }()
				return int(openedAll.Add(1)), nil
			})
			<-meet[round] // all tasks of a round run at once
			return r, err
		})
		needsNone := newUnit[int, int]("test.NeedsNone")
		needsNone.handle(app, func(*runtime.Context, int) (int, error) { return 0, nil })
		start(t, app)
		if _, err := await(t, app, needsNone.call(0)); err != nil || opened.Load() != 0 {
			t.Fatalf("%d values were opened for nobody, %v", opened.Load(), err)
		}
		for round := range rounds {
			meet[round] = make(chan struct{})
			var handles []*runtime.Handle[scopeRun]
			for range workers {
				h, err := u.call(round).Enqueue(t.Context(), app)
				if err != nil {
					t.Fatal(err)
				}
				handles = append(handles, h)
			}
			synctest.Wait()
			if round == 0 {
				close(open)
			}
			close(meet[round])
			var found []int
			for _, h := range handles {
				r, err := h.Wait(t.Context())
				if err != nil || r.Process != 1 {
					t.Errorf("round %d: the value %d of the process, %v; want the one", round, r.Process, err)
				}
				found = append(found, r.Worker)
			}
			if slices.Sort(found); !slices.Equal(found, []int{1, 2, 3, 4}) {
				t.Errorf("round %d: tasks at once found the values %v of their workers, want one each", round, found)
			}
		}
		if n := len(j.all()); n != 0 {
			t.Errorf("%d values were closed while the worker runs", n)
		}
		if err := app.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := []string{"worker", "worker", "worker", "worker", "process"}; !slices.Equal(j.all(), want) {
			t.Errorf("closed %v, want %v", j.all(), want)
		}
	})
}
