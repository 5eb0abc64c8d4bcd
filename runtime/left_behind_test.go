package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/local"
)

// A goroutine that a task leaves behind goes on with the task's context while
// others run in its slot: it reads what is its task's, or is told that the task
// is over, and nothing that it writes is seen by another.
//
// Proves: FEATURES 74, RELIABILITY 20
func TestContext_LeftBehindByATask(t *testing.T) {
	const tasks, every = 1000, 50
	app := newUnitApp(t, runtime.Config{Workers: 2, KeepLogs: 2})
	u := newUnit[int, runtime.Void]("test.Left")
	var left sync.WaitGroup
	var mu sync.Mutex
	var wake []chan struct{} // one for each that was left behind
	u.handle(app, func(ctx *runtime.Context, i int) (runtime.Void, error) {
		if v, ok := leftLocal.Lookup(ctx); ok {
			return runtime.Void{}, fmt.Errorf("task %d begins with the local %q", i, v)
		}
		g := leftBehind{ctx, fmt.Sprint("mark-", i, "-")}
		if err := g.look(true); err != nil {
			return runtime.Void{}, err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, w := range wake { // while this task runs and ends
			select {
			case w <- struct{}{}:
			default:
			}
		}
		if i%every == 0 {
			w := make(chan struct{}, 1)
			w <- struct{}{}
			wake = append(wake, w)
			left.Go(func() {
				for range w {
					if err := g.look(false); err != nil {
						t.Errorf("left by task %d: %v", i, err)
					}
				}
			})
		}
		return runtime.Void{}, nil
	})
	start(t, app)
	ctx := context.Background()
	var handles []*runtime.Handle[runtime.Void]
	for i := range tasks {
		h, err := u.call(i, runtime.WithTag("mark", fmt.Sprint("mark-", i, "-"))).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		handles = append(handles, h)
	}
	for _, h := range handles {
		if _, err := h.Wait(ctx); err != nil {
			t.Error(err)
		}
	}
	for _, w := range wake {
		close(w)
	}
	left.Wait()
	for i, h := range handles {
		rec, err := h.Record(ctx)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(rec)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range strings.Split(string(b), "mark-")[1:] {
			if !strings.HasPrefix(text, fmt.Sprint(i, "-")) {
				t.Fatalf("the record of task %d shows mark-%.20s", i, text)
			}
		}
	}
}

var (
	leftLocal  = local.New[string]("mark")
	leftScoped = runtime.NewKey[string]("mark", runtime.PerTask, nil)
	leftWorker = runtime.NewKey[string]("worker", runtime.PerWorker, nil)
)

// leftBehind is a goroutine with the context and the mark of a task.
type leftBehind struct {
	ctx  *runtime.Context
	mark string
}

// look reads and writes all that is the task's. Once the task has ended there
// may be nothing but ErrTaskDone.
func (g leftBehind) look(first bool) error {
	over := g.ctx.Err() != nil
	deep := context.WithoutCancel(context.WithValue(g.ctx, ctxKey{}, "deep"))
	check := func(what, got string, err error) error {
		switch {
		case errors.Is(err, runtime.ErrTaskDone):
			return nil
		case err != nil || got != g.mark:
			return fmt.Errorf("%s is %q, %w; want %q", what, got, err, g.mark)
		case over:
			return fmt.Errorf("%s is there after the task", what)
		}
		return nil
	}
	err := check("what is set", g.mark, leftLocal.Set(deep, g.mark))
	local, lerr := leftLocal.Get(deep)
	scoped, serr := leftScoped.Provide(deep, func(context.Context) (string, func(error) error, error) {
		if !first {
			return "opened late", nil, nil
		}
		return g.mark, nil, nil
	})
	_, werr := runtime.Stored(deep, leftWorker, func(context.Context) (string, error) { return "", nil })
	c, _ := runtime.FromContext(deep)
	c.Progress(1, 2, g.mark)
	c.Logger().Info(g.mark)
	m := c.Metadata()
	if m.TaskID != g.ctx.Metadata().TaskID || m.Tags.Get("mark") != g.mark {
		err = errors.Join(err, fmt.Errorf("the metadata are of %+v", m))
	}
	return errors.Join(err, check("the local", local, lerr), check("the value of the task", scoped, serr),
		check("the worker's storage", g.mark, werr))
}

// While the cleanups of a task run, its own storage is over; the worker's is not.
//
// Proves: FEATURES 74
func TestStored_InACleanup(t *testing.T) {
	var opened bool
	var own, worker error
	_, err := runUnit(t, runtime.Config{}, func(ctx *runtime.Context) (int, error) {
		return runtime.NewKey[int]("tx", runtime.PerTask, nil).Provide(ctx,
			func(context.Context) (int, func(error) error, error) {
				return 1, func(error) error {
					_, own = leftScoped.Provide(ctx, func(context.Context) (string, func(error) error, error) {
						opened = true
						return "", nil, nil
					})
					_, worker = runtime.Stored(ctx, leftWorker, func(context.Context) (string, error) { return "", nil })
					return nil
				}, nil
			})
	})
	if err != nil || !errors.Is(own, runtime.ErrTaskDone) || opened || worker != nil {
		t.Errorf("%v; its own storage: %v, opened %t; the worker's: %v", err, own, opened, worker)
	}
}
