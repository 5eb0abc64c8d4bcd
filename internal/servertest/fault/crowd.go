package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// The tasks of EachOfCrowd, and how many of them run at a time.
const (
	crowdTasks = 200
	crowdSlots = 50
)

// EachOfCrowd is Each for a worker with many slots, whose tasks end all at
// once: its steps write and claim many.
func EachOfCrowd(t *testing.T, url, name string, open func(tb testing.TB, url string) Engine) {
	t.Helper()
	direct := open(t, url)
	each(t, url, name, func(t *testing.T, url, queue string, cut func()) {
		w := &crowd{direct: direct, e: open(t, url), queue: queue, ran: make(map[uuid.UUID]int), gate: make(chan struct{})}
		ids := w.insert(t)
		cut()
		w.run(t, ids)
	})
}

// crowd is many tasks that one worker runs.
type crowd struct {
	direct Engine // without faults
	e      engine.Engine
	queue  string

	mu      sync.Mutex // guards all below
	ran     map[uuid.UUID]int
	begun   int
	running int
	gate    chan struct{} // closed when the running tasks may end
}

func (w *crowd) insert(t *testing.T) []uuid.UUID {
	ms := make([]*engine.Message, crowdTasks)
	for i := range ms {
		ms[i] = &engine.Message{
			Name: "fault.crowd", Queue: w.queue, Args: json.RawMessage(`{}`), Keep: time.Hour,
			Meta: engine.Meta{Version: engine.WirePlain, EnqueuedAt: time.Now(), Retries: 3},
		}
	}
	ins, err := w.direct.Insert(t.Context(), ms)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]uuid.UUID, len(ins))
	for i, in := range ins {
		ids[i] = in.ID
	}
	return ids
}

func (w *crowd) run(t *testing.T, ids []uuid.UUID) {
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- w.e.Serve(ctx, &engine.Worker{
			ID: uuid.NewString(), Slots: crowdSlots, Queues: []string{w.queue}, Names: []string{"fault.crowd"},
			ParkFor: time.Hour, Abandon: make(chan struct{}), Now: time.Now, RunInline: w.handle,
			Refused: func(d *engine.Delivery, o engine.Outcome) {
				t.Errorf("an outcome was refused, although no other worker was there: %+v of attempt %d", o, d.Attempt)
			},
		})
	}()
	wait, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	for _, id := range ids {
		if en, err := w.direct.Wait(wait, id); err != nil || en.State != engine.StateSucceeded {
			t.Fatalf("a task ended as %+v, %v", en, err)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		if w.ran[id] != 1 {
			t.Errorf("a task ran %d times, want once", w.ran[id])
		}
	}
}

// handle runs a task, which ends once all slots are taken or no more will be.
func (w *crowd) handle(_ context.Context, d *engine.Delivery, o *engine.Outcome) {
	w.mu.Lock()
	w.ran[d.Message.Meta.ID]++
	w.begun++
	w.running++
	gate := w.gate
	if w.running == crowdSlots || w.begun == crowdTasks {
		close(w.gate)
		w.gate, w.running = make(chan struct{}), 0
	}
	w.mu.Unlock()
	<-gate
	*o = engine.Outcome{Kind: engine.OutcomeSucceed}
	if d.Message.Meta.ID[15]%2 == 0 {
		o.Result = json.RawMessage(fmt.Sprint(d.Message.Meta.ID[15]))
	}
}
