package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

// Proves: FEATURES 13, 23, 43
func TestMetadata(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[int, inspect.Metadata]("shop.Order", func(s *wire.Spec) {
		s.Func, s.Queue, s.Retries, s.Tags = "Order", "shop", 4, map[string]string{"team": "a"}
	})
	u.handle(app, func(ctx *runtime.Context, _ int) (inspect.Metadata, error) {
		m := ctx.Metadata()
		m.Name, m.Attempt = "mine", 99 // a copy
		if again := ctx.Metadata(); again.Name != "shop.Order" || again.Attempt != 0 {
			return m, fmt.Errorf("metadata became %+v", again)
		}
		return ctx.Metadata(), nil
	})
	start(t, app)
	before := time.Now()
	h, err := u.call(0, runtime.WithTag("plan", "pro")).Enqueue(context.Background(), app)
	if err != nil {
		t.Fatal(err)
	}
	m, err := h.Wait(context.Background()) // and it survives JSON
	if err != nil {
		t.Fatal(err)
	}
	if m.TaskID != h.ID() || m.Name != "shop.Order" || m.Func != "Order" || m.Queue != "shop" || m.Attempt != 0 ||
		m.MaxRetries != 4 || m.Tags.Get("plan") != "pro" || m.Tags.Get("team") != "a" || m.Tags.Len() != 2 ||
		m.RootID != h.ID() || m.ParentID != uuid.Nil || !m.Deadline.IsZero() {
		t.Errorf("metadata %+v", m)
	}
	if m.EnqueuedAt.Before(before.Add(-time.Second)) || m.EnqueuedAt.After(time.Now()) || m.EnqueuedAt.Location() != time.UTC {
		t.Errorf("enqueued at %v", m.EnqueuedAt)
	}
	if id := m.TaskID; id.Version() != 7 || id.Variant() != uuid.RFC4122 {
		t.Errorf("id %s is not a UUID of version 7", id)
	}
}

func TestHandle_IDsAreUniqueAndInOrder(t *testing.T) {
	app := runtime.New(newMemory(t), runtime.Config{})
	u := newUnit[int, int]("test.ID")
	seen := make(map[uuid.UUID]bool)
	var last string
	for range 5000 {
		m, err := app.Prepare(context.Background(), u.call(0))
		if err != nil {
			t.Fatal(err)
		}
		if seen[m.Meta.ID] {
			t.Fatalf("id %s twice", m.Meta.ID)
		}
		seen[m.Meta.ID] = true
		// The first 60 bits are the time, to a quarter of a microsecond.
		if now := m.Meta.ID.String()[:17]; now < last {
			t.Fatalf("%s comes after %s", now, last)
		} else {
			last = now
		}
	}
}

// A task that blocks its goroutine and one that waits for its context look the
// same from outside: both take a slot, and neither holds up the other.
//
// Proves: FEATURES 17
func TestRecord_BlockingAndWaitingTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{Workers: 2})
		var running atomic.Int32
		wait := map[string]func(ctx *runtime.Context) error{
			"blocks": func(*runtime.Context) error { time.Sleep(time.Minute); return nil },
			"waits":  func(ctx *runtime.Context) error { return ctx.Sleep(time.Minute) },
		}
		u := newUnit[string, int32]("test.Blocking")
		u.handle(app, func(ctx *runtime.Context, how string) (int32, error) {
			defer running.Add(-1)
			return running.Add(1), wait[how](ctx)
		})
		start(t, app)
		from := time.Now()
		var handles []*runtime.Handle[int32]
		for i := range 8 {
			h, err := u.call([]string{"blocks", "waits"}[i%2]).Enqueue(context.Background(), app)
			if err != nil {
				t.Fatal(err)
			}
			handles = append(handles, h)
		}
		for _, h := range handles {
			if n, err := h.Wait(context.Background()); err != nil || n > 2 {
				t.Errorf("%d at a time, %v", n, err)
			}
		}
		if took := time.Since(from); took != 4*time.Minute {
			t.Errorf("8 tasks of a minute on 2 workers took %s", took)
		}
	})
}

// Proves: FEATURES 48
func TestContext_OwnRecord(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[int, runtime.Void]("test.Own", retries(1))
	u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
		cached, err := ctx.Record()
		if err != nil || cached.State != engine.StateRunning || cached.ID != ctx.Metadata().TaskID {
			return runtime.Void{}, runtime.Permanent(fmt.Errorf("own record %+v, %w", cached, err))
		}
		if again, _ := ctx.Record(); again != cached {
			return runtime.Void{}, runtime.Permanent(errors.New("it was read again"))
		}
		fresh, err := ctx.Reload()
		if err != nil || fresh == cached || fresh.Attempt != ctx.Metadata().Attempt {
			return runtime.Void{}, runtime.Permanent(fmt.Errorf("reloaded %+v, %w", fresh, err))
		}
		if again, _ := ctx.Record(); again != fresh {
			return runtime.Void{}, runtime.Permanent(errors.New("what was reloaded is not what is cached"))
		}
		if ctx.Metadata().Attempt == 0 {
			return runtime.Void{}, errFlaky
		}
		if len(fresh.Errors) != 1 || fresh.Errors[0].Error != "flaky" {
			return runtime.Void{}, runtime.Permanent(fmt.Errorf("errors of the record: %+v", fresh.Errors))
		}
		return runtime.Void{}, nil
	})
	start(t, app)
	if _, err := await(t, app, u.call(0)); err != nil {
		t.Error(err)
	}
}

// Proves: FEATURES 19, 49
func TestApp_List(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 1})
	a, b := newUnit[int, int]("list.A"), newUnit[int, int]("list.B", func(s *wire.Spec) { s.Queue = "b" })
	for _, u := range []unitTask[int, int]{a, b} {
		u.handle(app, func(_ *runtime.Context, i int) (int, error) {
			switch i % 3 {
			case 1:
				return 0, errFlaky
			case 2:
				return 0, runtime.Cancelled("enough")
			}
			return i, nil
		})
	}
	start(t, app)
	ctx := context.Background()
	for i := range 12 {
		u := a
		if i%2 == 1 {
			u = b
		}
		_, _ = await(t, app, u.call(i, runtime.WithTag("n", fmt.Sprint(i)), runtime.WithTag("all", "")))
	}
	later, err := a.call(0, runtime.WithDelay(time.Hour)).Enqueue(ctx, app)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		q    engine.Query
		want string
	}{
		"all":       {engine.Query{}, "0 1 2 3 4 5 6 7 8 9 10 11 -"},
		"failed":    {engine.Query{States: []engine.State{engine.StateFailed}}, "1 4 7 10"},
		"not ended": {engine.Query{States: []engine.State{engine.StateScheduled, engine.StateRunning}}, "-"},
		"name":      {engine.Query{Name: "list.A", States: []engine.State{engine.StateSucceeded}}, "0 6"},
		"queue":     {engine.Query{Queue: "b"}, "1 3 5 7 9 11"},
		"tag":       {engine.Query{Tag: "all"}, "0 1 2 3 4 5 6 7 8 9 10 11"},
		"tag value": {engine.Query{Tag: "n", TagValue: "7"}, "7"},
		"nothing":   {engine.Query{Name: "list.A", Queue: "b"}, ""},
	} {
		for _, limit := range []int{0, 1, 5} { // in pages too
			q := test.q
			q.Limit = limit
			var got []string
			for {
				records, next, err := app.List(ctx, q)
				if err != nil {
					t.Fatal(err)
				}
				if limit > 0 && len(records) > limit {
					t.Errorf("%s: a page of %d, the limit is %d", name, len(records), limit)
				}
				for _, r := range records {
					n := r.Tags.Get("n")
					if n == "" {
						n = "-"
					}
					got = append(got, n)
					if byID, err := app.Lookup(ctx, r.ID); err != nil || !reflect.DeepEqual(byID, r) {
						t.Errorf("by its id the record is %+v, %v, in the list %+v", byID, err, r)
					}
				}
				if next == "" {
					break
				}
				q.Cursor = next
			}
			if s := strings.Join(got, " "); s != test.want {
				t.Errorf("%s in pages of %d: %s, want %s", name, limit, s, test.want)
			}
		}
	}
	if err := app.Delete(ctx, later.ID()); err != nil {
		t.Error(err)
	}
	if _, err := later.Record(ctx); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a deleted task: %v", err)
	}
}

// Proves: FEATURES 19
func TestApp_RetryOfAFailedTask(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[int, int]("test.ByHand", retries(1))
	var fixed atomic.Bool
	var attemptsSeen []int
	u.handle(app, func(ctx *runtime.Context, i int) (int, error) {
		attemptsSeen = append(attemptsSeen, ctx.Metadata().Attempt)
		if !fixed.Load() {
			return 0, errFlaky
		}
		return i, nil
	})
	start(t, app)
	ctx := context.Background()
	h, err := u.call(7).Enqueue(ctx, app)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // one more run each time, and no retries after it
		if _, err := h.Wait(ctx); err == nil {
			t.Fatal("it succeeded")
		}
		if err := app.Retry(ctx, h.ID()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Wait(ctx); err == nil {
		t.Fatal("it succeeded")
	}
	fixed.Store(true)
	if err := app.Retry(ctx, h.ID()); err != nil {
		t.Fatal(err)
	}
	if v, err := h.Wait(ctx); err != nil || v != 7 {
		t.Errorf("%d, %v", v, err)
	}
	if want := []int{0, 1, 1, 1, 1}; !slices.Equal(attemptsSeen, want) {
		t.Errorf("attempts %v, want %v", attemptsSeen, want)
	}
	if err := app.Retry(ctx, h.ID()); !errors.Is(err, engine.ErrState) {
		t.Errorf("Retry of a task that succeeded: %v", err)
	}
}

func TestApp_DeleteOfARunningTask(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	release := make(chan struct{})
	running := make(chan struct{})
	u := newUnit[int, int]("test.Running")
	u.handle(app, func(*runtime.Context, int) (int, error) { close(running); <-release; return 1, nil })
	start(t, app)
	h, err := u.call(0).Enqueue(context.Background(), app)
	if err != nil {
		t.Fatal(err)
	}
	<-running
	if err := app.Delete(context.Background(), h.ID()); !errors.Is(err, engine.ErrRunning) {
		t.Errorf("%v, want ErrRunning", err)
	}
	close(release)
	if _, err := h.Wait(context.Background()); err != nil {
		t.Error(err)
	}
}

// Proves: FEATURES 77
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{})
		u := newUnit[int, runtime.Void]("test.Progress")
		u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
			for i := range 100 {
				ctx.Progress(int64(i), 100, fmt.Sprint("step ", i))
				if err := ctx.Sleep(time.Second); err != nil {
					return runtime.Void{}, err
				}
			}
			ctx.Progress(100, 100, "bad \x00 \xff text")
			return runtime.Void{}, nil
		})
		start(t, app)
		ctx := context.Background()
		h, err := u.call(0).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(50*time.Second + time.Millisecond)
		rec, err := h.Record(ctx)
		if err != nil || rec.Progress == nil || rec.Progress.Done < 49 || rec.Progress.Total != 100 || !strings.HasPrefix(rec.Progress.Note, "step ") {
			t.Errorf("while it runs: %+v, %v", rec.Progress, err)
		}
		if _, err := h.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		rec, err = h.Record(ctx)
		if err != nil || rec.Progress == nil || rec.Progress.Done != 100 || strings.Contains(rec.Progress.Note, "\x00") {
			t.Errorf("at the end: %+v, %v", rec.Progress, err)
		}
		if _, err := json.Marshal(rec); err != nil {
			t.Error(err)
		}
	})
}

// What is kept with a task stays within its bounds, whatever the task does.
func TestRecord_IsBounded(t *testing.T) {
	huge := strings.Repeat("x\x00\xffé", 2_000)
	app := newUnitApp(t, runtime.Config{KeepLogs: 1000, Logger: silent})
	u := newUnit[int, runtime.Void]("test.Huge", retries(20))
	u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
		for range 20 {
			ctx.Logger().Info(huge, "k", huge)
		}
		ctx.Progress(1, 2, huge)
		if ctx.Metadata().Attempt%2 == 0 {
			panic(huge)
		}
		return runtime.Void{}, errors.New(huge)
	})
	start(t, app)
	h, err := u.call(0).Enqueue(context.Background(), app)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = h.Wait(context.Background())
	rec, err := h.Record(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := app.Engine().Get(context.Background(), h.ID())
	if err != nil || len(entry.Memo) > engine.MaxMemo {
		t.Errorf("memo of %d bytes, %v", len(entry.Memo), err)
	}
	if len(b) > 1<<20 || rec.LogsDropped+len(rec.Logs) != 21*20+20 || len(rec.Reason) > engine.MaxReason || len(rec.Errors) == 0 {
		t.Errorf("record of %d bytes, reason of %d, %d errors", len(b), len(rec.Reason), len(rec.Errors))
	}
	if strings.Contains(rec.Reason, "\x00") || rec.Attempt != 20 || rec.State != engine.StateFailed {
		t.Errorf("%s at attempt %d", rec.State, rec.Attempt)
	}
}

// The clock of an engine is set by an hour, forth and back, again and again,
// while tasks run: no task is taken from its worker, and all are done once.
//
// Proves: RELIABILITY 11
func TestRecord_ClockSteps(t *testing.T) {
	const tasks = 300
	var offset atomic.Int64
	engine := &steppedEngine{Engine: newMemory(t), offset: &offset}
	app := runtime.New(engine, runtime.Config{Workers: 4, Logger: silent})
	u := newUnit[int, runtime.Void]("test.Clock", retries(1))
	var runs [tasks]atomic.Int32
	u.handle(app, func(ctx *runtime.Context, i int) (runtime.Void, error) {
		runs[i].Add(1)
		offset.Store([]int64{int64(time.Hour), 0, -int64(time.Hour)}[i%3])
		for range 20 { // others run meanwhile
			time.Sleep(50 * time.Microsecond)
		}
		if ctx.Err() != nil {
			t.Errorf("task %d was stopped: %v", i, context.Cause(ctx))
		}
		return runtime.Void{}, nil
	})
	start(t, app)
	var handles []*runtime.Handle[runtime.Void]
	for i := range tasks {
		h, err := u.call(i, runtime.WithKeep(100*time.Hour)).Enqueue(context.Background(), app)
		if err != nil {
			t.Fatal(err)
		}
		handles = append(handles, h)
	}
	for i, h := range handles {
		if _, err := h.Wait(context.Background()); err != nil {
			t.Errorf("task %d: %v", i, err)
		}
	}
	if err := app.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	for i := range runs {
		if n := runs[i].Load(); n != 1 {
			t.Errorf("task %d ran %d times", i, n)
		}
	}
	if late := engine.refused.Load(); late != 0 {
		t.Errorf("%d outcomes were refused", late)
	}
	t.Logf("%d tasks while the clock stepped by an hour: each ran once, none was taken away", tasks)
}

// steppedEngine is a memory engine whose clock is off.
type steppedEngine struct {
	*memory.Engine
	offset  *atomic.Int64
	refused atomic.Int32
}

func (e *steppedEngine) Serve(ctx context.Context, w *engine.Worker) error {
	own := *w
	own.Now = func() time.Time { return w.Now().Round(0).Add(time.Duration(e.offset.Load())) }
	own.Refused = func(d *engine.Delivery, o engine.Outcome) { e.refused.Add(1); w.Refused(d, o) }
	return e.Engine.Serve(ctx, &own)
}
