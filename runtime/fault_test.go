package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

var errFault = errors.New("connection reset")

// faultyEngine is a memory engine of which one call fails: the nth of a method.
type faultyEngine struct {
	*memory.Engine
	method string
	nth    int

	mu    sync.Mutex
	calls map[string]int
	hit   bool

	saved sync.Map // of the id of a task to a channel, of one for each SaveMemo
}

func (e *faultyEngine) call(method string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls[method]++
	if method == e.method && e.calls[method] == e.nth {
		e.hit = true
		return errFault
	}
	return nil
}

func (e *faultyEngine) Insert(ctx context.Context, ms []*engine.Message) ([]engine.Inserted, error) {
	if err := e.call("Insert"); err != nil {
		return nil, err
	}
	return e.Engine.Insert(ctx, ms)
}

func (e *faultyEngine) InsertOne(ctx context.Context, m *engine.Message) (engine.Inserted, error) {
	if err := e.call("InsertOne"); err != nil {
		return engine.Inserted{}, err
	}
	return e.Engine.InsertOne(ctx, m)
}

func (e *faultyEngine) Get(ctx context.Context, id uuid.UUID) (*engine.Entry, error) {
	if err := e.call("Get"); err != nil {
		return nil, err
	}
	return e.Engine.Get(ctx, id)
}

func (e *faultyEngine) Wait(ctx context.Context, id uuid.UUID) (*engine.Entry, error) {
	if err := e.call("Wait"); err != nil {
		return nil, err
	}
	return e.Engine.Wait(ctx, id)
}

func (e *faultyEngine) List(ctx context.Context, q engine.Query) ([]*engine.Entry, string, error) {
	if err := e.call("List"); err != nil {
		return nil, "", err
	}
	return e.Engine.List(ctx, q)
}

func (e *faultyEngine) Cancel(ctx context.Context, id uuid.UUID, reason string) error {
	if err := e.call("Cancel"); err != nil {
		return err
	}
	return e.Engine.Cancel(ctx, id, reason)
}

func (e *faultyEngine) Retry(ctx context.Context, id uuid.UUID) error {
	if err := e.call("Retry"); err != nil {
		return err
	}
	return e.Engine.Retry(ctx, id)
}

func (e *faultyEngine) Delete(ctx context.Context, id uuid.UUID) error {
	if err := e.call("Delete"); err != nil {
		return err
	}
	return e.Engine.Delete(ctx, id)
}

func (e *faultyEngine) Counts(ctx context.Context) ([]engine.Count, error) {
	if err := e.call("Counts"); err != nil {
		return nil, err
	}
	return e.Engine.Counts(ctx)
}

func (e *faultyEngine) Serve(ctx context.Context, w *engine.Worker) error {
	if err := e.call("Serve"); err != nil {
		return err
	}
	own := *w
	own.RunInline = func(ctx context.Context, d *engine.Delivery, o *engine.Outcome) {
		d.Memo = faultyMemo{d.Memo, e, d.Message.Meta.ID}
		w.RunInline(ctx, d, o)
	}
	return e.Engine.Serve(ctx, &own)
}

type faultyMemo struct {
	engine.Memo
	e  *faultyEngine
	id uuid.UUID
}

func (e *faultyEngine) savedOf(id uuid.UUID) chan struct{} {
	c, _ := e.saved.LoadOrStore(id, make(chan struct{}, 100))
	return c.(chan struct{})
}

func (m faultyMemo) LoadMemo(ctx context.Context) (json.RawMessage, error) {
	if err := m.e.call("LoadMemo"); err != nil {
		return nil, err
	}
	return m.Memo.LoadMemo(ctx)
}

func (m faultyMemo) SaveMemo(ctx context.Context, memo json.RawMessage) error {
	defer func() { m.e.savedOf(m.id) <- struct{}{} }()
	if err := m.e.call("SaveMemo"); err != nil {
		return err
	}
	return m.Memo.SaveMemo(ctx, memo)
}

// Each call of the engine fails once, wherever it is made: whoever made it is
// told, or does without; no task is lost, stuck, or run again after success.
//
// Proves: RELIABILITY 4
func TestApp_EveryEngineCallFailsOnce(t *testing.T) {
	faults := 0
	for _, method := range []string{
		"Serve", "Insert", "InsertOne", "Get", "Wait", "List", "Cancel", "Retry", "Delete", "Counts", "LoadMemo", "SaveMemo",
	} {
		sites := 0
		for nth := 1; ; nth++ {
			e := &faultyEngine{Engine: newMemory(t), method: method, nth: nth, calls: make(map[string]int)}
			t.Run(fmt.Sprintf("%s/%d", method, nth), func(t *testing.T) { faultyWork(t, e) })
			if !e.hit { // there is no nth call
				break
			}
			if sites++; method == "Serve" && nth == 2 {
				break // the third start must go on
			}
		}
		if sites == 0 {
			t.Errorf("%s was never called", method)
		}
		faults += sites
	}
	t.Logf("%d calls failed, each once: nothing lost, nothing stuck, nothing run again after a success", faults)
}

// again repeats what an engine's fault made fail.
func again(t *testing.T, f func() error) {
	t.Helper()
	err := f()
	if errors.Is(err, errFault) {
		err = f()
	}
	if err != nil {
		t.Error(err)
	}
}

// faultyWork does with an app what it can do, each once or a few times.
func faultyWork(t *testing.T, e *faultyEngine) {
	const tasks = 6
	app := runtime.New(e, runtime.Config{Workers: 2, KeepLogs: 3, Logger: silent})
	var succeeded [tasks]atomic.Int32
	u := newUnit[int, int]("test.Fault", retries(2))
	u.handle(app, func(ctx *runtime.Context, i int) (int, error) {
		if i < 0 {
			return 0, errFlaky
		}
		ctx.Logger().Info("line")
		ctx.Progress(1, 2, "half")
		<-e.savedOf(ctx.Metadata().TaskID) // beside the task
		if _, err := ctx.Reload(); err != nil {
			return 0, err
		}
		if i%2 == 1 && ctx.Metadata().Attempt == 0 {
			return 0, errFlaky
		}
		succeeded[i].Add(1)
		return i, nil
	})
	ctx := context.Background()
	if err := app.Run(stopped(ctx)); err != nil && !errors.Is(err, errFault) {
		t.Error(err)
	}
	start(t, app)
	if e.method == "Serve" { // whoever runs the process starts it again
		if err := app.Stop(ctx); err != nil && !errors.Is(err, errFault) {
			t.Error(err)
		}
		start(t, app)
	}
	var handles []*runtime.Handle[int]
	for i := range tasks - 2 {
		again(t, func() error {
			h, err := u.call(i).Enqueue(ctx, app)
			if err == nil {
				handles = append(handles, h)
			}
			return err
		})
	}
	var b runtime.Batch
	handles = append(handles, runtime.AddTo(&b, u.call(tasks-2)), runtime.AddTo(&b, u.call(tasks-1)))
	again(t, func() error { return b.Enqueue(ctx, app) })
	for i, h := range handles {
		again(t, func() error {
			v, err := h.Wait(ctx)
			if err == nil && v != i {
				err = fmt.Errorf("task %d returned %d", i, v)
			}
			return err
		})
	}
	bad, waiting := u.call(-1), u.call(-2, runtime.WithDelay(1<<50))
	for _, c := range []runtime.Call[int]{bad, waiting} {
		var h *runtime.Handle[int]
		again(t, func() (err error) { h, err = c.Enqueue(ctx, app); return err })
		if h == nil {
			return
		}
		again(t, func() error { return app.Cancel(ctx, h.ID(), "") })
		again(t, func() error {
			var ended *runtime.TaskError
			if _, err := h.Wait(ctx); !errors.As(err, &ended) {
				return err
			}
			return nil
		})
		again(t, func() error { return app.Retry(ctx, h.ID()) })
		again(t, func() error { return app.Cancel(ctx, h.ID(), "enough") })
		again(t, func() error {
			if _, err := h.Wait(ctx); errors.Is(err, errFault) {
				return err
			}
			return nil // however it ended
		})
		again(t, func() error { return app.Delete(ctx, h.ID()) })
	}
	again(t, func() error {
		records, _, err := app.List(ctx, engine.Query{States: []engine.State{engine.StateSucceeded}})
		if err == nil && len(records) != tasks {
			err = fmt.Errorf("%d tasks succeeded, want %d", len(records), tasks)
		}
		return err
	})
	again(t, func() error {
		counts, err := app.Counts(ctx)
		if err == nil && (len(counts) != 1 || counts[0].Tasks != tasks) {
			err = fmt.Errorf("counts are %v, want %d tasks that succeeded", counts, tasks)
		}
		return err
	})
	if err := app.Stop(ctx); err != nil {
		t.Error(err)
	}
	for i := range succeeded {
		if n := succeeded[i].Load(); n != 1 {
			t.Errorf("task %d succeeded %d times", i, n)
		}
	}
}

// stopped returns a context that has ended, with which Run serves and stops at
// once.
func stopped(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}
