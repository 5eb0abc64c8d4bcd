package runtime_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

// versions are two versions of a task that differ in their parameters.
type pairArgs struct {
	a string
	b int
}

func (p *pairArgs) fields(f *wire.Fields) {
	f.String("a", &p.a)
	f.Int("b", &p.b)
}

type singleArgs struct{ a string }

func (p *singleArgs) fields(f *wire.Fields) { f.String("a", &p.a) }

func pairTask(change func(ps []wire.Param)) *glue.Task[pairArgs, string] {
	ps := []wire.Param{{Name: "a", Sig: "string"}, {Name: "b", Sig: "int"}}
	if change != nil {
		change(ps)
	}
	return glue.NewTask[pairArgs, string](wire.Spec{Name: "drift.Task", Func: "Task", Params: ps}, (*pairArgs).fields)
}

var singleTask = glue.NewTask[singleArgs, string](wire.Spec{
	Name: "drift.Task", Func: "Task", Params: []wire.Param{{Name: "a", Sig: "string"}},
}, (*singleArgs).fields)

func pairCall(t *glue.Task[pairArgs, string]) runtime.Call[string] {
	p := pairArgs{"x", 7}
	return t.Call(p.fields, nil)
}

func singleCall() runtime.Call[string] {
	p := singleArgs{"x"}
	return singleTask.Call(p.fields, nil)
}

// workerOf returns an app on the engine that knows the task of one version.
func workerOf[A any](engine engine.Engine, task *glue.Task[A, string]) *runtime.App {
	app := runtime.New(engine, runtime.Config{Logger: silent})
	glue.Register(app, task, func(_ context.Context, a *A) (string, error) { return fmt.Sprintf("%v", *a), nil })
	return app
}

// parked says whether the task waits to be tried again, and why.
func parked(t *testing.T, app *runtime.App, h *runtime.Handle[string]) (bool, string) {
	t.Helper()
	rec, err := runtime.HandleOf[string](app, h.ID()).Record(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return !rec.State.Final() && rec.Attempt == 0 && len(rec.Errors) == 0, rec.Reason
}

// Proves: FEATURES 20, 73
func TestPark_TaskOfAnotherVersion(t *testing.T) {
	retyped := pairTask(func(ps []wire.Param) { ps[1].Sig = "int64" })
	for name, test := range map[string]struct {
		call   runtime.Call[string]
		worker func(e engine.Engine) *runtime.App
		newer  func(e engine.Engine) *runtime.App
		want   string
		result string
	}{
		"parameter added": {
			singleCall(), func(e engine.Engine) *runtime.App { return workerOf(e, pairTask(nil)) },
			func(e engine.Engine) *runtime.App { return workerOf(e, singleTask) }, `without parameter "b"`, "{x}",
		},
		"parameter removed": {
			pairCall(pairTask(nil)), func(e engine.Engine) *runtime.App { return workerOf(e, singleTask) },
			func(e engine.Engine) *runtime.App { return workerOf(e, pairTask(nil)) }, `parameter "b"`, "{x 7}",
		},
		"type changed": {
			pairCall(retyped), func(e engine.Engine) *runtime.App { return workerOf(e, pairTask(nil)) },
			func(e engine.Engine) *runtime.App { return workerOf(e, retyped) }, `"b" of type int64, here int`, "{x 7}",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engine := memory.New(memory.Config{})
				old := test.worker(engine)
				start(t, old)
				h, err := test.call.Enqueue(context.Background(), old)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Minute) // it is tried a few times
				if ok, why := parked(t, old, h); !ok || !strings.Contains(why, test.want) {
					t.Errorf("parked %t, reason %q; want %q", ok, why, test.want)
				}
				if err := old.Stop(context.Background()); err != nil {
					t.Fatal(err)
				}
				app := test.newer(engine)
				start(t, app)
				got, err := runtime.HandleOf[string](app, h.ID()).Wait(context.Background())
				if err != nil || got != test.result {
					t.Errorf("the worker that knows it: %q, %v", got, err)
				}
				if err := app.Stop(context.Background()); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// Proves: FEATURES 73
func TestRun_CompatibleVersions(t *testing.T) {
	optional := pairTask(func(ps []wire.Param) { ps[1].Optional = true })
	renamed := glue.NewTask[pairArgs, string](wire.Spec{
		Name: "drift.Renamed", Aliases: []string{"drift.Task"}, Func: "Renamed",
		Params: []wire.Param{{Name: "b", Sig: "int"}, {Name: "a", Sig: "string"}}, // reordered too
	}, (*pairArgs).fields)
	for name, test := range map[string]struct {
		call   runtime.Call[string]
		worker func(e engine.Engine) *runtime.App
		want   string
	}{
		"optional parameter that is missing": {
			singleCall(), func(e engine.Engine) *runtime.App { return workerOf(e, optional) }, "{x 0}",
		},
		"old name, parameters in another order": {
			pairCall(pairTask(nil)), func(e engine.Engine) *runtime.App { return workerOf(e, renamed) }, "{x 7}",
		},
	} {
		t.Run(name, func(t *testing.T) {
			app := test.worker(newMemory(t))
			start(t, app)
			if got, err := await(t, app, test.call); err != nil || got != test.want {
				t.Errorf("%q, %v; want %q", got, err, test.want)
			}
			if err := app.Stop(context.Background()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Proves: FEATURES 73
func TestParkFor_FailsTheTaskAtLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := runtime.New(memory.New(memory.Config{}), runtime.Config{Logger: silent, ParkFor: time.Hour})
		glue.Register(app, pairTask(nil), func(context.Context, *pairArgs) (string, error) {
			t.Error("the parked task ran")
			return "", nil
		})
		start(t, app)
		from := time.Now()
		_, err := awaitLong(app, singleCall())
		if err == nil || !strings.Contains(err.Error(), "another version") {
			t.Errorf("Wait: %v", err)
		}
		if d := time.Since(from); d < time.Hour || d > 62*time.Minute {
			t.Errorf("failed after %s, want ParkFor", d)
		}
		if err := app.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

func awaitLong[R any](app *runtime.App, c runtime.Call[R]) (R, error) {
	h, err := c.Enqueue(context.Background(), app)
	if err != nil {
		var none R
		return none, err
	}
	return h.Wait(context.Background())
}

// badInserter changes messages as a broken or foreign producer would.
func badInserter(eng engine.Engine, change func(m *engine.Message)) engine.Inserter {
	return inserterFunc(func(ctx context.Context, ms []*engine.Message) ([]engine.Inserted, error) {
		for _, m := range ms {
			change(m)
		}
		return eng.Insert(ctx, ms)
	})
}

type inserterFunc func(ctx context.Context, ms []*engine.Message) ([]engine.Inserted, error)

func (f inserterFunc) Insert(ctx context.Context, ms []*engine.Message) ([]engine.Inserted, error) {
	return f(ctx, ms)
}

// Proves: RELIABILITY 9
func TestRun_OneBadTaskAmongAThousand(t *testing.T) {
	for name, test := range map[string]struct {
		change func(m *engine.Message)
		want   string
	}{
		"undecodable":     {func(m *engine.Message) { m.Args = json.RawMessage(`{"v":`) }, "not valid JSON"},
		"wrong type":      {func(m *engine.Message) { m.Args = json.RawMessage(`{"v":"seven"}`) }, `"v"`},
		"NUL byte":        {func(m *engine.Message) { m.Args = json.RawMessage("{\"v\":7}\x00") }, "arguments"},
		"unknown name":    {func(m *engine.Message) { m.Name = "test.Unknown" }, "test.Unknown"},
		"future version":  {func(m *engine.Message) { m.Meta.Version = engine.WireVersion + 1 }, "format"},
		"other signature": {func(m *engine.Message) { m.Meta.Signature = "v:U" }, "of type U"},
		"no arguments":    {func(m *engine.Message) { m.Args = nil }, "missing"},
		"a list":          {func(m *engine.Message) { m.Args = json.RawMessage(`[7]`) }, "object"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const tasks = 1000
				engine := memory.New(memory.Config{})
				app := runtime.New(engine, runtime.Config{Workers: 8, ParkFor: time.Hour, Logger: silent})
				u := newUnit[int, int]("test.Thousand")
				u.handle(app, func(_ *runtime.Context, i int) (int, error) { return i, nil })
				start(t, app)
				ctx := context.Background()
				bad := app.Via(badInserter(engine, test.change))
				var handles []*runtime.Handle[int]
				for i := range tasks {
					q := runtime.Enqueuer(app)
					if i == tasks/2 {
						q = bad
					}
					h, err := u.call(i).Enqueue(ctx, q)
					if err != nil {
						t.Fatal(err)
					}
					handles = append(handles, h)
				}
				done := 0
				for i, h := range handles {
					if i != tasks/2 {
						if got, err := h.Wait(ctx); err != nil || got != i {
							t.Fatalf("task %d: %d, %v", i, got, err)
						}
						done++
					}
				}
				synctest.Wait()
				rec, err := handles[tasks/2].Record(ctx)
				if err != nil || rec.State.Final() || rec.Attempt != 0 {
					t.Errorf("the bad one: %+v, %v; want it parked", rec, err)
				} else if !strings.Contains(rec.Reason, test.want) {
					t.Errorf("the bad one is parked with the reason %q, want %q", rec.Reason, test.want)
				}
				if _, err := handles[tasks/2].Wait(ctx); err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("the bad one, after ParkFor: %v; want %q", err, test.want)
				}
				if err := app.Stop(ctx); err != nil {
					t.Fatal(err)
				}
				t.Logf("%d of %d finished, one was parked and then failed with its reason", done, tasks)
			})
		})
	}
}

// A producer in another language sends a name and arguments, nothing more.
func TestRun_TaskOfAForeignProducer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eng := memory.New(memory.Config{})
		app := runtime.New(eng, runtime.Config{Logger: silent})
		u := newUnit[int, int]("test.Foreign", retries(2), func(s *wire.Spec) { s.Timeout = time.Minute })
		var metas []inspect.Metadata
		u.handle(app, func(ctx *runtime.Context, i int) (int, error) {
			metas = append(metas, ctx.Metadata())
			if len(metas) < 3 {
				<-ctx.Done() // the timeout of the registration
				return 0, ctx.Err()
			}
			return i, nil
		})
		start(t, app)
		ctx := context.Background()
		ins, err := eng.Insert(ctx, []*engine.Message{{
			Name: "test.Foreign", Queue: engine.DefaultQueue, Args: json.RawMessage(` { "v" : 42 } `),
		}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := runtime.HandleOf[int](app, ins[0].ID).Wait(ctx)
		if err != nil || got != 42 {
			t.Errorf("%d, %v", got, err)
		}
		for i, m := range metas {
			if m.TaskID != ins[0].ID || m.RootID != ins[0].ID || m.Attempt != i || m.MaxRetries != 2 || m.Tags.Len() != 0 {
				t.Errorf("run %d: %+v", i, m)
			}
		}
		if err := app.Stop(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

// What a foreign producer sends beside the parameters is passed over: it may be
// for others, or of a later version of it. What is ours is as strict as ever.
func TestRun_ForeignMessageWithKeysOfNobody(t *testing.T) {
	type point struct{ X, Y int }
	synctest.Test(t, func(t *testing.T) {
		eng := memory.New(memory.Config{})
		app := runtime.New(eng, runtime.Config{Logger: silent, ParkFor: time.Minute})
		u := newUnit[point, int]("test.Foreign")
		u.handle(app, func(_ *runtime.Context, p point) (int, error) { return p.X + p.Y, nil })
		start(t, app)
		for _, c := range []struct{ sig, args, want string }{
			{"", `{"trace": {"id": 1}, "v": {"X": 40, "Z": [], "Y": 2}, "user": null}`, ""},
			{"", `{"v": {"X": 40, "y": 2}}`, "only in case"},
			{"", `{"V": {"X": 40, "Y": 2}}`, "unknown parameter"},
			{"v:T", `{"trace": 1, "v": {"X": 40, "Y": 2}}`, "unknown parameter"},
			{"v:T", `{"v": {"X": 40, "Z": [], "Y": 2}}`, "no field has"},
		} {
			ins, err := eng.Insert(t.Context(), []*engine.Message{{
				Name: "test.Foreign", Queue: engine.DefaultQueue, Args: json.RawMessage(c.args),
				Meta: engine.Meta{Version: engine.WireVersion, Signature: c.sig},
			}})
			require.NoError(t, err)
			got, err := runtime.HandleOf[int](app, ins[0].ID).Wait(t.Context())
			if c.want != "" {
				require.ErrorContains(t, err, c.want, c.args)
				continue
			}
			require.NoError(t, err, c.args)
			assert.Equal(t, 42, got)
		}
		require.NoError(t, app.Stop(context.Background()))
	})
}

// TestRegister_WithoutParams: a task that is described by hand, without its
// parameters, reads what it lists, of an app's messages and of foreign ones.
func TestRegister_WithoutParams(t *testing.T) {
	app := runtime.New(newMemory(t, memory.Config{}), runtime.Config{Logger: silent})
	task := glue.NewTask[pairArgs, string](wire.Spec{Name: "drift.Plain"}, (*pairArgs).fields)
	glue.Register(app, task, func(_ context.Context, a *pairArgs) (string, error) { return fmt.Sprint(*a), nil })
	start(t, app)
	p := pairArgs{"x", 7}
	h, err := task.Call(p.fields, nil).Enqueue(t.Context(), app)
	require.NoError(t, err)
	got, err := h.Wait(t.Context())
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprint(p), got)
	ins, err := app.Engine().Insert(t.Context(), []*engine.Message{{
		Name: "drift.Plain", Queue: "default", Args: task.Call(p.fields, nil).AnyCall.Args(),
	}})
	require.NoError(t, err)
	got, err = runtime.HandleOf[string](app, ins[0].ID).Wait(t.Context())
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprint(p), got)
}
