//go:build unix

package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/sqlite"
	"github.com/taskctx/taskctx/runtime/wire"
)

// addArgs and addTask are what taskgen makes of func Add(ctx, a, b int) (int, error).
type addArgs struct{ a, b int }

func (x *addArgs) fields(f *wire.Fields) {
	f.JSON("a", &x.a)
	f.JSON("b", &x.b)
}

func newAddTask(name string) *glue.Task[addArgs, int] {
	return glue.NewTask[addArgs, int](wire.Spec{
		Name: name, Func: "Add", Retries: 2, Delay: wire.NoDelay,
		Params: []wire.Param{{Name: "a", Sig: "int"}, {Name: "b", Sig: "int"}},
	}, (*addArgs).fields)
}

func add(task *glue.Task[addArgs, int], a, b int, opts ...runtime.Option) runtime.Call[int] {
	x := addArgs{a, b}
	return task.Call(x.fields, opts)
}

// TestEngine_App runs tasks through an App, from the enqueue to the typed result.
func TestEngine_App(t *testing.T) {
	ctx := context.Background()
	e := open(t, filepath.Join(t.TempDir(), "tasks.db"))
	app := runtime.New(e, runtime.Config{Workers: 4, Logger: discard})
	task := newAddTask("math.Add")
	glue.Register(app, task, func(ctx *runtime.Context, x *addArgs) (int, error) {
		switch {
		case x.a < 0 && ctx.Metadata().Attempt < 2:
			return 0, errors.New("not yet")
		case x.b < 0:
			return 0, runtime.Permanent(errors.New("never\x00, and \xff"))
		}
		ctx.Progress(1, 2, "half")
		return x.a + x.b, nil
	})
	if err := app.Start(ctx); err != nil {
		t.Fatal(err)
	}
	stop := func() {
		if err := app.Stop(ctx); err != nil {
			t.Error(err)
		}
	}
	defer stop()
	var b runtime.Batch
	var handles []*runtime.Handle[int]
	for i := range 100 {
		handles = append(handles, runtime.AddTo(&b, add(task, i, 1, runtime.WithTag("plan", "pro"))))
	}
	if err := b.Enqueue(ctx, app); err != nil {
		t.Fatal(err)
	}
	for i, h := range handles {
		if v, err := h.Wait(ctx); err != nil || v != i+1 {
			t.Fatalf("%d + 1 = %d, %v", i, v, err)
		}
	}
	retried, err := add(task, -1, 3).Enqueue(ctx, app)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := retried.Wait(ctx); err != nil || v != 2 {
		t.Errorf("-1 + 3 = %d, %v, in the third attempt", v, err)
	}
	failed, err := add(task, 1, -3).Enqueue(ctx, app)
	if err != nil {
		t.Fatal(err)
	}
	var terr *runtime.TaskError
	if _, err := failed.Wait(ctx); !errors.As(err, &terr) || !strings.Contains(terr.Reason, "never") {
		t.Errorf("the failed task: %v", err)
	}
	r, err := handles[7].Record(ctx)
	if err != nil || r.State != engine.StateSucceeded {
		t.Errorf("record: %+v, %v", r, err)
	}
}

// TestServe_BadTasks: among a thousand tasks one of an unknown name, one that cannot
// be decoded and one of a future format do not keep the others, and are parked
// with the reason.
//
// Proves: RELIABILITY 9
func TestServe_BadTasks(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "tasks.db")
	e := open(t, path)
	app := runtime.New(e, runtime.Config{Workers: 4, Logger: discard})
	task := newAddTask("math.Add")
	glue.Register(app, task, func(_ *runtime.Context, x *addArgs) (int, error) { return x.a + x.b, nil })

	bad := map[string]*engine.Message{
		"unknown": message("math.Subtract"), "undecodable": message("math.Add"), "future": message("math.Add"),
		"nul": message("math.Add"),
	}
	bad["undecodable"].Args = []byte(`{"a":`)
	bad["nul"].Args = []byte("{\"a\":\x00}")
	bad["future"].Meta.Version = engine.WireVersion + 1
	for name, m := range bad {
		if _, err := e.InsertOne(ctx, m); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	var b runtime.Batch
	var handles []*runtime.Handle[int]
	for i := range 1000 {
		handles = append(handles, runtime.AddTo(&b, add(task, i, i)))
	}
	if err := b.Enqueue(ctx, app); err != nil {
		t.Fatal(err)
	}
	if err := app.Start(ctx); err != nil {
		t.Fatal(err)
	}
	for i, h := range handles {
		if v, err := h.Wait(ctx); err != nil || v != 2*i {
			t.Fatalf("%d + %d = %d, %v", i, i, v, err)
		}
	}
	for name, m := range bad {
		var entry *engine.Entry
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
			var err error
			if entry, err = e.Get(ctx, m.Meta.ID); err != nil {
				t.Fatal(err)
			}
			if entry.Reason != "" && entry.State != engine.StateRunning {
				break
			}
		}
		if entry.State.Final() || entry.Attempt != 0 || entry.Reason == "" {
			t.Errorf("%s: state %s, attempt %d, reason %q", name, entry.State, entry.Attempt, entry.Reason)
		}
		t.Logf("%s: %s: %s", name, entry.State, entry.Reason)
	}
	if err := app.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// TestStop_UnderLoad stops an app whose tasks ignore their context: it returns,
// names them, and loses none.
//
// Proves: RELIABILITY 6
func TestStop_UnderLoad(t *testing.T) {
	ctx := context.Background()
	e := open(t, filepath.Join(t.TempDir(), "tasks.db"))
	release := make(chan struct{})
	task := newAddTask("math.Add")
	newApp := func(stubborn bool, entered chan<- struct{}) *runtime.App {
		app := runtime.New(e, runtime.Config{
			Workers: 4, Logger: discard, ShutdownTimeout: 20 * time.Millisecond, ShutdownGrace: 2 * time.Second,
		})
		glue.Register(app, task, func(_ *runtime.Context, x *addArgs) (int, error) {
			if stubborn && x.a%25 == 24 {
				entered <- struct{}{}
				<-release
			}
			return x.a + x.b, nil
		})
		if err := app.Start(ctx); err != nil {
			t.Fatal(err)
		}
		return app
	}
	entered := make(chan struct{}, 4)
	app := newApp(true, entered)
	var b runtime.Batch
	var handles []*runtime.Handle[int]
	for i := range 500 {
		handles = append(handles, runtime.AddTo(&b, add(task, i, 0)))
	}
	if err := b.Enqueue(ctx, app); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		<-entered
	}
	var unfinished *engine.UnfinishedError
	if err := app.Stop(ctx); !errors.As(err, &unfinished) || len(unfinished.Tasks) != 4 {
		t.Errorf("Stop: %v, want 4 unfinished tasks", err)
	}
	app = newApp(false, nil)
	for i, h := range handles {
		if v, err := runtime.HandleOf[int](app, h.ID()).Wait(ctx); err != nil || v != i {
			t.Fatalf("%d + 0 = %d, %v", i, v, err)
		}
	}
	close(release)
	if err := app.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// TestServe_LogsNoTaskThatAnotherWorkerKnows: what a worker does not know is nothing
// to tell of then.
func TestServe_LogsNoTaskThatAnotherWorkerKnows(t *testing.T) {
	ctx := context.Background()
	var logs bytes.Buffer
	e, err := sqlite.Open(filepath.Join(t.TempDir(), "tasks.db"), sqlite.Config{Logger: slog.New(slog.NewTextHandler(&logs, nil))})
	if err != nil {
		t.Fatal(err)
	}
	known, unknown := newAddTask("math.Known"), newAddTask("math.Unknown")
	cfg := runtime.Config{ParkFor: 200 * time.Millisecond, Logger: discard}
	other, app := runtime.New(e, cfg), runtime.New(e, cfg)
	glue.Register(other, known, func(_ *runtime.Context, x *addArgs) (int, error) { return x.a + x.b, nil })
	glue.Register(app, newAddTask("math.Add"), func(*runtime.Context, *addArgs) (int, error) { return 0, nil })
	start := func(a *runtime.App) {
		if err := a.Start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	enqueue := func(task *glue.Task[addArgs, int]) *runtime.Handle[int] {
		h, err := add(task, 1, 1).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	start(other)
	if _, err := enqueue(known).Wait(ctx); err != nil { // then it has joined
		t.Fatal(err)
	}
	var hs []*runtime.Handle[int]
	for range 3 {
		hs = append(hs, enqueue(known), enqueue(unknown))
	}
	start(app)
	for i, h := range hs {
		if _, err := h.Wait(ctx); (err == nil) != (i%2 == 0) {
			t.Errorf("task %d: %v", i, err)
		}
	}
	for _, a := range []*runtime.App{other, app} {
		if err := a.Stop(ctx); err != nil {
			t.Error(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if text := logs.String(); !strings.Contains(text, "math.Unknown") || strings.Contains(text, "math.Known") {
		t.Errorf("want lines for the name that nobody knows alone:\n%s", text)
	}
}
