package memory_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

// TestInsert_KeysBounded: so are the keys held at a time.
func TestInsert_KeysBounded(t *testing.T) {
	e := memory.New(memory.Config{Keys: 3})
	for i := range 5 {
		m := message("task", func(m *engine.Message) { m.Key, m.KeyFor = fmt.Sprint(i), time.Hour })
		_, err := e.InsertOne(t.Context(), m)
		if full := errors.Is(err, engine.ErrQueueFull); full != (i >= 3) || err != nil && !full {
			t.Errorf("key %d of at most 3: error %v", i, err)
		}
	}
	// Nothing of a batch stays when its last key finds no room.
	before, _, err := e.List(t.Context(), engine.Query{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.Insert(t.Context(), []*engine.Message{
		message("a"), message("b", func(m *engine.Message) { m.Key, m.KeyFor = "more", time.Hour }),
	})
	if !errors.Is(err, engine.ErrQueueFull) {
		t.Errorf("Insert: %v, want ErrQueueFull", err)
	}
	after, _, err := e.List(t.Context(), engine.Query{})
	if err != nil || len(after) != len(before) {
		t.Errorf("List has %d entries, %v, want %d as before the batch", len(after), err, len(before))
	}
}

// TestInsert_WaitsForRoom: with Config.Wait inserts wait in the order of arrival.
func TestInsert_WaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memory.New(memory.Config{Capacity: 2, Wait: true})
		put(t, e, message("task"))
		put(t, e, message("task"))
		if _, err := e.Insert(t.Context(), []*engine.Message{message("a"), message("b"), message("c")}); !errors.Is(err, engine.ErrQueueFull) {
			t.Errorf("Insert of a batch larger than the capacity: %v, want ErrQueueFull", err)
		}
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				ms := []*engine.Message{message("task")}
				if i == 1 {
					ms = append(ms, message("task")) // needs all the room at once
				}
				if _, err := e.Insert(context.Background(), ms); err != nil {
					t.Errorf("Insert %d: %v", i, err)
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
			})
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := e.InsertOne(ctx, message("task")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("InsertOne whose context ends while it waits: %v", err)
		}
		if len(order) > 0 {
			t.Errorf("inserts %v went on although there was no room", order)
		}
		step := make(chan struct{})
		stop := serve(t, e, worker(1, func(context.Context, *engine.Delivery) engine.Outcome {
			<-step
			return engine.Outcome{Kind: engine.OutcomeSucceed}
		}, "task"))
		for done, want := range [][]int{{}, {0}, {0}, {0, 1}, {0, 1, 2}, {0, 1, 2, 3}} {
			synctest.Wait()
			if !slices.Equal(order, want) {
				t.Errorf("after %d tasks have ended, the inserts %v went on, want %v", done, order, want)
			}
			step <- struct{}{}
		}
		close(step)
		wg.Wait()
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// TestInsert_NoWaitInsideTask: a task that waited for room could wait for itself.
func TestInsert_NoWaitInsideTask(t *testing.T) {
	e := memory.New(memory.Config{Capacity: 1, Wait: true})
	app := runtime.New(e, runtime.Config{Workers: 1})
	task := glue.NewTask[struct{}, runtime.Void](wire.Spec{Name: "self", Func: "self"}, nil)
	call := func() runtime.Call[runtime.Void] { return task.Call(func(*wire.Fields) {}, nil) }
	inner := make(chan error, 1)
	glue.Register(app, task, func(ctx context.Context, _ *struct{}) (runtime.Void, error) {
		_, err := call().Enqueue(ctx, app)
		inner <- err
		return runtime.Void{}, nil
	})
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h, err := call().Enqueue(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-inner; !errors.Is(err, engine.ErrQueueFull) {
		t.Errorf("Enqueue inside a task into a full engine: %v, want ErrQueueFull", err)
	}
	if _, err := h.Wait(t.Context()); err != nil {
		t.Errorf("Wait: %v", err)
	}
	if err := app.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

// TestInsert_RoomOfHeldKeys: an insert that waited and then needed no room leaves it to
// the next one.
func TestInsert_RoomOfHeldKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memory.New(memory.Config{Capacity: 1, Wait: true})
		keyed := func(m *engine.Message) { m.Key, m.KeyHold, m.KeyFor = "k", engine.HoldTick, time.Hour }
		first := put(t, e, message("task", keyed))
		var wg sync.WaitGroup
		wg.Go(func() {
			in, err := e.InsertOne(context.Background(), message("task", keyed))
			if err != nil || !in.Existing {
				t.Errorf("InsertOne of a held key: %+v, %v", in, err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if _, err := e.InsertOne(context.Background(), message("task")); err != nil {
				t.Errorf("InsertOne: %v", err)
			}
		})
		synctest.Wait()
		if err := e.Cancel(t.Context(), first, ""); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
	})
}

// TestInsert_RoomOfFailedBatch: a batch that fails gives back the room it had taken,
// and no more, also when one of its tasks existed.
func TestInsert_RoomOfFailedBatch(t *testing.T) {
	keyed := func(key string) *engine.Message {
		return message("task", func(m *engine.Message) { m.Key, m.KeyFor = key, time.Hour })
	}
	e := memory.New(memory.Config{Capacity: 3, Keys: 1})
	put(t, e, keyed("held"))
	batch := []*engine.Message{keyed("held"), keyed("one too many")}
	if _, err := e.Insert(t.Context(), batch); !errors.Is(err, engine.ErrQueueFull) {
		t.Fatalf("Insert with a key too many: %v, want ErrQueueFull", err)
	}
	put(t, e, message("task"))
	put(t, e, message("task"))
	if _, err := e.InsertOne(t.Context(), message("task")); !errors.Is(err, engine.ErrQueueFull) {
		t.Errorf("InsertOne of a fourth task: %v, want ErrQueueFull", err)
	}
}

// TestInsert_FailedBatchReplacesNothing: the task that holds a key keeps its content
// and its time when a later message of the batch finds no room.
func TestInsert_FailedBatchReplacesNothing(t *testing.T) {
	due := time.Now().Add(time.Hour)
	keyed := func(key, args string, due time.Time) *engine.Message {
		return message("task", func(m *engine.Message) {
			m.Key, m.KeyHold, m.Replace, m.Args, m.Due = key, engine.HoldWaiting, true, []byte(args), due
		})
	}
	e := memory.New(memory.Config{Keys: 1})
	in, err := e.InsertOne(t.Context(), keyed("held", `{"n":1}`, due))
	if err != nil {
		t.Fatal(err)
	}
	batch := []*engine.Message{keyed("held", `{"n":2}`, time.Time{}), keyed("one too many", `{"n":3}`, time.Time{})}
	if _, err := e.Insert(t.Context(), batch); !errors.Is(err, engine.ErrQueueFull) {
		t.Fatalf("Insert with a key too many: %v, want ErrQueueFull", err)
	}
	en, err := e.Get(t.Context(), in.ID)
	if err != nil || string(en.Message.Args) != `{"n":1}` || !en.Due.Equal(due) {
		t.Errorf("the holder has %s, due %v, %v; want {\"n\":1}, due %v", en.Message.Args, en.Due, err, due)
	}
	if ins, err := e.Insert(t.Context(), batch[:1]); err != nil || !ins[0].Existing {
		t.Fatalf("Insert of the first alone: %+v, %v", ins, err)
	}
	if en, err = e.Get(t.Context(), in.ID); err != nil || string(en.Message.Args) != `{"n":2}` {
		t.Errorf("the holder has %s, %v; want {\"n\":2}", en.Message.Args, err)
	}
}
