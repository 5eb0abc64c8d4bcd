package runtime_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/wire"
)

// discard is a logger for what no test looks at.
var discard = slog.New(slog.NewTextHandler(io.Discard, nil))

// unit is the argument struct of a task with one parameter, v.
type unit[T any] struct{ v T }

func (u *unit[T]) fields(f *wire.Fields) { f.JSON("v", &u.v) }

// unitTask is what taskgen generates for a task with one parameter, without its
// function, so that a test can write that in place.
type unitTask[T, R any] struct{ task *glue.Task[unit[T], R] }

func newUnit[T, R any](name string, change ...func(*wire.Spec)) unitTask[T, R] {
	spec := wire.Spec{Name: name, Func: name, Delay: wire.NoDelay, Params: []wire.Param{{Name: "v", Sig: "T"}}}
	for _, f := range change {
		f(&spec)
	}
	return unitTask[T, R]{glue.NewTask[unit[T], R](spec, (*unit[T]).fields)}
}

func (u unitTask[T, R]) call(v T, opts ...runtime.Option) runtime.Call[R] {
	a := unit[T]{v}
	return u.task.Call(a.fields, opts)
}

func (u unitTask[T, R]) handle(app *runtime.App, fn func(ctx *runtime.Context, v T) (R, error)) {
	glue.Register(app, u.task, func(ctx *runtime.Context, a *unit[T]) (R, error) { return fn(ctx, a.v) })
}

func retries(n int) func(*wire.Spec) { return func(s *wire.Spec) { s.Retries = n } }

// newUnitApp returns an app on a memory engine of its own, which ends with the
// test.
func newUnitApp(t testing.TB, cfg runtime.Config) *runtime.App {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = discard
	}
	engine := memory.New(memory.Config{})
	app := runtime.New(engine, cfg)
	t.Cleanup(func() {
		if err := app.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
		if err := engine.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return app
}

func start(t testing.TB, app *runtime.App) {
	t.Helper()
	if err := app.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// await enqueues the call and waits for its result.
func await[R any](t testing.TB, app *runtime.App, c runtime.Call[R]) (R, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	h, err := c.Enqueue(ctx, app)
	if err != nil {
		t.Fatal(err)
	}
	return h.Wait(ctx)
}

// runUnit runs fn as a task and returns what came of it.
func runUnit[R any](t testing.TB, cfg runtime.Config, fn func(ctx *runtime.Context) (R, error)) (R, error) {
	t.Helper()
	app := newUnitApp(t, cfg)
	u := newUnit[int, R]("test.Unit")
	u.handle(app, func(ctx *runtime.Context, _ int) (R, error) { return fn(ctx) })
	start(t, app)
	return await(t, app, u.call(0))
}
