//go:build unix

package sqlite_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite"
)

// TestServe_ClockSteps steps the clock by an hour, both ways, while a worker runs a
// task and another handle of the file serves too: the task stays with its
// worker, due ones run, and later ones run when the clock says so.
//
// Proves: RELIABILITY 11
func TestServe_ClockSteps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	cfg := sqlite.Config{Lease: suiteLease, PollInterval: 2 * time.Millisecond}
	var offset atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	ctx, stop := context.WithCancel(context.Background())
	hold, held := make(chan struct{}), make(chan *engine.Delivery, 2)
	served := make(chan error, 2)
	serve := func(id string) *sqlite.Engine {
		e := open(t, path, cfg)
		go func() {
			served <- e.Serve(ctx, &engine.Worker{
				ID: id, Slots: 2, Queues: []string{"default"}, Names: []string{"clock.hold", "clock.step"}, ParkFor: 24 * time.Hour,
				Now: now,
				Run: func(ctx context.Context, d *engine.Delivery) engine.Outcome {
					if d.Message.Name == "clock.hold" {
						held <- d
						<-hold
					}
					return engine.Outcome{Kind: engine.OutcomeSucceed}
				},
			})
		}()
		return e
	}
	e := serve("one")
	serve("two")
	long := message("clock.hold")
	if _, err := e.InsertOne(ctx, long); err != nil {
		t.Fatal(err)
	}
	<-held
	for _, step := range []time.Duration{time.Hour, -time.Hour, 0} {
		offset.Store(int64(step))
		end := time.Now().Add(3 * suiteLease / 2)
		for n := 0; time.Now().Before(end) || n == 0; n++ { // due ones run at once, whatever the clock was before
			m := message("clock.step")
			if _, err := e.InsertOne(ctx, m); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Wait(ctx, m.Meta.ID); err != nil {
				t.Fatal(err)
			}
			time.Sleep(suiteLease / 50)
		}
		entry, err := e.Get(ctx, long.Meta.ID)
		if err != nil || entry.State != engine.StateRunning || entry.Attempt != 0 {
			t.Fatalf("after a step of %v: %+v, %v", step, entry, err)
		}
	}
	later := message("clock.step")
	later.Due = now().Add(30 * time.Minute)
	if _, err := e.InsertOne(ctx, later); err != nil {
		t.Fatal(err)
	}
	offset.Store(int64(time.Hour))
	if _, err := e.Wait(ctx, later.Meta.ID); err != nil {
		t.Fatal(err)
	}
	close(hold)
	if _, err := e.Wait(ctx, long.Meta.ID); err != nil {
		t.Fatal(err)
	}
	stop()
	for range 2 {
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
	if len(held) > 0 {
		t.Error("the long task ran twice")
	}
}
