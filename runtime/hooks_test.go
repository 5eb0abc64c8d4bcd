package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/local"
	"github.com/taskctx/taskctx/runtime/wire"
)

// trap is a hook's way to go wrong, while it is armed.
type trap struct {
	armed atomic.Bool
	crash func()
	hit   atomic.Int32
}

func (tr *trap) spring() {
	if tr.armed.Load() {
		tr.hit.Add(1)
		tr.crash()
	}
}

var crashes = map[string]func(){
	"panic":     func() { panic("boom") },
	"panic nil": func() { panic(nil) }, //nolint:govet // what happens then is the test
	"nil":       func() { var m map[string]int; m["x"] = 1 },
	"goexit":    goexit,
	"error":     func() { panic(rudeError{}) },
}

// rudeError is an error none of whose methods work.
type rudeError struct{}

func (rudeError) Error() string   { panic("Error panicked") }
func (rudeError) Is(error) bool   { panic("Is panicked") }
func (rudeError) As(any) bool     { panic("As panicked") }
func (rudeError) Unwrap() []error { panic("Unwrap panicked") }

// badHook is a hook of a user's that goes wrong in the task test.Bad.
type badHook struct {
	name string
	cfg  func(tr *trap, cfg *runtime.Config)
	ctx  func(tr *trap, ctx *runtime.Context) error // builds the task's context
	task func(tr *trap, ctx *runtime.Context) error
	// harmless: the task does not depend on the hook and succeeds.
	harmless bool
	// stop: the hook goes wrong when the app stops.
	stop bool
	// async: the hook is called some time, and before Stop returns.
	async bool
}

func (tr *trap) keep(ctx context.Context, k *runtime.Key[int]) error {
	_, err := runtime.Stored(ctx, k, func(context.Context) (int, error) { tr.spring(); return 1, nil })
	return err
}

func (tr *trap) closer(scope runtime.Scope) *runtime.Key[int] {
	return runtime.NewKey("closer", scope, func(int) error { tr.spring(); return nil })
}

func badHooks() []badHook {
	workerKey := runtime.NewKey[int]("worker", runtime.PerWorker, nil)
	processKey := runtime.NewKey[int]("process", runtime.PerProcess, nil)
	taskKey := runtime.NewKey[int]("task", runtime.PerTask, nil)
	taskScope := func(tr *trap, ctx *runtime.Context, open, done bool) error {
		_, err := taskKey.Provide(ctx, func(context.Context) (int, func(error) error, error) {
			if open {
				tr.spring()
			}
			return 1, func(error) error {
				if done {
					tr.spring()
				}
				return nil
			}, nil
		})
		return err
	}
	return []badHook{
		{name: "task", task: func(tr *trap, _ *runtime.Context) error { tr.spring(); return nil }},
		{name: "context", ctx: func(tr *trap, _ *runtime.Context) error { tr.spring(); return nil }},
		{name: "worker provider", ctx: func(tr *trap, ctx *runtime.Context) error { return tr.keep(ctx, workerKey) }},
		{name: "process provider", task: func(tr *trap, ctx *runtime.Context) error { return tr.keep(ctx, processKey) }},
		{name: "task provider", task: func(tr *trap, ctx *runtime.Context) error { return taskScope(tr, ctx, true, false) }},
		{name: "task cleanup", task: func(tr *trap, ctx *runtime.Context) error { return taskScope(tr, ctx, false, true) }},
		{name: "task cleanup after a panic", task: func(tr *trap, ctx *runtime.Context) error {
			if err := taskScope(tr, ctx, false, true); err != nil || !tr.armed.Load() {
				return err
			}
			panic("task")
		}},
		{name: "close of the worker", stop: true, harmless: true, task: func(tr *trap, ctx *runtime.Context) error {
			return (&trap{}).keep(ctx, tr.closer(runtime.PerWorker))
		}},
		{name: "close of the process", stop: true, harmless: true, task: func(tr *trap, ctx *runtime.Context) error {
			return (&trap{}).keep(ctx, tr.closer(runtime.PerProcess))
		}},
		{name: "close of a broken slot", task: func(tr *trap, ctx *runtime.Context) error {
			err := (&trap{}).keep(ctx, tr.closer(runtime.PerWorker))
			if tr.armed.Load() {
				panic("task")
			}
			return err
		}},
		{name: "middleware before", cfg: func(tr *trap, cfg *runtime.Config) {
			cfg.Middleware = []runtime.Middleware{func(next runtime.Handler) runtime.Handler {
				return func(ctx *runtime.Context) error { tr.spring(); return next(ctx) }
			}}
		}},
		{name: "middleware after", cfg: func(tr *trap, cfg *runtime.Config) {
			cfg.Middleware = []runtime.Middleware{func(next runtime.Handler) runtime.Handler {
				return func(ctx *runtime.Context) error {
					err := next(ctx)
					tr.spring()
					return err
				}
			}}
		}},
		{name: "codec", cfg: func(tr *trap, cfg *runtime.Config) { cfg.Codec = trapCodec{tr} }},
		{name: "propagator", cfg: func(tr *trap, cfg *runtime.Config) {
			cfg.Propagators = []hook.Propagator{trapPropagator{tr}}
		}},
		{name: "observer", harmless: true, async: true, cfg: func(tr *trap, cfg *runtime.Config) {
			cfg.Observers = []hook.Observer{hook.ObserverFunc(func(hook.Event) { tr.spring() })}
		}},
		{name: "logger", cfg: func(tr *trap, cfg *runtime.Config) { cfg.Logger = slog.New(trapHandler{silent.Handler(), tr}) },
			task: func(_ *trap, ctx *runtime.Context) error { ctx.Logger().Info("line"); return nil }},
		{name: "logger of the app", cfg: func(tr *trap, cfg *runtime.Config) { cfg.Logger = slog.New(trapHandler{silent.Handler(), tr}) },
			task: func(tr *trap, _ *runtime.Context) error {
				if tr.armed.Load() {
					return errFlaky // the app logs that
				}
				return nil
			}},
		{name: "trigger hook", cfg: func(tr *trap, cfg *runtime.Config) {
			cfg.OnTrigger = []runtime.TriggerHook{func(*runtime.Context, *runtime.TriggerError) (any, bool, error) {
				tr.spring()
				return nil, true, nil
			}}
		}, task: func(*trap, *runtime.Context) error { return runtime.Trigger() }},
		{name: "result of a trigger hook", cfg: func(tr *trap, cfg *runtime.Config) {
			cfg.OnTrigger = []runtime.TriggerHook{func(*runtime.Context, *runtime.TriggerError) (any, bool, error) {
				return trapJSON{tr}, true, nil
			}}
		}, task: func(*trap, *runtime.Context) error { return runtime.Trigger() }},
		{name: "error", task: func(tr *trap, _ *runtime.Context) error {
			if tr.armed.Load() {
				return trapError{tr}
			}
			return nil
		}},
		{name: "error of the context", ctx: func(tr *trap, _ *runtime.Context) error {
			if tr.armed.Load() {
				return trapError{tr}
			}
			return nil
		}},
		{name: "value of a panic", task: func(tr *trap, _ *runtime.Context) error {
			if tr.armed.Load() {
				panic(trapError{tr})
			}
			return nil
		}},
		{name: "child", task: func(tr *trap, ctx *runtime.Context) error {
			local.Go(ctx, local.Copy, func(context.Context) error { tr.spring(); return nil })
			return nil
		}},
	}
}

type trapCodec struct{ tr *trap }

func (c trapCodec) Encode(_ hook.Binding, args json.RawMessage) (json.RawMessage, error) {
	return args, nil
}

func (c trapCodec) Decode(_ hook.Binding, args json.RawMessage) (json.RawMessage, error) {
	c.tr.spring()
	return args, nil
}

type trapPropagator struct{ tr *trap }

func (p trapPropagator) Inject(context.Context, map[string]string) {}

func (p trapPropagator) Extract(ctx context.Context, _ map[string]string) context.Context {
	p.tr.spring()
	return ctx
}

type trapHandler struct {
	slog.Handler
	tr *trap
}

func (h trapHandler) Handle(context.Context, slog.Record) error { h.tr.spring(); return nil }
func (h trapHandler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h trapHandler) Enabled(context.Context, slog.Level) bool  { return true }

type trapJSON struct{ tr *trap }

func (j trapJSON) MarshalJSON() ([]byte, error) { j.tr.spring(); return []byte("null"), nil }

type trapError struct{ tr *trap }

func (e trapError) Error() string { e.tr.spring(); return "trap" }

// Proves: FEATURES 34, RELIABILITY 5
func TestHooks_ThatCrash(t *testing.T) {
	ran := 0
	for _, hook := range badHooks() {
		for name, crash := range crashes {
			t.Run(hook.name+"/"+name, func(t *testing.T) {
				ran++
				testBadHook(t, hook, crash)
			})
		}
	}
	t.Logf("%d hooks that crashed, no task lost and no slot", ran)
}

// hookContext is a context type whose constructor may be a bad hook.
type hookContext struct{ *runtime.Context }

func testBadHook(t *testing.T, hook badHook, crash func()) {
	tr := &trap{crash: crash}
	cfg := runtime.Config{Workers: 1, Logger: silent}
	if hook.cfg != nil {
		hook.cfg(tr, &cfg)
	}
	app := runtime.New(newMemory(t), cfg)
	glue.RegisterContext(app, func(ctx *runtime.Context) (*hookContext, error) {
		if hook.ctx != nil {
			if err := hook.ctx(tr, ctx); err != nil {
				return nil, err
			}
		}
		return &hookContext{ctx}, nil
	})
	// A parameter to redact makes the app read the arguments once more.
	u := newUnit[int, runtime.Void]("test.Bad", func(s *wire.Spec) { s.Params[0].Redact = true })
	glue.Register(app, u.task, func(ctx *hookContext, _ *unit[int]) (runtime.Void, error) {
		if hook.task != nil {
			return runtime.Void{}, hook.task(tr, ctx.Context)
		}
		return runtime.Void{}, nil
	})
	start(t, app)
	ctx := context.Background()
	tr.armed.Store(!hook.stop)
	h, err := u.call(7777777).Enqueue(ctx, app)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Wait(ctx)
	rec, rerr := h.Record(ctx)
	if rerr != nil {
		t.Fatal(rerr)
	}
	if hook.harmless && err != nil {
		t.Errorf("the task ended with %v, want success", err)
	}
	if !hook.harmless && (rec.State != engine.StateFailed || rec.Reason == "" || len(rec.Errors) == 0) {
		t.Errorf("the task is %s with reason %q and %d errors, want it failed, and its error kept",
			rec.State, rec.Reason, len(rec.Errors))
	}
	tr.armed.Store(hook.async)
	if _, err := await(t, app, u.call(1)); err != nil {
		t.Errorf("the next task on the slot: %v", err)
	}
	tr.armed.Store(hook.stop || hook.async)
	err = app.Stop(ctx)
	if hook.stop && err == nil {
		t.Error("Stop does not tell of the close that failed")
	}
	if !hook.stop && err != nil {
		t.Errorf("Stop: %v", err)
	}
	if tr.hit.Load() == 0 {
		t.Error("the hook was not called: the test tests nothing")
	}
}

var errEnded = errors.New("the caller's goroutine ended")

// Proves: RELIABILITY 5
func TestHooks_OfTheEnqueuerThatCrash(t *testing.T) {
	hooks := map[string]func(tr *trap, cfg *runtime.Config){
		"codec":      func(tr *trap, cfg *runtime.Config) { cfg.Codec = trapEncoder{tr} },
		"propagator": func(tr *trap, cfg *runtime.Config) { cfg.Propagators = []hook.Propagator{trapInjector{tr}} },
		"middleware": func(tr *trap, cfg *runtime.Config) {
			cfg.EnqueueMiddleware = []runtime.EnqueueMiddleware{func(next runtime.EnqueueHandler) runtime.EnqueueHandler {
				return func(ctx context.Context, calls []runtime.AnyCall) ([]engine.Inserted, error) {
					tr.spring()
					return next(ctx, calls)
				}
			}}
		},
	}
	for hookName, hook := range hooks {
		for name, crash := range crashes {
			t.Run(hookName+"/"+name, func(t *testing.T) {
				tr := &trap{crash: crash}
				tr.armed.Store(true)
				cfg := runtime.Config{}
				hook(tr, &cfg)
				app := newUnitApp(t, cfg)
				u := newUnit[int, runtime.Void]("test.Enqueue")
				u.handle(app, func(*runtime.Context, int) (runtime.Void, error) { return runtime.Void{}, nil })
				start(t, app)
				var b runtime.Batch
				runtime.AddTo(&b, u.call(1))
				runtime.AddTo(&b, u.call(2))
				for what, enqueue := range map[string]func() error{
					"Enqueue": func() error { _, err := u.call(1).Enqueue(context.Background(), app); return err },
					"Batch":   func() error { return b.Enqueue(context.Background(), app) },
					"Prepare": func() error {
						if hookName == "middleware" { // it is not called
							return errFlaky
						}
						_, err := app.Prepare(context.Background(), u.call(1))
						return err
					},
				} {
					failed := make(chan error, 1)
					go func() {
						err := errEnded
						defer func() { failed <- err }()
						err = enqueue()
					}()
					if err := <-failed; err == nil || err == errEnded {
						t.Errorf("%s: %v", what, err)
					}
				}
				records, _, err := app.List(context.Background(), engine.Query{})
				if err != nil || len(records) != 0 {
					t.Errorf("%d tasks are stored, %v", len(records), err)
				}
				tr.armed.Store(false)
				if _, err := await(t, app, u.call(1)); err != nil {
					t.Errorf("the next call: %v", err)
				}
			})
		}
	}
}

type trapEncoder struct{ tr *trap }

func (c trapEncoder) Encode(_ hook.Binding, args json.RawMessage) (json.RawMessage, error) {
	c.tr.spring()
	return args, nil
}

func (c trapEncoder) Decode(_ hook.Binding, args json.RawMessage) (json.RawMessage, error) {
	return args, nil
}

type trapInjector struct{ tr *trap }

func (p trapInjector) Inject(context.Context, map[string]string) { p.tr.spring() }

func (p trapInjector) Extract(ctx context.Context, _ map[string]string) context.Context { return ctx }

// Proves: RELIABILITY 5
func TestPanicError_IsOnTheRecordWithItsStack(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[int, runtime.Void]("test.Panic")
	u.handle(app, func(*runtime.Context, int) (runtime.Void, error) { return explode() })
	start(t, app)
	h, err := u.call(1).Enqueue(context.Background(), app)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Wait(context.Background()); err == nil || !strings.Contains(err.Error(), "panic: the boiler") {
		t.Errorf("Wait: %v", err)
	}
	rec, err := h.Record(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(rec.Errors) != 1 || !strings.Contains(rec.Errors[0].Stack, "explode") {
		t.Errorf("errors %+v: want one with the stack", rec.Errors)
	}
}

func explode() (runtime.Void, error) { panic("the boiler") }

// A hook that is nil is said at the start, or is as if it were not there.
//
// Proves: RELIABILITY 5
func TestHooks_Nil(t *testing.T) {
	for name, cfg := range map[string]runtime.Config{
		"Config.Middleware[0]":        {Middleware: []runtime.Middleware{nil}},
		"Config.EnqueueMiddleware[0]": {EnqueueMiddleware: []runtime.EnqueueMiddleware{nil}},
		"Config.Observers[0]":         {Observers: []hook.Observer{nil}},
		"Config.Propagators[0]":       {Propagators: []hook.Propagator{nil}},
		"returned nil": {Middleware: []runtime.Middleware{
			func(runtime.Handler) runtime.Handler { return nil },
		}},
	} {
		t.Run(name, func(t *testing.T) {
			app := newUnitApp(t, cfg)
			if err := app.Start(context.Background()); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("Start: %v, want an error that names %s", err, name)
			}
		})
	}
}

// Proves: RELIABILITY 5
func TestMiddleware_ConstructorThatCrashes(t *testing.T) {
	for name, crash := range crashes {
		t.Run(name, func(t *testing.T) {
			app := newUnitApp(t, runtime.Config{Middleware: []runtime.Middleware{
				func(next runtime.Handler) runtime.Handler { crash(); return next },
			}})
			if err := app.Start(context.Background()); err == nil {
				t.Error("Start succeeded")
			}
		})
	}
}

// Proves: RELIABILITY 5
func TestHooks_NilContextsAndFunctions(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 1})
	bad := newUnit[int, runtime.Void]("test.NilContext")
	glue.RegisterContext(app, func(*runtime.Context) (*hookContext, error) { return nil, nil })
	glue.Register(app, bad.task, func(ctx *hookContext, _ *unit[int]) (runtime.Void, error) {
		return runtime.Void{}, ctx.Err()
	})
	worse := newUnit[int, runtime.Void]("test.NilFunction")
	glue.Register[context.Context](app, worse.task, nil)
	nilOpen := newUnit[int, runtime.Void]("test.NilOpen")
	nilOpen.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
		_, err := runtime.Stored(ctx, runtime.NewKey[int]("k", runtime.PerWorker, nil), nil)
		return runtime.Void{}, err
	})
	nilValue := newUnit[int, bool]("test.NilValue")
	nilValue.handle(app, func(ctx *runtime.Context, _ int) (bool, error) {
		open := func(context.Context) (error, error) { return nil, nil }
		v, err := runtime.Stored(ctx, runtime.NewKey[error]("k", runtime.PerWorker, nil), open)
		return v == nil, err
	})
	start(t, app)
	for _, u := range []unitTask[int, runtime.Void]{bad, worse, nilOpen} {
		if _, err := await(t, app, u.call(1)); err == nil || !strings.Contains(err.Error(), "nil") {
			t.Errorf("%v, want an error that says nil", err)
		}
	}
	if isNil, err := await(t, app, nilValue.call(1)); err != nil || !isNil {
		t.Errorf("an interface value that is nil: %t, %v; want it kept", isNil, err)
	}
}
