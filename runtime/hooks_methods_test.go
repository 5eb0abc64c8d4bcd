package runtime_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/local"
)

// The methods of arguments and results are the user's as well. A trap is where
// its type's methods find it.
var decodeTrap, validateTrap, encodeTrap trap

type trappedArg struct{ N int }

func (a trappedArg) MarshalJSON() ([]byte, error) { return json.Marshal(a.N) }
func (a *trappedArg) UnmarshalJSON(b []byte) error {
	decodeTrap.spring()
	return json.Unmarshal(b, &a.N)
}
func (a trappedArg) Validate() error { validateTrap.spring(); return nil }

type trappedResult struct{ N int }

func (r trappedResult) MarshalJSON() ([]byte, error)  { encodeTrap.spring(); return json.Marshal(r.N) }
func (r *trappedResult) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &r.N) }

// Proves: RELIABILITY 5
func TestHooks_MethodsThatCrash(t *testing.T) {
	for method, tr := range map[string]*trap{
		"UnmarshalJSON of an argument": &decodeTrap, "Validate": &validateTrap, "MarshalJSON of a result": &encodeTrap,
	} {
		for name, crash := range crashes {
			t.Run(method+"/"+name, func(t *testing.T) {
				app := newUnitApp(t, runtime.Config{Workers: 1, ParkFor: time.Nanosecond})
				u := newUnit[trappedArg, trappedResult]("test.Methods")
				u.handle(app, func(_ *runtime.Context, a trappedArg) (trappedResult, error) { return trappedResult(a), nil })
				ctx := context.Background()
				h, err := u.call(trappedArg{7}).Enqueue(ctx, app)
				if err != nil {
					t.Fatal(err)
				}
				tr.crash = crash
				tr.armed.Store(true)
				start(t, app)
				_, err = h.Wait(ctx)
				tr.armed.Store(false)
				rec, rerr := h.Record(ctx)
				if rerr != nil {
					t.Fatal(rerr)
				}
				if err == nil || rec.State != engine.StateFailed || rec.Reason == "" {
					t.Errorf("the task is %s, %v, with the reason %q; want it failed", rec.State, err, rec.Reason)
				}
				if r, err := await(t, app, u.call(trappedArg{8})); err != nil || r.N != 8 {
					t.Errorf("the next task on the slot: %v, %v", r, err)
				}
			})
		}
	}
}

// trappedValue is a value of a local that clones itself.
type trappedValue struct{ tr *trap }

func (v trappedValue) Clone() trappedValue { v.tr.spring(); return v }

// inTheTask are functions of the user's that taskctx calls while the task runs.
func inTheTask() []badHook {
	loc := local.New[trappedValue]("value")
	clone := func(tr *trap, ctx *runtime.Context, child func(ctx context.Context)) error {
		err := loc.Set(ctx, trappedValue{tr})
		child(ctx)
		return err
	}
	return []badHook{
		{name: "first value of a Shared", task: func(tr *trap, ctx *runtime.Context) error {
			_, err := runtime.NewShared("shared", func() int { tr.spring(); return 1 }).Get(ctx)
			return err
		}},
		{name: "update of a Shared", task: func(tr *trap, ctx *runtime.Context) error {
			return runtime.NewShared[int]("shared", nil).Update(ctx, func(*int) error { tr.spring(); return nil })
		}},
		{name: "Clone for Fork", task: func(tr *trap, ctx *runtime.Context) error {
			return clone(tr, ctx, func(ctx context.Context) { local.Fork(ctx, local.Copy) })
		}},
		{name: "Clone for Go", task: func(tr *trap, ctx *runtime.Context) error {
			return clone(tr, ctx, func(ctx context.Context) {
				local.Go(ctx, local.Copy, func(context.Context) error { return nil })
			})
		}},
		{name: "iterator", task: func(tr *trap, _ *runtime.Context) error {
			_, err := runtime.Collect(func(func(int, error) bool) { tr.spring() })
			return err
		}},
		{name: "function for each value", task: func(tr *trap, ctx *runtime.Context) error {
			_, err := runtime.Each(ctx, pages(2, nil), func(*runtime.Context, int) (int, error) { tr.spring(); return 1, nil })
			return err
		}},
	}
}

// Proves: RELIABILITY 5
func TestHooks_FunctionsInTheTaskThatCrash(t *testing.T) {
	for _, hook := range inTheTask() {
		for name, crash := range crashes {
			t.Run(hook.name+"/"+name, func(t *testing.T) { testBadHook(t, hook, crash) })
		}
	}
}

// nilPropagator extracts nothing at all.
type nilPropagator struct{}

func (nilPropagator) Inject(context.Context, map[string]string) {}

func (nilPropagator) Extract(context.Context, map[string]string) context.Context { return nil }

// A hook that returns nothing where something is due is an error that says so,
// or is as if it were not there.
//
// Proves: RELIABILITY 5
func TestHooks_ThatReturnNil(t *testing.T) {
	around := func(f func(ctx *runtime.Context, next runtime.Handler) error) runtime.Config {
		return runtime.Config{Middleware: []runtime.Middleware{func(next runtime.Handler) runtime.Handler {
			return func(ctx *runtime.Context) error { return f(ctx, next) }
		}}}
	}
	enqueue := func(m runtime.EnqueueMiddleware) runtime.Config {
		return runtime.Config{EnqueueMiddleware: []runtime.EnqueueMiddleware{m}}
	}
	nothing := func(json.RawMessage) (json.RawMessage, error) { return nil, nil }
	for name, test := range map[string]struct {
		cfg  runtime.Config
		want string // in the error of Enqueue or of the task; empty: there is none
	}{
		"Extract":  {runtime.Config{Propagators: []hook.Propagator{nilPropagator{}}}, ""},
		"Encode":   {runtime.Config{Codec: codecFuncs{encode: nothing}}, "did not return valid JSON"},
		"Decode":   {runtime.Config{Codec: codecFuncs{decode: nothing}}, `parameter "v": is missing`},
		"observer": {runtime.Config{Observers: []hook.Observer{hook.ObserverFunc(nil)}}, ""},
		"context for the task": {around(func(_ *runtime.Context, next runtime.Handler) error { return next(nil) }),
			runtime.ErrNoTask.Error()},
		"derived context": {around(func(ctx *runtime.Context, next runtime.Handler) error { return next(ctx.With(nil)) }), ""}, //nolint:staticcheck // nil is the test
		"handler":         {enqueue(func(runtime.EnqueueHandler) runtime.EnqueueHandler { return nil }), "made no handler"},
		"answers": {enqueue(func(runtime.EnqueueHandler) runtime.EnqueueHandler {
			return func(context.Context, []runtime.AnyCall) ([]engine.Inserted, error) { return nil, nil }
		}), "answered for 0 of 1 calls"},
		"context to enqueue with": {enqueue(func(next runtime.EnqueueHandler) runtime.EnqueueHandler {
			return func(_ context.Context, calls []runtime.AnyCall) ([]engine.Inserted, error) { return next(nil, calls) }
		}), "the context is nil"},
	} {
		t.Run(name, func(t *testing.T) {
			test.cfg.ParkFor = time.Nanosecond
			app := newUnitApp(t, test.cfg)
			u := newUnit[int, int]("test.Nil")
			u.handle(app, func(ctx *runtime.Context, i int) (int, error) { return i, ctx.Sleep(0) })
			start(t, app)
			h, err := u.call(7).Enqueue(t.Context(), app)
			if err == nil {
				_, err = h.Wait(t.Context())
			}
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}
