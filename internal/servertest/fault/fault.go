// Package fault makes each request of an engine fail once, while the engine does
// a small piece of work.
package fault

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
	"github.com/taskctx/taskctx/runtime/engine"
)

// every selects one request in so many to fail.
var every = flag.Int("faults", 7, "lose every so many of an engine's requests, one a run; 1 for all")

// Engine is an engine that can wait.
type Engine interface {
	engine.Engine
	engine.Waiter
}

// Each cuts the connection at each of the engine's requests in turn, once
// before the server has it and once before its answer comes back. Nothing may
// be lost, stay, or run more often than it must. Open opens an engine on a
// server's URL, with a lease of about half a second, and closes it at tb's
// end. No other call on the same storage may have the same name.
func Each(t *testing.T, url, name string, open func(tb testing.TB, url string) Engine) {
	t.Helper()
	direct := open(t, url)
	each(t, url, name, func(t *testing.T, url, queue string, cut func()) {
		w := &work{t: t, direct: direct, e: open(t, url), queue: queue}
		cut()
		w.run()
	})
}

// each calls do with the URL of a proxy to the server, the name of a queue,
// and cut, after which one of the requests is cut: another one each time,
// until there are no more.
func each(t *testing.T, url, name string, do func(t *testing.T, url, queue string, cut func())) {
	t.Helper()
	cuts, ran := 0, false
	for _, before := range []bool{true, false} {
		for n, cut := int64(1), true; cut && !t.Failed(); n += int64(*every) {
			cut = false // if -run leaves the subtest out
			t.Run(fmt.Sprintf("%s,request=%d,before=%v", name, n, before), func(t *testing.T) {
				ran = true
				p := servertest.NewProxy(t, url)
				do(t, p.URL, fmt.Sprintf("%s-%v-%d", name, before, n), func() { p.Cut(n, before) })
				cut = p.WasCut() // else the work takes fewer requests
			})
			if cut {
				cuts++
			}
		}
	}
	t.Logf("%s: %d requests were lost, one at a time; nothing else was", name, cuts)
	if ran && cuts < 10 && *every < 10 {
		t.Errorf("%s: only %d requests were lost", name, cuts)
	}
}

// work is a small piece of work, during which one request fails.
type work struct {
	t      testing.TB
	direct Engine // without faults
	e      engine.Engine
	queue  string

	mu   sync.Mutex
	ran  map[string]int // guarded by mu
	late int            // guarded by mu
}

func (w *work) run() {
	w.ran = make(map[string]int)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	worker := &engine.Worker{
		ID: uuid.NewString(), Slots: 2, Queues: []string{w.queue}, Names: []string{"fault.again", "fault.later", "fault.once"},
		ParkFor: time.Hour, Abandon: make(chan struct{}), Now: time.Now, RunInline: w.handle,
		Refused: func(d *engine.Delivery, o engine.Outcome) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.late++
			w.t.Logf("refused: %+v of %s attempt %d", o, d.Message.Name, d.Attempt)
		},
	}
	go func() { served <- w.e.Serve(ctx, worker) }()
	want := map[string]int{"fault.once": 1, "fault.again": 2, "fault.later": 1}
	var ids []uuid.UUID
	for _, name := range worker.Names {
		ids = append(ids, w.insert(name))
	}
	for _, id := range ids {
		wait, stop := context.WithTimeout(ctx, time.Minute)
		en, err := w.direct.Wait(wait, id)
		stop()
		if err != nil || en.State != engine.StateSucceeded {
			w.t.Errorf("a task ended as %+v, %v", en, err)
		}
	}
	cancel()
	if err := <-served; err != nil {
		w.t.Errorf("Serve: %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, n := range want {
		if w.ran[name] != n {
			w.t.Errorf("%s ran %d times, want %d", name, w.ran[name], n)
		}
	}
	if w.late > 0 {
		w.t.Errorf("%d outcomes were refused, although no other worker was there", w.late)
	}
}

// handle runs a task: one of them is retried once, and notes that in its memo.
func (w *work) handle(ctx context.Context, d *engine.Delivery, o *engine.Outcome) {
	w.mu.Lock()
	w.ran[d.Message.Name]++
	w.mu.Unlock()
	if d.Message.Name == "fault.again" && d.Attempt == 0 {
		for d.Memo.SaveMemo(ctx, json.RawMessage(`"noted"`)) != nil {
			time.Sleep(time.Millisecond)
		}
		*o = engine.Outcome{Kind: engine.OutcomeRetry, After: 10 * time.Millisecond, Reason: "again"}
		return
	}
	*o = engine.Outcome{Kind: engine.OutcomeSucceed, Result: d.Message.Args}
}

// insert enqueues a task until the engine says that it is stored: once, by its
// key.
func (w *work) insert(name string) uuid.UUID {
	m := &engine.Message{
		Name: name, Queue: w.queue, Args: json.RawMessage(`{"n":1}`), Keep: time.Hour, Key: w.queue + name, KeyFor: time.Hour,
		Meta: engine.Meta{Version: engine.WirePlain, EnqueuedAt: time.Now(), Retries: 3},
	}
	if name == "fault.later" {
		m.Due = time.Now().Add(30 * time.Millisecond)
	}
	for end := time.Now().Add(time.Minute); ; {
		in, err := w.e.Insert(context.Background(), []*engine.Message{m})
		if err == nil {
			return in[0].ID
		}
		if time.Now().After(end) {
			w.t.Fatalf("insert: %v", err)
		}
	}
}
