package memory_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// long is whether the tests below run at their full size. They print what they
// found with -v.
var long = os.Getenv("TASKCTX_LONG") != ""

func size(small, large int) int {
	if long {
		return large
	}
	return small
}

// ledger counts what became of each task.
type ledger struct {
	mu        sync.Mutex
	runs      map[uuid.UUID]int
	concluded map[uuid.UUID]int // runs whose outcome was success and not refused
	refused   int
}

func newLedger() *ledger {
	return &ledger{runs: make(map[uuid.UUID]int), concluded: make(map[uuid.UUID]int)}
}

func (l *ledger) ran(d *engine.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs[d.Message.Meta.ID]++
	l.concluded[d.Message.Meta.ID]++
}

func (l *ledger) refuse(d *engine.Delivery, _ engine.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.concluded[d.Message.Meta.ID]--
	l.refused++
}

// TestStop_UnderLoad: workers are stopped again and again while handlers ignore
// their contexts. Nothing is lost; Serve returns at once when it is told to
// wait no longer, and names exactly what did not return; late outcomes are
// refused every time.
//
// Proves: RELIABILITY 6
func TestStop_UnderLoad(t *testing.T) {
	tasks, stops := size(2_000, 30_000), size(40, 1_000)
	e := memory.New(memory.Config{})
	l := newLedger()
	var stuck sync.WaitGroup // handlers that were abandoned
	run := func(_ context.Context, d *engine.Delivery) engine.Outcome {
		if rand.IntN(4) == 0 {
			stuck.Add(1)
			defer stuck.Done()
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond) // deaf to its context
		}
		l.ran(d)
		return engine.Outcome{Kind: engine.OutcomeSucceed}
	}
	ids := make([]uuid.UUID, tasks)
	for i := range ids {
		ids[i] = put(t, e, message("task"))
	}
	named, slowest := 0, time.Duration(0)
	for range stops {
		w := worker(8, run, "task")
		abandon := make(chan struct{})
		w.Abandon, w.Refused = abandon, l.refuse
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(8))*time.Millisecond)
		served := make(chan error, 1)
		go func() { served <- e.Serve(ctx, w) }()
		<-ctx.Done()
		began := time.Now()
		close(abandon)
		err := <-served
		slowest = max(slowest, time.Since(began))
		cancel()
		var u *engine.UnfinishedError
		if err != nil && !errors.As(err, &u) {
			t.Fatalf("Serve: %v", err)
		}
		if u != nil {
			named += len(u.Tasks)
		}
	}
	w := worker(8, run, "task")
	w.Refused = l.refuse
	stop := serve(t, e, w)
	for _, id := range ids {
		if en, err := e.Wait(t.Context(), id); err != nil || en.State != engine.StateSucceeded || en.Attempt != 0 {
			t.Fatalf("the task ended as %+v, %v, want succeeded with Attempt 0", en, err)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	stuck.Wait()
	deadline := time.Now().Add(time.Minute)
	for l.mu.Lock(); l.refused < named && time.Now().Before(deadline); l.mu.Lock() {
		l.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	defer l.mu.Unlock()
	lost, twice := 0, 0
	for _, id := range ids {
		switch n := l.concluded[id]; {
		case n < 1:
			lost++
		case n > 1:
			twice++
		}
	}
	t.Logf("%d tasks, %d stops: lost %d, recorded twice %d, given back and named %d, late outcomes refused %d, slowest stop %v",
		tasks, stops, lost, twice, named, l.refused, slowest)
	if lost > 0 || twice > 0 || l.refused != named {
		t.Errorf("lost %d, recorded twice %d, want none; refused %d, want as many as were named, %d", lost, twice, l.refused, named)
	}
}

// TestServe_NeverMoreThanSlots: handlers ignore that they are told to stop, all the
// time; still no more of them run than there are slots.
//
// Proves: RELIABILITY 7
func TestServe_NeverMoreThanSlots(t *testing.T) {
	tasks := size(500, 50_000)
	const slots = 4
	e := memory.New(memory.Config{})
	var running, most, told atomic.Int64
	run := func(ctx context.Context, d *engine.Delivery) engine.Outcome {
		now := running.Add(1)
		defer running.Add(-1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		ctx, cancel := d.Context(ctx)
		defer cancel()
		go e.Cancel(context.Background(), d.Message.Meta.ID, "timeout")
		<-ctx.Done()
		told.Add(1)
		time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
		if rand.IntN(10) == 0 {
			goruntime.Goexit()
		}
		return engine.Outcome{Kind: engine.OutcomeRetry}
	}
	w := worker(slots, nil, "task")
	w.RunInline = func(ctx context.Context, d *engine.Delivery, o *engine.Outcome) {
		*o = engine.Outcome{Kind: engine.OutcomeFail, Reason: "it ended its goroutine"}
		*o = run(ctx, d)
	}
	stop := serve(t, e, w)
	ids := make([]uuid.UUID, tasks)
	for i := range ids {
		ids[i] = put(t, e, message("task"))
	}
	for _, id := range ids {
		if en, err := e.Wait(t.Context(), id); err != nil || !en.State.Final() {
			t.Fatalf("the task is %+v, %v", en, err)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	t.Logf("%d handlers told to stop and deaf to it, on %d slots: %d ran at the same time at most", told.Load(), slots, most.Load())
	if most.Load() != slots {
		t.Errorf("%d ran at the same time, want %d", most.Load(), slots)
	}
}

// TestServe_FromManyGoroutines: workers come and go from many goroutines at
// once, some told twice to wait no longer. goleak sees what is left.
//
// Proves: RELIABILITY 8
func TestServe_FromManyGoroutines(t *testing.T) {
	rounds, tasks := size(30, 1_000), size(3_000, 200_000)
	e := memory.New(memory.Config{Capacity: tasks, Records: tasks})
	l := newLedger()
	var wg sync.WaitGroup
	starts := atomic.Int64{}
	for range 8 {
		wg.Go(func() {
			for range rounds {
				w := worker(2, func(_ context.Context, d *engine.Delivery) engine.Outcome {
					l.ran(d)
					return engine.Outcome{Kind: engine.OutcomeSucceed}
				}, "task", fmt.Sprint("other-", rand.IntN(3)))
				w.Refused = l.refuse
				abandon := make(chan struct{})
				w.Abandon = abandon
				ctx, cancel := context.WithCancel(context.Background())
				time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, func() {
					cancel()
					cancel()
					close(abandon)
				})
				starts.Add(1)
				err := e.Serve(ctx, w)
				if u := (*engine.UnfinishedError)(nil); err != nil && !errors.As(err, &u) {
					t.Errorf("Serve: %v", err)
				}
			}
		})
	}
	ids := make([]uuid.UUID, tasks)
	for i := range ids {
		ids[i] = put(t, e, message("task"))
	}
	wg.Wait()
	stop := serve(t, e, worker(4, func(_ context.Context, d *engine.Delivery) engine.Outcome {
		l.ran(d)
		return engine.Outcome{Kind: engine.OutcomeSucceed}
	}, "task"))
	for _, id := range ids {
		if _, err := e.Wait(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	bad := 0
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		if l.concluded[id] != 1 {
			bad++
		}
	}
	t.Logf("%d starts and stops from 8 goroutines, %d tasks: %d not recorded exactly once, %d outcomes refused",
		starts.Load(), tasks, bad, l.refused)
	if bad > 0 {
		t.Errorf("%d tasks were not recorded exactly once", bad)
	}
}

// TestServe_LateOutcomeRefused: a worker stands still, its task is given to another,
// which completes it; then the first one wakes up.
func TestServe_LateOutcomeRefused(t *testing.T) {
	rounds := size(200, 20_000)
	refused, kept := 0, 0
	for range rounds {
		e := memory.New(memory.Config{})
		wake, begun := make(chan struct{}), make(chan struct{})
		late := worker(1, func(context.Context, *engine.Delivery) engine.Outcome {
			close(begun)
			<-wake
			return engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`"late"`), Memo: json.RawMessage(`"late"`)}
		}, "task")
		told := make(chan struct{}, 1)
		late.Refused = func(*engine.Delivery, engine.Outcome) { told <- struct{}{} }
		abandon := make(chan struct{})
		late.Abandon = abandon
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- e.Serve(ctx, late) }()
		id := put(t, e, message("task"))
		<-begun
		cancel()
		close(abandon)
		if err := <-served; err == nil {
			t.Error("Serve: nil, want an error that names the task")
		}
		stop := serve(t, e, worker(1, func(context.Context, *engine.Delivery) engine.Outcome {
			if rand.IntN(2) == 0 {
				close(wake) // while the other runs, or after
				<-told
				told <- struct{}{}
			}
			return engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`"other"`)}
		}, "task"))
		if _, err := e.Wait(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		select {
		case <-wake:
		default:
			close(wake)
		}
		<-told
		refused++
		if en := get(t, e, id); string(en.Result) == `"other"` && en.Memo == nil {
			kept++
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d workers that stood still: %d late outcomes refused, %d results of the other worker kept", rounds, refused, kept)
	if refused != rounds || kept != rounds {
		t.Errorf("refused %d and kept %d, want %d", refused, kept, rounds)
	}
}

// TestServe_BadTaskAmongMany: tasks of a name that nobody knows wait, and no other
// waits for them.
func TestServe_BadTaskAmongMany(t *testing.T) {
	const n = 1000
	e := memory.New(memory.Config{})
	var ids []uuid.UUID
	var bad uuid.UUID
	for i := range n {
		if i == n/3 {
			bad = put(t, e, message("gone", func(m *engine.Message) { m.Priority = 3 }))
			continue
		}
		ids = append(ids, put(t, e, message("task")))
	}
	w := worker(4, succeed, "task")
	w.ParkFor = 200 * time.Millisecond
	stop := serve(t, e, w)
	finished := 0
	for _, id := range ids {
		if en, err := e.Wait(t.Context(), id); err == nil && en.State == engine.StateSucceeded {
			finished++
		}
	}
	en, err := e.Wait(t.Context(), bad)
	if err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	t.Logf("%d of %d finished; the one of an unknown name: %s, %s", finished, n, en.State, en.Reason)
	if finished != n-1 || en.State != engine.StateFailed {
		t.Errorf("%d finished, the bad one is %s, want %d and failed", finished, en.State, n-1)
	}
}
