package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/local"
	"github.com/taskctx/taskctx/runtime/wire"
)

type (
	bareContext  struct{ *runtime.Context } // never registered
	needyContext struct{ *runtime.Context }
	innerContext struct{ *runtime.Context }
)

// supplier is an interface that a supplied *concrete would satisfy.
type supplier interface{ Supply() string }

type concrete struct{}

func (*concrete) Supply() string { return "concrete" }

// Proves: FEATURES 6, 10
func TestStart_ListsEverythingMissing(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: -1, KeepLogs: -1})
	void := func(name, fn string) *glue.Task[struct{}, runtime.Void] {
		return glue.NewTask[struct{}, runtime.Void](wire.Spec{Name: name, Func: fn}, nil)
	}
	plain := func(context.Context, *struct{}) (runtime.Void, error) { return runtime.Void{}, nil }
	glue.Register(app, void("a.Same", "First"), plain)
	glue.Register(app, void("a.Same", "Second"), plain)
	glue.Register(app, glue.NewTask[struct{}, runtime.Void](
		wire.Spec{Name: "a.New", Aliases: []string{"a.Same"}, Func: "New"}, nil), plain)
	glue.Register(app, void("a.Bare", "Bare"), func(*bareContext, *struct{}) (runtime.Void, error) {
		return runtime.Void{}, nil
	})
	glue.Register(app, void("a.Needy", "Needy"), func(*needyContext, *struct{}) (runtime.Void, error) {
		return runtime.Void{}, nil
	})
	glue.RegisterContext(app, func(ctx *runtime.Context) (*needyContext, error) { return &needyContext{ctx}, nil },
		glue.NeedSupply[supplier](), glue.NeedSupply[io.Reader](), glue.NeedSupply[*strings.Reader](),
		glue.NeedContext[*innerContext]())
	runtime.Supply(app, &concrete{})
	err := app.Start(context.Background())
	if err == nil {
		t.Fatal("Start succeeded")
	}
	for _, want := range []string{
		`two tasks are named "a.Same": the functions First and Second`,
		"the functions First and New",
		"context type *runtime_test.bareContext of task a.Bare is not registered: call runtime_test.RegisterTasks(app)",
		"*runtime_test.innerContext",
		"runtime.Supply[runtime_test.supplier](app, ...)",
		"*runtime_test.concrete was supplied",
		"runtime.Supply[io.Reader](app, ...)",
		"runtime.Supply[*strings.Reader](app, ...)",
		"Config.Workers is -1",
		"Config.KeepLogs is -1",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("does not say %q:\n%v", want, err)
		}
	}
	if err := app.Stop(context.Background()); err != nil {
		t.Errorf("Stop of an app that did not start: %v", err)
	}
}

// Two types of one underlying type.
type (
	region string
	tier   string
)

// Proves: FEATURES 47, 54
func TestSupply(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[int, string]("test.Supplied")
	u.handle(app, func(ctx *runtime.Context, _ int) (string, error) {
		s, ok := runtime.Supplied[supplier](context.WithValue(ctx, new(int), 1))
		if !ok {
			return "", errors.New("no supplier")
		}
		if _, ok := runtime.Supplied[*concrete](ctx); ok {
			return "", errors.New("found by another type than it was supplied as")
		}
		if _, err := runtime.Require[io.Reader](ctx); err == nil || !strings.Contains(err.Error(), "runtime.Supply[io.Reader]") {
			return "", fmt.Errorf("Require of what there is not: %w", err)
		}
		where, found := runtime.Supplied[region](ctx)
		if _, other := runtime.Supplied[string](ctx); where != "eu" || !found || other {
			return "", fmt.Errorf("region %q, found %t, as a string %t", where, found, other)
		}
		if what, found := runtime.Supplied[tier](ctx); what != "gold" || !found {
			return "", fmt.Errorf("tier %q, found %t", what, found)
		}
		nothing, ok := runtime.Supplied[fmt.Stringer](ctx)
		if nothing != nil || !ok {
			return "", errors.New("a nil interface value is supplied, and is not found")
		}
		return s.Supply(), nil
	})
	runtime.Supply[supplier](app, nil)
	runtime.Supply[supplier](app, &concrete{}) // the last one wins
	runtime.Supply[fmt.Stringer](app, nil)
	runtime.Supply(app, region("eu"))
	runtime.Supply(app, tier("gold"))
	start(t, app)
	if got, err := await(t, app, u.call(0)); err != nil || got != "concrete" {
		t.Errorf("%q, %v", got, err)
	}
}

// Proves: FEATURES 55
func TestAppFrom_OfTheTask(t *testing.T) {
	defer runtime.SetDefault(nil)
	byDefault := newUnitApp(t, runtime.Config{})
	if runtime.AppFrom(context.Background()) != nil || (*runtime.Context)(nil).App() != nil {
		t.Error("there is an app outside of tasks, without a default")
	}
	runtime.SetDefault(byDefault)
	if runtime.AppFrom(context.Background()) != byDefault || (*runtime.Context)(nil).App() != byDefault {
		t.Error("the default app is not found")
	}
	runtime.Supply(byDefault, "of the default app")
	if s, ok := runtime.Supplied[string](context.Background()); !ok || s != "of the default app" {
		t.Errorf("Supplied outside of a task: %q, %t", s, ok)
	}
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[int, bool]("test.App")
	u.handle(app, func(ctx *runtime.Context, _ int) (bool, error) {
		return ctx.App() == app && runtime.AppFrom(context.WithValue(ctx, new(int), 1)) == app, nil
	})
	start(t, app)
	if ok, err := await(t, app, u.call(0)); err != nil || !ok {
		t.Errorf("a task finds another app than its own, %v", err)
	}
}

// Proves: FEATURES 7, 42
func TestRegisterContext_KindsOfContext(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	plain, handle, custom := newUnit[int, string]("test.Plain"), newUnit[int, string]("test.Handle"), newUnit[int, string]("test.Custom")
	name := func(ctx context.Context) (string, error) {
		c, ok := runtime.FromContext(ctx)
		if !ok {
			return "", errors.New("not in a task")
		}
		return c.Metadata().Name, nil
	}
	glue.Register(app, plain.task, func(ctx context.Context, _ *unit[int]) (string, error) { return name(ctx) })
	glue.Register(app, handle.task, func(ctx *runtime.Context, _ *unit[int]) (string, error) { return name(ctx) })
	// A context type that embeds another one.
	type outer struct {
		*innerContext
		extra int
	}
	glue.RegisterContext(app, func(ctx *runtime.Context) (*innerContext, error) { return &innerContext{ctx}, nil })
	glue.RegisterContext(app, func(ctx *runtime.Context) (*outer, error) {
		inner, err := runtime.BuildContext[*innerContext](ctx)
		return &outer{inner, 1}, err
	}, glue.NeedContext[*innerContext]())
	glue.Register(app, custom.task, func(ctx *outer, _ *unit[int]) (string, error) { return name(ctx) })
	start(t, app)
	for want, u := range map[string]unitTask[int, string]{"test.Plain": plain, "test.Handle": handle, "test.Custom": custom} {
		if got, err := await(t, app, u.call(0)); err != nil || got != want {
			t.Errorf("%s: %q, %v", want, got, err)
		}
	}
}

// Two context types of one name, as packages of one name would have them, are
// told apart by their Go types, also where one embeds the other.
//
// Proves: FEATURES 6, 8
func TestRegisterContext_TypesOfOneName(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 1})
	first, second := newUnit[int, string]("test.First"), newUnit[int, string]("test.Second")
	inner := func() {
		type same struct {
			*runtime.Context
			by string
		}
		glue.RegisterContext(app, func(ctx *runtime.Context) (*same, error) { return &same{ctx, "first"}, nil })
		glue.Register(app, first.task, func(ctx *same, _ *unit[int]) (string, error) { return ctx.by, nil })
	}
	outer := func() {
		type middle struct{ *innerContext }
		type same struct {
			middle
			by string
		}
		glue.RegisterContext(app, func(ctx *runtime.Context) (*same, error) {
			return &same{middle{&innerContext{ctx}}, "second"}, nil
		})
		glue.Register(app, second.task, func(ctx *same, _ *unit[int]) (string, error) {
			return ctx.by + " as " + ctx.Metadata().Name, nil
		})
	}
	inner()
	outer()
	start(t, app)
	for range 2 {
		if got, err := await(t, app, first.call(0)); err != nil || got != "first" {
			t.Errorf("the first task has the context %q, %v", got, err)
		}
		if got, err := await(t, app, second.call(0)); err != nil || got != "second as test.Second" {
			t.Errorf("the second task has the context %q, %v", got, err)
		}
	}
}

// The last registration before the start wins, and a later one leaves the
// running worker alone.
func TestRegisterContext_Replaced(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	type faked struct {
		*runtime.Context
		by string
	}
	by := func(who string) {
		glue.RegisterContext(app, func(ctx *runtime.Context) (*faked, error) { return &faked{ctx, who}, nil })
	}
	u := newUnit[int, string]("test.Faked")
	register := func() {
		glue.Register(app, u.task, func(ctx *faked, _ *unit[int]) (string, error) { return ctx.by, nil })
	}
	by("package")
	register()
	register() // RegisterTasks called twice
	by("test")
	start(t, app)
	by("too late")
	if got, err := await(t, app, u.call(0)); err != nil || got != "test" {
		t.Errorf("context of %q, %v; want the test's", got, err)
	}
}

// outside are contexts that belong to no task. The last is of a context type
// that nothing has filled.
var outside = []context.Context{
	nil, context.Background(), (*runtime.Context)(nil), new(runtime.Context), new(innerContext),
}

// Proves: FEATURES 16
func TestContext_FunctionsOutsideATask(t *testing.T) {
	key := runtime.NewKey[int]("key", runtime.PerTask, nil)
	shared := runtime.NewShared[int]("shared", nil)
	for _, ctx := range outside {
		if app := runtime.AppFrom(ctx); app != nil {
			t.Errorf("%T has the app %p", ctx, app)
		}
		if _, ok := runtime.Supplied[supplier](ctx); ok {
			t.Errorf("%T has supplies", ctx)
		}
		_, require := runtime.Require[supplier](ctx)
		if require == nil {
			t.Errorf("Require with %T has no error", ctx)
		}
		_, build := runtime.BuildContext[*innerContext](ctx)
		_, provide := key.Provide(ctx, func(context.Context) (int, func(error) error, error) {
			t.Error("opened")
			return 0, nil, nil
		})
		_, get := shared.Get(ctx)
		for what, err := range map[string]error{"BuildContext": build, "Provide": provide, "Shared": get} {
			if !errors.Is(err, runtime.ErrNoTask) {
				t.Errorf("%s with %T: %v, want ErrNoTask", what, ctx, err)
			}
		}
		if local.Fork(ctx, local.Overlay) != ctx {
			t.Errorf("Fork of %T is another context", ctx)
		}
		ran := errors.New("it ran")
		if err := local.Go(ctx, local.Copy, func(context.Context) error { return ran }).Wait(); err != ran {
			t.Errorf("Go with %T: %v", ctx, err)
		}
		for what, derived := range map[string]context.Context{
			"WithLocals": local.With(ctx),
		} {
			if _, ok := runtime.FromContext(derived); ok || derived.Err() != nil {
				t.Errorf("%s of %T is in a task, or has ended", what, ctx)
			}
		}
	}
}

// Proves: FEATURES 16, 22, 48
func TestContext_NilIsSafe(t *testing.T) {
	for _, ctx := range outside {
		c, ok := runtime.FromContext(ctx)
		if ok {
			t.Errorf("%T is in a task", ctx)
		}
		if m := c.Metadata(); m.TaskID != (inspect.Metadata{}).TaskID || m.Attempt != 0 || m.Tags.Len() != 0 || m.Tags.Get("x") != "" {
			t.Errorf("metadata %+v", m)
		}
		if c.Err() != nil || c.Done() != nil || c.Value("x") != nil || c.App() != nil {
			t.Error("not the background context")
		}
		if _, ok := c.Deadline(); ok {
			t.Error("has a deadline")
		}
		if err := c.Sleep(1); err != nil {
			t.Errorf("Sleep: %v", err)
		}
		if _, err := c.Record(); !errors.Is(err, runtime.ErrNoTask) {
			t.Errorf("Record: %v", err)
		}
		if _, err := c.Reload(); !errors.Is(err, runtime.ErrNoTask) {
			t.Errorf("Reload: %v", err)
		}
		c.Progress(1, 2, "note")
		c.Logger().Debug("outside")
		if c.With(context.Background()).Metadata().Name != "" {
			t.Error("With makes it a task's")
		}
	}
}

// Proves: FEATURES 21, 27
func TestFromContext_IsBoundToTheContextAskedWith(t *testing.T) {
	_, err := runUnit(t, runtime.Config{}, func(ctx *runtime.Context) (runtime.Void, error) {
		cause := errors.New("inner")
		derived, cancel := context.WithCancelCause(context.WithValue(ctx, "k", "v")) //nolint:staticcheck // a key of this test
		defer cancel(nil)
		c, ok := runtime.FromContext(derived)
		if !ok || c.Value("k") != "v" || c.Metadata().TaskID != ctx.Metadata().TaskID {
			return runtime.Void{}, errors.New("FromContext loses the derived context or the task")
		}
		w := ctx.With(derived)
		again, ok := runtime.FromContext(w)
		cancel(cause)
		if !ok || c.Err() == nil || w.Err() == nil || again.Err() == nil || ctx.Err() != nil {
			return runtime.Void{}, errors.New("the derived context's end is not the handle's, or is the task's")
		}
		if context.Cause(c) != cause || c.Sleep(1<<40) != cause {
			return runtime.Void{}, errors.New("the cause is lost")
		}
		found := make(chan bool)
		go func() {
			_, ok := runtime.FromContext(context.WithoutCancel(ctx))
			found <- ok
		}()
		if !<-found {
			return runtime.Void{}, errors.New("not found in a goroutine")
		}
		return runtime.Void{}, nil
	})
	if err != nil {
		t.Error(err)
	}
}
