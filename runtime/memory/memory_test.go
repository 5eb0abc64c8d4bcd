package memory_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// message returns a message of the queue that all tests here use.
func message(name string, edits ...func(*engine.Message)) *engine.Message {
	m := &engine.Message{
		Name: name, Queue: "q", Args: json.RawMessage(`{}`),
		Meta: engine.Meta{Version: engine.WirePlain, ID: uuid.Must(uuid.NewV7()), EnqueuedAt: time.Now().UTC()},
	}
	for _, edit := range edits {
		edit(m)
	}
	return m
}

func dueIn(d time.Duration) func(*engine.Message) {
	return func(m *engine.Message) { m.Due = time.Now().Add(d) }
}

// put stores a message and returns the task's id.
func put(t testing.TB, e *memory.Engine, m *engine.Message) uuid.UUID {
	t.Helper()
	in, err := e.InsertOne(t.Context(), m)
	if err != nil {
		t.Fatalf("InsertOne: %v", err)
	}
	return in.ID
}

func get(t testing.TB, e *memory.Engine, id uuid.UUID) *engine.Entry {
	t.Helper()
	en, err := e.Get(t.Context(), id)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	return en
}

// listAll returns what is on all pages.
func listAll(t testing.TB, e *memory.Engine, q engine.Query) (all []*engine.Entry) {
	t.Helper()
	for {
		entries, next, err := e.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, entries...)
		if q.Cursor = next; next == "" {
			return all
		}
	}
}

type runFunc func(ctx context.Context, d *engine.Delivery) engine.Outcome

func succeed(context.Context, *engine.Delivery) engine.Outcome {
	return engine.Outcome{Kind: engine.OutcomeSucceed}
}

// worker returns a worker of the names.
func worker(slots int, run runFunc, names ...string) *engine.Worker {
	slices.Sort(names)
	return &engine.Worker{
		ID: uuid.NewString(), Slots: slots, Queues: []string{"q"}, Names: names, ParkFor: time.Hour,
		Abandon: make(chan struct{}), Now: time.Now, Run: run,
		RunInline: func(ctx context.Context, d *engine.Delivery, o *engine.Outcome) { *o = run(ctx, d) },
		Refused:   func(*engine.Delivery, engine.Outcome) {},
	}
}

// serve starts a worker, and returns the function that stops it.
func serve(t testing.TB, e *memory.Engine, w *engine.Worker) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- e.Serve(ctx, w) }()
	stop = sync.OnceValue(func() error { cancel(); return <-result })
	t.Cleanup(func() { _ = stop() })
	return stop
}

// TestServe_StartsWhenDue: on a clock that moves only when all sleep, a task starts
// at the very instant that it is due, however it came to wait.
func TestServe_StartsWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memory.New(memory.Config{})
		began := time.Now()
		type start struct {
			name string
			at   time.Duration
		}
		var mu sync.Mutex
		var got []start
		stop := serve(t, e, worker(1, func(_ context.Context, d *engine.Delivery) engine.Outcome {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, start{d.Message.Name, time.Since(began)})
			if d.Message.Name == "retry" && d.Attempt == 0 {
				return engine.Outcome{Kind: engine.OutcomeRetry, After: 90 * time.Minute}
			}
			return engine.Outcome{Kind: engine.OutcomeSucceed}
		}, "now", "hour", "minute", "retry", "second"))
		put(t, e, message("hour", dueIn(time.Hour)))
		put(t, e, message("now"))
		put(t, e, message("retry"))
		synctest.Wait()
		put(t, e, message("minute", dueIn(time.Minute)))
		put(t, e, message("second", dueIn(time.Second)))
		time.Sleep(2 * time.Hour)
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
		want := []start{
			{"now", 0}, {"retry", 0}, {"second", time.Second}, {"minute", time.Minute},
			{"hour", time.Hour}, {"retry", 90 * time.Minute},
		}
		if !slices.Equal(got, want) {
			t.Errorf("started %v, want %v", got, want)
		}
	})
}

// TestServe_WallClockSet: a task due at a time of day runs within a minute of it when
// somebody sets the clock forward, although the timer was for later.
func TestServe_WallClockSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var ahead time.Duration
		now := func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Round(0).Add(ahead) // no monotonic reading, as from a text
		}
		e := memory.New(memory.Config{})
		ran := make(chan time.Time, 1)
		w := worker(1, func(context.Context, *engine.Delivery) engine.Outcome {
			ran <- time.Now()
			return engine.Outcome{Kind: engine.OutcomeSucceed}
		}, "task")
		w.Now = now
		stop := serve(t, e, w)
		began := time.Now()
		put(t, e, message("task", func(m *engine.Message) { m.Due = now().Add(2 * time.Hour) }))
		time.Sleep(10 * time.Second)
		mu.Lock()
		ahead = 3 * time.Hour
		mu.Unlock()
		if waited := (<-ran).Sub(began); waited > 70*time.Second {
			t.Errorf("the task ran %v after the clock was set past its time, want within a minute", waited-10*time.Second)
		}
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// TestGet_ForgottenTasks: records go after their Keep, or the engine's time.
func TestGet_ForgottenTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memory.New(memory.Config{KeepFor: 10 * time.Minute, KeepFailedFor: 20 * time.Minute})
		fail := func(_ context.Context, d *engine.Delivery) engine.Outcome {
			if d.Message.Name == "fails" {
				return engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"}
			}
			return engine.Outcome{Kind: engine.OutcomeSucceed}
		}
		stop := serve(t, e, worker(2, fail, "fails", "works"))
		keep := func(d time.Duration) func(*engine.Message) {
			return func(m *engine.Message) { m.Keep, m.KeepFailed = d, 2*d }
		}
		ids := map[uuid.UUID]time.Duration{}
		for name, times := range map[string]time.Duration{"works": 1, "fails": 2} {
			ids[put(t, e, message(name))] = times * 10 * time.Minute
			ids[put(t, e, message(name, keep(time.Minute)))] = times * time.Minute
			ids[put(t, e, message(name, keep(time.Hour)))] = times * time.Hour
		}
		synctest.Wait()
		began := time.Now()
		for _, at := range []time.Duration{59 * time.Second, time.Minute, 2 * time.Minute, 10 * time.Minute, 20 * time.Minute, 59 * time.Minute, time.Hour, 2 * time.Hour} {
			time.Sleep(time.Until(began.Add(at)))
			left := 0
			for id, keep := range ids {
				_, err := e.Get(t.Context(), id)
				if kept := at < keep; kept != (err == nil) || !kept && !errors.Is(err, engine.ErrNotFound) {
					t.Errorf("after %v, Get of a record kept for %v: error %v", at, keep, err)
				}
				if at < keep {
					left++
				}
			}
			entries, _, err := e.List(t.Context(), engine.Query{})
			if err != nil || len(entries) != left {
				t.Errorf("after %v, List returns %d entries, %v, want %d", at, len(entries), err, left)
			}
		}
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// TestInsert_KeyEnds: a key is free the instant its time ends, not before.
func TestInsert_KeyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memory.New(memory.Config{})
		keyed := func() *engine.Message {
			return message("task", func(m *engine.Message) { m.Key, m.KeyFor = "k", time.Minute })
		}
		first := put(t, e, keyed())
		time.Sleep(time.Minute - time.Nanosecond)
		if id := put(t, e, keyed()); id != first {
			t.Error("the key was free before its time ended")
		}
		time.Sleep(time.Nanosecond)
		if id := put(t, e, keyed()); id == first {
			t.Error("the key was held after its time ended")
		}
	})
}

// TestClose_WakesAll: whatever waits on a closed engine learns of it.
func TestClose_WakesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memory.New(memory.Config{Capacity: 2, Wait: true})
		release := make(chan struct{})
		runs := 0
		w := worker(1, func(context.Context, *engine.Delivery) engine.Outcome {
			runs++
			<-release
			return engine.Outcome{Kind: engine.OutcomeSucceed}
		}, "task")
		refused := make(chan struct{}, 1)
		w.Refused = func(*engine.Delivery, engine.Outcome) { refused <- struct{}{} }
		served := make(chan error, 1)
		go func() { served <- e.Serve(context.Background(), w) }()
		put(t, e, message("task"))
		id := put(t, e, message("task"))
		waits := make(chan error, 2)
		go func() { _, err := e.Wait(context.Background(), id); waits <- err }()
		go func() { _, err := e.InsertOne(context.Background(), message("task")); waits <- err }()
		synctest.Wait()
		if err := e.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		for range 2 {
			if err := <-waits; !errors.Is(err, engine.ErrClosed) {
				t.Errorf("a call that waited returned %v, want ErrClosed", err)
			}
		}
		close(release)
		<-refused
		if err := <-served; !errors.Is(err, engine.ErrClosed) {
			t.Errorf("Serve: %v, want ErrClosed", err)
		}
		if runs != 1 {
			t.Errorf("%d tasks were run, want the one before Close", runs)
		}
	})
}

// TestInsert_SameMessageTwice: the message is stored once.
func TestInsert_SameMessageTwice(t *testing.T) {
	e := memory.New(memory.Config{})
	m := message("task")
	first := put(t, e, m)
	in, err := e.InsertOne(t.Context(), m)
	if err != nil || !in.Existing || in.ID != first {
		t.Errorf("InsertOne of the same message again: %+v, %v, want the task that exists", in, err)
	}
}

// TestServe_ManyNames: lanes of names that nobody uses any more are dropped, and
// nothing is lost by it.
func TestServe_ManyNames(t *testing.T) {
	e := memory.New(memory.Config{})
	const n = 10_000
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("task.%05d", i)
	}
	var mu sync.Mutex
	seen := make(map[string]int)
	stop := serve(t, e, worker(4, func(_ context.Context, d *engine.Delivery) engine.Outcome {
		mu.Lock()
		seen[d.Message.Name]++
		mu.Unlock()
		return engine.Outcome{Kind: engine.OutcomeSucceed}
	}, names...))
	var last uuid.UUID
	for i, name := range names {
		last = put(t, e, message(name))
		put(t, e, message("unknown."+name))
		if i%1000 == 0 {
			put(t, e, message(name, func(m *engine.Message) { m.Queue = "other" }))
		}
	}
	if _, err := e.Wait(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if len(seen) != n {
		t.Errorf("%d names were run, want %d", len(seen), n)
	}
	entries := listAll(t, e, engine.Query{States: []engine.State{engine.StatePending}, Limit: 2 * n})
	if len(entries) != n+n/1000 {
		t.Errorf("%d tasks are pending, want the %d unknown ones and those of the other queue", len(entries), n)
	}
	for _, en := range entries {
		if en.Message.Queue == "q" && !strings.HasPrefix(en.Message.Name, "unknown.") {
			t.Errorf("task %s is still pending", en.Message.Name)
		}
	}
}
