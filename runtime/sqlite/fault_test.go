//go:build unix

package sqlite_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite"
	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

var discard = slog.New(slog.NewTextHandler(io.Discard, nil))

// TestEngine_EveryCallFailsOnce fails each step of each statement once, one in each
// round: nothing acknowledged is lost, nothing is stuck, and no task that
// succeeded runs again.
//
// Proves: RELIABILITY 4
func TestEngine_EveryCallFailsOnce(t *testing.T) {
	var steps, failAt atomic.Int64
	lite.Fault = func() error {
		if steps.Add(1) == failAt.Load() {
			return &lite.Error{Code: lite.IOErr, Msg: "the test's fault"}
		}
		return nil
	}
	t.Cleanup(func() { lite.Fault = nil })
	rounds := 0
	for at := int64(1); ; at += 1 + int64(rounds/100) { // each of the first 100, then fewer
		rounds++
		steps.Store(0)
		failAt.Store(0)
		e, err := sqlite.Open(filepath.Join(t.TempDir(), "tasks.db"), sqlite.Config{Logger: discard, Lease: testLease})
		if err != nil {
			t.Fatal(err)
		}
		failAt.Store(steps.Load() + at) // from here on, not while opening
		faultScenario(t, e, at)
		if failAt.Load() > steps.Load() {
			break // the scenario has no more steps
		}
		if t.Failed() {
			t.Fatalf("with a fault at step %d", at)
		}
	}
	t.Logf("%d rounds", rounds)
}

// faultScenario enqueues, runs, retries, snoozes, cancels and looks up tasks on
// an engine on which something fails once, and closes it.
func faultScenario(t *testing.T, e *sqlite.Engine, at int64) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var mu sync.Mutex
	runs := make(map[uuid.UUID]int)
	serveCtx, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	serve := func() error {
		return e.Serve(serveCtx, &engine.Worker{
			ID: "w", Slots: 3, Queues: []string{"default"}, Names: []string{"fault.retry", "fault.task"}, ParkFor: time.Hour,
			Run: func(ctx context.Context, d *engine.Delivery) engine.Outcome {
				mu.Lock()
				runs[d.Message.Meta.ID]++
				mu.Unlock()
				if d.Message.Name == "fault.retry" && d.Attempt == 0 {
					return engine.Outcome{Kind: engine.OutcomeRetry, After: time.Millisecond, Reason: "once more"}
				}
				if err := d.Memo.SaveMemo(ctx, []byte(`"memo"`)); err != nil && errors.Is(err, engine.ErrLeaseLost) {
					t.Errorf("SaveMemo: %v", err)
				}
				return engine.Outcome{Kind: engine.OutcomeSucceed, Result: []byte(`1`)}
			},
		})
	}
	go func() {
		err := serve()
		if lite.Code(err) == lite.IOErr && serveCtx.Err() == nil { // it could not start
			err = serve()
		}
		served <- err
	}()
	stored := make(map[uuid.UUID]string)
	for i := range 6 {
		name := "fault.task"
		if i%3 == 2 {
			name = "fault.retry"
		}
		ms := []*engine.Message{message(name), message(name)}
		ms[0].Key, ms[0].KeyFor = ms[0].Meta.ID.String(), time.Hour
		if i == 4 {
			ms[1].Due = time.Now().Add(5 * time.Millisecond)
		}
		if _, err := e.Insert(ctx, ms); err == nil {
			stored[ms[0].Meta.ID], stored[ms[1].Meta.ID] = name, name
		} else if lite.Code(err) != lite.IOErr {
			t.Errorf("Insert: %v", err)
		}
	}
	later := message("fault.task")
	later.Due = time.Now().Add(time.Hour)
	if _, err := e.InsertOne(ctx, later); err == nil {
		for { // the first call may be the one that fails
			err := e.Cancel(ctx, later.Meta.ID, "not needed")
			if err == nil {
				break
			}
			if lite.Code(err) != lite.IOErr {
				t.Fatalf("Cancel: %v", err)
			}
		}
	}
	for id, name := range stored { // a wait may be what fails
		entry, err := e.Wait(ctx, id)
		if lite.Code(err) == lite.IOErr {
			entry, err = e.Wait(ctx, id)
		}
		if err != nil || entry.State != engine.StateSucceeded {
			now, _ := e.Get(context.Background(), id)
			t.Fatalf("fault at %d: task %s: %+v, %v; now %+v", at, id, entry, err, now)
		}
		want := 1
		if name == "fault.retry" {
			want = 2
		}
		mu.Lock()
		if runs[id] != want {
			t.Errorf("fault at %d: %s ran %d times, want %d", at, name, runs[id], want)
		}
		mu.Unlock()
	}
	stop()
	if err := <-served; err != nil {
		t.Errorf("fault at %d: Serve: %v", at, err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("fault at %d: Close: %v", at, err)
	}
}
