package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/wire"
)

// Proves: FEATURES 40
func TestWithPriority_ThenOrder(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 1})
	u := newUnit[string, runtime.Void]("test.Order")
	var mu sync.Mutex
	var got []string
	u.handle(app, func(_ *runtime.Context, s string) (runtime.Void, error) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, s)
		return runtime.Void{}, nil
	})
	ctx := context.Background()
	var last *runtime.Handle[runtime.Void]
	for i := range 12 {
		p := []int{0, 3, 1, 2}[i%4]
		h, err := u.call(fmt.Sprintf("%d/%d", p, i), runtime.WithPriority(p)).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		if i%4 == 0 {
			last = h
		}
	}
	start(t, app)
	if _, err := last.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	want := strings.Fields("3/1 3/5 3/9 2/3 2/7 2/11 1/2 1/6 1/10 0/0 0/4 0/8")
	if !slices.Equal(got, want) {
		t.Errorf("ran in the order %v, want %v", got, want)
	}
}

// Proves: FEATURES 37
func TestWithDelay_AndWithDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{})
		u := newUnit[int, time.Duration]("test.Delay")
		from := time.Now()
		u.handle(app, func(*runtime.Context, int) (time.Duration, error) { return time.Since(from), nil })
		start(t, app)
		ctx := context.Background()
		for name, test := range map[string]struct {
			opt   runtime.Option
			after time.Duration
			state engine.State
		}{
			"delay":    {runtime.WithDelay(time.Hour), time.Hour, engine.StateScheduled},
			"due":      {runtime.WithDue(from.Add(2 * time.Hour)), 2 * time.Hour, engine.StateScheduled},
			"due past": {runtime.WithDue(from.Add(-time.Hour)), 0, ""},
			"no delay": {runtime.WithDelay(0), 0, ""},
		} {
			h, err := u.call(0, test.opt, runtime.WithKeep(24*time.Hour)).Enqueue(ctx, app)
			if err != nil {
				t.Fatal(err)
			}
			if rec, err := h.Record(ctx); err != nil || test.state != "" && rec.State != test.state {
				t.Errorf("%s: %s, %v", name, rec.State, err)
			}
			defer func() {
				if got, err := h.Wait(ctx); err != nil || got != test.after {
					t.Errorf("%s: ran after %s, %v; want %s", name, got, err, test.after)
				}
			}()
		}
	})
}

// Proves: FEATURES 40
func TestWithKey_OneTaskAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{})
		u := newUnit[string, string]("test.Unique", func(s *wire.Spec) { s.Unique = time.Hour })
		other := newUnit[string, string]("test.Other")
		runs := 0
		for _, w := range []unitTask[string, string]{u, other} {
			w.handle(app, func(_ *runtime.Context, s string) (string, error) { runs++; return s, nil })
		}
		start(t, app)
		ctx := context.Background()
		enqueue := func(c runtime.Call[string]) *runtime.Handle[string] {
			h, err := c.Enqueue(ctx, app)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.Wait(ctx); err != nil {
				t.Fatal(err)
			}
			return h
		}
		first := enqueue(u.call("a"))
		for name, test := range map[string]struct {
			call runtime.Call[string]
			same bool
		}{
			"same arguments":  {u.call("a"), true},
			"other arguments": {u.call("b"), false},
			"other task":      {other.call("a", runtime.WithUnique(time.Hour)), false},
			"other key":       {u.call("a", runtime.WithKey("k1", time.Hour)), false},
		} {
			h := enqueue(test.call)
			if (h.ID() == first.ID()) != test.same || h.Existing() != test.same {
				t.Errorf("%s: task %s, existing %t; want it existing: %t", name, h.ID(), h.Existing(), test.same)
			}
		}
		byKey := enqueue(other.call("x", runtime.WithKey("k2", time.Minute)))
		if again := enqueue(u.call("y", runtime.WithKey("k2", time.Minute))); again.ID() != byKey.ID() {
			t.Error("a key is not the same for two tasks")
		}
		if runs != 5 {
			t.Errorf("%d runs, want 5", runs)
		}
		time.Sleep(2 * time.Hour)
		if h := enqueue(u.call("a")); h.Existing() {
			t.Error("the key is held after its time")
		}
	})
}

// Proves: FEATURES 40
func TestWithUnique_FromManyGoroutines(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 4})
	u := newUnit[int, runtime.Void]("test.Race")
	var mu sync.Mutex
	runs := make(map[int]int)
	u.handle(app, func(_ *runtime.Context, i int) (runtime.Void, error) {
		mu.Lock()
		defer mu.Unlock()
		runs[i]++
		return runtime.Void{}, nil
	})
	start(t, app)
	ctx := context.Background()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 50 {
				if _, err := await(t, app, u.call(i, runtime.WithUnique(time.Hour))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := app.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if runs[i] != 1 {
			t.Errorf("call %d ran %d times", i, runs[i])
		}
	}
}

func TestOptions_RefuseInvalidValues(t *testing.T) {
	app := newUnitApp(t, runtime.Config{MaxPayload: 100})
	u := newUnit[string, runtime.Void]("test.Options")
	for name, opts := range map[string][]runtime.Option{
		"WithTag":      {runtime.WithTag("", "v")},
		"WithTag(":     {runtime.WithTag("k", "\x00")},
		"WithTag(\"":   {runtime.WithTag("k\xff", "v")},
		"WithQueue":    {runtime.WithQueue("")},
		"WithDelay":    {runtime.WithDelay(-1)},
		"WithPriority": {runtime.WithPriority(4)},
		"WithRetries":  {runtime.WithRetries(-1)},
		"WithTimeout":  {runtime.WithTimeout(0)},
		"WithDeadline": {runtime.WithDeadline(time.Time{})},
		"WithKey":      {runtime.WithKey("", time.Hour)},
		"WithKey(":     {runtime.WithKey("k", 0)},
		"WithUnique":   {runtime.WithUnique(-1)},
		"WithKeep":     {runtime.WithKeep(-1)},
	} {
		if _, err := u.call("v", opts...).Enqueue(context.Background(), app); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want an error that names it", name, err)
		}
	}
	_, err := u.call("v", runtime.WithPriority(9), runtime.WithDelay(-1), nil).Enqueue(context.Background(), app)
	if err == nil || !strings.Contains(err.Error(), "WithPriority") || !strings.Contains(err.Error(), "WithDelay") {
		t.Errorf("%v, want all that is wrong", err)
	}
	_, err = u.call(strings.Repeat("x", 100)).Enqueue(context.Background(), app)
	if !errors.Is(err, runtime.ErrPayloadTooLarge) {
		t.Errorf("too large: %v", err)
	}
	var zero runtime.Call[int]
	if _, err := zero.Enqueue(context.Background(), app); err == nil {
		t.Error("the zero call was enqueued")
	}
	if _, err := u.call("v").Enqueue(nil, app); err == nil { //nolint:staticcheck // a nil context is the test
		t.Error("enqueued with a nil context")
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errFlaky)
	if _, err := u.call("v").Enqueue(ctx, app); !errors.Is(err, errFlaky) {
		t.Errorf("with an ended context: %v", err)
	}
	if records, _, err := app.List(context.Background(), engine.Query{}); err != nil || len(records) != 0 {
		t.Errorf("%d tasks were enqueued, %v", len(records), err)
	}
}

// Proves: FEATURES 25, 26
func TestTags(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 1})
	defaults := map[string]string{"team": "billing", "plan": "free"}
	u := newUnit[int, map[string]string]("test.Tags", retries(1), func(s *wire.Spec) { s.Tags = defaults })
	u.handle(app, func(ctx *runtime.Context, i int) (map[string]string, error) {
		m := ctx.Metadata()
		got := m.Tags.Map()
		m.Tags.Map()["plan"] = "stolen"
		if err := m.Tags.UnmarshalJSON([]byte(`{"plan":"stolen","team":"stolen","x":"y"}`)); err != nil {
			return nil, err
		}
		if m.Attempt == 0 {
			return nil, errFlaky
		}
		return got, nil
	})
	bare := newUnit[int, int]("test.Bare")
	bare.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		tags := ctx.Metadata().Tags
		if _, ok := tags.Lookup("x"); ok || tags.Map() == nil {
			return 0, errors.New("tags out of nowhere")
		}
		return tags.Len(), nil
	})
	start(t, app)
	ctx := context.Background()
	for range 2 {
		h, err := u.call(0, runtime.WithTag("plan", "pro"), runtime.WithTag("n", "1")).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		got, err := h.Wait(ctx)
		if err != nil || fmt.Sprint(got) != "map[n:1 plan:pro team:billing]" {
			t.Errorf("tags %v, %v", got, err)
		}
		rec, err := h.Record(ctx)
		if err != nil || fmt.Sprint(rec.Tags.Map()) != "map[n:1 plan:pro team:billing]" {
			t.Errorf("tags of the record %v, %v", rec.Tags.Map(), err)
		}
		var keys []string
		for k := range rec.Tags.All() {
			keys = append(keys, k)
		}
		if !slices.Equal(keys, []string{"n", "plan", "team"}) {
			t.Errorf("keys %v", keys)
		}
	}
	if got, err := await(t, app, u.call(0)); err != nil || fmt.Sprint(got) != "map[plan:free team:billing]" {
		t.Errorf("default tags %v, %v", got, err)
	}
	if n, err := await(t, app, bare.call(0)); err != nil || n != 0 {
		t.Errorf("%d tags without any, %v", n, err)
	}
	if fmt.Sprint(defaults) != "map[plan:free team:billing]" {
		t.Errorf("the task's defaults became %v", defaults)
	}
}

// TestOptions_WrongOnesAreToldApart: the error of a wrong option is ErrOption, that of an
// engine that cannot do what a right one asks for is not.
func TestOptions_WrongOnesAreToldApart(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[int, int]("test.WrongOption")
	for name, o := range map[string]runtime.Option{
		"priority": runtime.WithPriority(4), "tag": runtime.WithTag("", "x"), "queue": runtime.WithQueue("a\x00b"), "backoff": runtime.WithBackoff(-1, 0, 0),
	} {
		_, err := u.call(1, o).Enqueue(t.Context(), app)
		assert.ErrorIs(t, err, runtime.ErrOption, name)
	}
	_, err := u.call(1, runtime.WithPriority(3)).Enqueue(t.Context(), app)
	assert.NoError(t, err)
}
