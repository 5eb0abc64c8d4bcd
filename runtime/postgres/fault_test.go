package postgres_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/postgres"
)

// flagFaults is which requests fail: every so many.
var flagFaults = flag.Int("faults", 7, "lose every so many of an engine's requests, one a run; 1 for all")

// TestEachRequestFailsOnce cuts the connection at each of the engine's requests
// in turn, once before the server has it and once before its answer comes back.
// Nothing may be lost, stay, or run more often than it must.
func TestEachRequestFailsOnce(t *testing.T) {
	slow(t)
	url := servertest.Postgres(t)
	schema := newSchema(t, url)
	cfg := postgres.Config{Schema: schema, Lease: 500 * time.Millisecond, PollInterval: 50 * time.Millisecond}
	direct := open(t, url, cfg)
	runs, cuts := 0, 0
	for _, before := range []bool{true, false} {
		for n, cut := int64(1), true; cut && !t.Failed(); n += int64(*flagFaults) {
			t.Run(fmt.Sprintf("request=%d,before=%v", n, before), func(t *testing.T) {
				p := servertest.NewProxy(t, url)
				f := &fault{t: t, direct: direct, e: open(t, p.URL, cfg), queue: fmt.Sprintf("q%v%d", before, n)}
				p.Cut(n, before)
				f.run()
				cut = p.WasCut() // else the work takes fewer requests
			})
			runs++
			if cut {
				cuts++
			}
		}
	}
	t.Logf("%d requests were lost, one at a time; nothing else was", cuts)
	if cuts < 10 && *flagFaults < 10 {
		t.Errorf("only %d requests of %d runs were lost", cuts, runs)
	}
}

// fault is a small piece of work, during which one request fails.
type fault struct {
	t      *testing.T
	direct *postgres.Engine // without faults
	e      *postgres.Engine
	queue  string

	mu   sync.Mutex
	ran  map[string]int // guarded by mu
	late int            // guarded by mu
}

func (f *fault) run() {
	f.ran = make(map[string]int)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	w := &runtime.Worker{
		ID: uuid.NewString(), Slots: 2, Queues: []string{f.queue}, Names: []string{"fault.again", "fault.later", "fault.once"},
		ParkFor: time.Hour, Abandon: make(chan struct{}), Now: time.Now, RunInline: f.handle,
		Refused: func(d *runtime.Delivery, o runtime.Outcome) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.late++
			f.t.Logf("refused: %+v of %s attempt %d", o, d.Message.Name, d.Attempt)
		},
	}
	go func() { served <- f.e.Serve(ctx, w) }()
	want := map[string]int{"fault.once": 1, "fault.again": 2, "fault.later": 1}
	var ids []uuid.UUID
	for _, name := range w.Names {
		ids = append(ids, f.insert(name))
	}
	for _, id := range ids {
		wait, stop := context.WithTimeout(ctx, 20*time.Second)
		en, err := f.direct.Wait(wait, id)
		stop()
		if err != nil || en.State != runtime.StateSucceeded {
			f.t.Errorf("a task ended as %+v, %v", en, err)
		}
	}
	cancel()
	if err := <-served; err != nil {
		f.t.Errorf("Serve: %v", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, n := range want {
		if f.ran[name] != n {
			f.t.Errorf("%s ran %d times, want %d", name, f.ran[name], n)
		}
	}
	if f.late > 0 {
		f.t.Errorf("%d outcomes were refused, although no other worker was there", f.late)
	}
}

// handle runs a task: one of them is retried once, and notes that in its memo.
func (f *fault) handle(ctx context.Context, d *runtime.Delivery, o *runtime.Outcome) {
	f.mu.Lock()
	f.ran[d.Message.Name]++
	f.mu.Unlock()
	if d.Message.Name == "fault.again" && d.Attempt == 0 {
		for d.Memo.SaveMemo(ctx, json.RawMessage(`"noted"`)) != nil {
			time.Sleep(time.Millisecond)
		}
		*o = runtime.Outcome{Kind: runtime.OutcomeRetry, After: 10 * time.Millisecond, Reason: "again"}
		return
	}
	*o = runtime.Outcome{Kind: runtime.OutcomeSucceed, Result: d.Message.Args}
}

// insert enqueues a task until it is told that it is stored: once, by its key.
func (f *fault) insert(name string) uuid.UUID {
	m := &runtime.Message{
		Name: name, Queue: f.queue, Args: json.RawMessage(`{"n":1}`), Keep: time.Hour, Key: f.queue + name, KeyFor: time.Hour,
		Meta: runtime.Meta{Version: runtime.WireVersion, EnqueuedAt: time.Now(), Retries: 3},
	}
	if name == "fault.later" {
		m.Due = time.Now().Add(30 * time.Millisecond)
	}
	for end := time.Now().Add(20 * time.Second); ; {
		in, err := f.e.InsertOne(context.Background(), m)
		if err == nil {
			return in.ID
		}
		if time.Now().After(end) {
			f.t.Fatalf("insert: %v", err)
		}
	}
}
