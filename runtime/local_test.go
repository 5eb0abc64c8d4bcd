package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/local"
)

// Proves: FEATURES 64, 65
func TestLocal_HoldsAValueOfItsType(t *testing.T) {
	loc := local.New[int]("n")
	steps, err := runUnit(t, runtime.Config{}, func(ctx *runtime.Context) (steps []string, _ error) {
		note := func() {
			v, err := loc.Get(ctx)
			w, ok := loc.Lookup(ctx)
			steps = append(steps, fmt.Sprint(v, w, ok, loc.GetOr(ctx, 7), errors.Is(err, local.ErrUnset)))
		}
		note()
		for _, v := range []int{1, 2, 0} {
			if err := loc.Set(ctx, v); err != nil {
				return nil, err
			}
			note()
		}
		if err := loc.Clear(ctx); err != nil {
			return nil, err
		}
		note()
		return steps, nil
	})
	want := []string{"0 0 false 7 true", "1 1 true 1 false", "2 2 true 2 false", "0 0 true 0 false", "0 0 false 7 true"}
	if err != nil || !slices.Equal(steps, want) {
		t.Errorf("got %q, %v; want %q", steps, err, want)
	}
}

// Proves: FEATURES 64
func TestLocal_OfAnInterfaceHoldsNil(t *testing.T) {
	loc := local.New[error]("err")
	ctx := local.With(context.Background())
	if err := loc.Set(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if v, ok := loc.Lookup(ctx); v != nil || !ok {
		t.Errorf("Lookup = %v, %t; want nil, true", v, ok)
	}
	if v, ok := loc.Lookup(local.Fork(ctx, local.Copy)); v != nil || !ok {
		t.Errorf("in a copy Lookup = %v, %t; want nil, true", v, ok)
	}
}

func TestLocal_TwoOfOneName(t *testing.T) {
	ctx := local.With(context.Background())
	a, b := local.New[int]("same"), local.New[int]("same")
	if err := a.Set(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.Lookup(ctx); ok {
		t.Error("a local sees the value of another with its name")
	}
}

// Proves: FEATURES 66
func TestLocal_OutsideAnyScope(t *testing.T) {
	loc := local.New[int]("n")
	var none *runtime.Context
	for _, ctx := range []context.Context{context.Background(), local.Fork(context.Background(), local.Copy), none} {
		if _, err := loc.Get(ctx); !errors.Is(err, local.ErrNoScope) {
			t.Errorf("Get: %v, want ErrNoLocals", err)
		}
		if err := loc.Set(ctx, 1); !errors.Is(err, local.ErrNoScope) {
			t.Errorf("Set: %v, want ErrNoLocals", err)
		}
		if err := loc.Clear(ctx); !errors.Is(err, local.ErrNoScope) {
			t.Errorf("Clear: %v, want ErrNoLocals", err)
		}
		if v := loc.GetOr(ctx, 3); v != 3 {
			t.Errorf("GetOr = %d, want the default", v)
		}
	}
}

// Proves: FEATURES 66
func TestWith_OpensAScope(t *testing.T) {
	loc := local.New[int]("n")
	outer := local.With(context.Background())
	if err := loc.Set(outer, 1); err != nil {
		t.Fatal(err)
	}
	deep, cancel := context.WithCancel(context.WithValue(outer, ctxKey{}, "x"))
	defer cancel()
	inner := local.With(deep)
	if err := loc.Set(inner, 2); err != nil {
		t.Fatal(err)
	}
	if a, b := loc.GetOr(deep, -1), loc.GetOr(inner, -1); a != 1 || b != 2 {
		t.Errorf("the scopes hold %d and %d, want 1 and 2", a, b)
	}
}

type ctxKey struct{}

func TestWith_ScopeOfTheProcessIsNotTheTasks(t *testing.T) {
	loc := local.New[int]("n")
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[int, int]("test.Unit")
	u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		defer func() { _ = loc.Set(ctx, 9) }()
		return loc.GetOr(ctx, -1), nil
	})
	ctx := local.With(context.Background())
	if err := loc.Set(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if err := app.Start(ctx); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if v, err := await(t, app, u.call(0)); v != -1 || err != nil {
			t.Errorf("the task sees %d, %v; want nothing", v, err)
		}
	}
	if v := loc.GetOr(ctx, -1); v != 1 {
		t.Errorf("the task has changed its starter's local to %d", v)
	}
}

// Proves: FEATURES 74
func TestLocal_AfterTheTask(t *testing.T) {
	loc := local.New[int]("n")
	kept := make(chan []context.Context, 1)
	if _, err := runUnit(t, runtime.Config{}, func(ctx *runtime.Context) (int, error) {
		err := loc.Set(ctx, 1)
		derived, cancel := context.WithCancel(ctx)
		cancel()
		kept <- []context.Context{
			ctx, derived, local.Fork(ctx, local.Copy), local.Fork(ctx, local.Overlay), local.With(ctx),
		}
		return 0, err
	}); err != nil {
		t.Fatal(err)
	}
	for i, ctx := range <-kept {
		if _, err := loc.Get(ctx); !errors.Is(err, runtime.ErrTaskDone) {
			t.Errorf("context %d: Get: %v, want ErrTaskDone", i, err)
		}
		if err := loc.Set(ctx, 1); !errors.Is(err, runtime.ErrTaskDone) {
			t.Errorf("context %d: Set: %v, want ErrTaskDone", i, err)
		}
		if err := local.Go(ctx, local.Copy, nil).Wait(); !errors.Is(err, runtime.ErrTaskDone) {
			t.Errorf("context %d: Go: %v, want ErrTaskDone", i, err)
		}
	}
}

// Proves: FEATURES 67, 68
func TestFork_Modes(t *testing.T) {
	loc, other := local.New[string]("n"), local.New[string]("other")
	var byDefault local.ForkMode
	tests := []struct {
		mode                                                 local.ForkMode
		childSees, afterParentSet, parentSees, afterClearing string
	}{
		{byDefault, "parent", "parent", "parent2", "-"},
		{local.Copy, "parent", "parent", "parent2", "-"},
		{local.Share, "parent", "parent2", "child", "-"},
		{local.Overlay, "parent", "parent2", "parent2", "-"},
	}
	for _, tt := range tests {
		ctx := local.With(context.Background())
		set := func(ctx context.Context, l *local.Var[string], v string) {
			if err := l.Set(ctx, v); err != nil {
				t.Fatal(err)
			}
		}
		check := func(what, got, want string) {
			if got != want {
				t.Errorf("mode %d: %s: %q, want %q", tt.mode, what, got, want)
			}
		}
		set(ctx, loc, "parent")
		child := local.Fork(ctx, tt.mode)
		check("the child sees", loc.GetOr(child, "-"), tt.childSees)
		set(ctx, loc, "parent2")
		check("when its parent sets it", loc.GetOr(child, "-"), tt.afterParentSet)
		set(child, loc, "child")
		check("the child's own", loc.GetOr(child, "-"), "child")
		check("the parent then sees", loc.GetOr(ctx, "-"), tt.parentSees)
		grandchild := local.Fork(child, tt.mode)
		check("a grandchild sees", loc.GetOr(grandchild, "-"), "child")
		if err := loc.Clear(child); err != nil {
			t.Fatal(err)
		}
		check("when the child cleared it", loc.GetOr(child, "-"), tt.afterClearing)
		set(child, other, "x")
		if _, seen := other.Lookup(ctx); seen != (tt.mode == local.Share) {
			t.Errorf("mode %d: a new value of the child reaches its parent: %t", tt.mode, seen)
		}
	}
}

// cart clones itself deeply.
type cart struct{ items []string }

func (c *cart) Clone() *cart { return &cart{slices.Clone(c.items)} }

// wallet is a value that clones itself by a method of its pointer.
type wallet struct{ notes []string }

func (w *wallet) Clone() wallet { return wallet{slices.Clone(w.notes)} }

// Proves: FEATURES 68
func TestFork_CopyClonesValues(t *testing.T) {
	deep, shallow := local.New[*cart]("deep"), local.New[map[string]int]("shallow")
	ctx := local.With(context.Background())
	if err := errors.Join(deep.Set(ctx, &cart{[]string{"a"}}), shallow.Set(ctx, map[string]int{"a": 1})); err != nil {
		t.Fatal(err)
	}
	child := local.Fork(ctx, local.Copy)
	deep.GetOr(child, nil).items[0] = "changed"
	shallow.GetOr(child, nil)["a"] = 2
	if got := deep.GetOr(ctx, nil).items[0]; got != "a" {
		t.Errorf("the child has changed its parent's value to %q", got)
	}
	if got := shallow.GetOr(ctx, nil)["a"]; got != 2 {
		t.Errorf("a map was copied: the parent sees %d", got)
	}
	value := local.New[wallet]("value")
	if err := value.Set(ctx, wallet{[]string{"a"}}); err != nil {
		t.Fatal(err)
	}
	value.GetOr(local.Fork(ctx, local.Copy), wallet{}).notes[0] = "changed"
	if got := value.GetOr(ctx, wallet{}).notes[0]; got != "a" {
		t.Errorf("the child has changed its parent's value, which is no pointer, to %q", got)
	}
	if err := deep.Set(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if v, ok := deep.Lookup(local.Fork(ctx, local.Copy)); v != nil || !ok {
		t.Errorf("a nil value becomes %v, %t in a copy", v, ok)
	}
}

// Proves: FEATURES 67, 69
func TestLocal_TasksStayApart(t *testing.T) {
	const tasks, kids = 1000, 10
	loc := local.New[int]("n")
	app := newUnitApp(t, runtime.Config{Workers: 16})
	u := newUnit[int, int]("test.Unit")
	u.handle(app, func(ctx *runtime.Context, task int) (int, error) {
		if v, ok := loc.Lookup(ctx); ok {
			return 0, fmt.Errorf("task %d begins with the value %d", task, v)
		}
		if err := loc.Set(ctx, -task); err != nil {
			return 0, err
		}
		var ready sync.WaitGroup
		ready.Add(kids)
		for kid := range kids {
			mine := task*kids + kid
			local.Go(ctx, local.Copy, func(ctx context.Context) error {
				if got := loc.GetOr(ctx, 0); got != -task {
					return fmt.Errorf("child %d of task %d begins with %d", kid, task, got)
				}
				if err := loc.Set(ctx, mine); err != nil {
					return err
				}
				ready.Done()
				ready.Wait() // all of them have set theirs
				if got := loc.GetOr(ctx, 0); got != mine {
					return fmt.Errorf("child %d of task %d reads %d back", kid, task, got)
				}
				return nil
			})
		}
		ready.Wait()
		if got := loc.GetOr(ctx, 0); got != -task {
			return 0, fmt.Errorf("task %d reads %d back", task, got)
		}
		return task, nil
	})
	start(t, app)
	ctx := t.Context()
	handles := make([]*runtime.Handle[int], tasks)
	for i := range handles {
		h, err := u.call(i+1, runtime.WithRetries(0)).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		handles[i] = h
	}
	for i, h := range handles {
		if v, err := h.Wait(ctx); v != i+1 || err != nil {
			t.Fatalf("task %d: %d, %v", i+1, v, err)
		}
	}
	t.Logf("%d tasks with %d children each read back only their own", tasks, kids)
}

// Proves: FEATURES 28, 70
func TestTravels_WithTasks(t *testing.T) {
	sent := local.New[map[string]int]("sent", local.Travels())
	home := local.New[string]("home")
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[int, map[string]int]("test.Unit")
	u.handle(app, func(ctx *runtime.Context, depth int) (map[string]int, error) {
		if v, ok := home.Lookup(ctx); ok {
			return nil, fmt.Errorf("a local that stays home came along: %q", v)
		}
		if depth > 0 { // its own child does not read it: it travels on all the same
			h, err := u.call(depth-1).Enqueue(ctx, app)
			if err != nil {
				return nil, err
			}
			return h.Wait(context.Background()) // workers remain for it
		}
		return sent.Get(ctx)
	})
	start(t, app)
	ctx := local.With(t.Context())
	if err := errors.Join(home.Set(ctx, "x"), sent.Set(ctx, map[string]int{"a": 1})); err != nil {
		t.Fatal(err)
	}
	h, err := u.call(2).Enqueue(ctx, app)
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.Wait(ctx)
	if err != nil || !maps.Equal(got, map[string]int{"a": 1}) {
		t.Errorf("the task at the end reads %v, %v", got, err)
	}
	if err := sent.Clear(ctx); err != nil {
		t.Fatal(err)
	}
	if h, err = u.call(0, runtime.WithRetries(0)).Enqueue(ctx, app); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Wait(ctx); err == nil || !strings.Contains(err.Error(), local.ErrUnset.Error()) {
		t.Errorf("a cleared local arrives: %v", err)
	}
}

func TestTravels_SetAnew(t *testing.T) {
	loc := local.New[string]("id", local.Travels())
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[string, []string]("test.Unit")
	u.handle(app, func(ctx *runtime.Context, set string) ([]string, error) {
		seen := []string{loc.GetOr(ctx, "-")}
		if set == "" {
			return seen, nil
		}
		fork := local.Fork(ctx, local.Overlay)
		if err := loc.Set(fork, set); err != nil {
			return nil, err
		}
		for _, ctx := range []context.Context{ctx, fork} {
			h, err := u.call("").Enqueue(ctx, app)
			if err != nil {
				return nil, err
			}
			more, err := h.Wait(context.Background()) // workers remain for it
			if err != nil {
				return nil, err
			}
			seen = append(seen, more...)
		}
		return seen, nil
	})
	start(t, app)
	ctx := local.With(t.Context())
	if err := loc.Set(ctx, "first"); err != nil {
		t.Fatal(err)
	}
	h, err := u.call("second").Enqueue(ctx, app)
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.Wait(ctx)
	if want := []string{"first", "first", "second"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestTravels_UnencodableValue(t *testing.T) {
	loc := local.New[string]("id", local.Travels())
	app := newUnitApp(t, runtime.Config{MaxPayload: 100})
	u := newUnit[int, int]("test.Unit")
	for value, want := range map[string]string{"\xff": "local id cannot travel", strings.Repeat("x", 100): "too large"} {
		ctx := local.With(t.Context())
		if err := loc.Set(ctx, value); err != nil {
			t.Fatal(err)
		}
		if _, err := u.call(0).Enqueue(ctx, app); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Enqueue: %v, want %q", err, want)
		}
	}
	if records, _, err := app.List(t.Context(), engine.Query{}); len(records) != 0 || err != nil {
		t.Errorf("%d tasks were enqueued, %v", len(records), err)
	}
}

func TestLocal_CostsNothingUnused(t *testing.T) {
	local := local.New[int]("n", local.Travels(), local.InLogs())
	allocs, err := runUnit(t, runtime.Config{Workers: 1}, func(ctx *runtime.Context) (float64, error) {
		return testing.AllocsPerRun(100, func() { local.GetOr(ctx, 0) }), nil
	})
	if allocs != 0 || err != nil {
		t.Errorf("a read of a local that is not set allocates %v times, %v", allocs, err)
	}
}
