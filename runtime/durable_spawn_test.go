package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// press is an app with a task Render, whose result is its argument doubled, and
// which fails for negative ones.
func press(t *testing.T, cfg runtime.Config) (*runtime.App, unitTask[int, int]) {
	app := newUnitApp(t, cfg)
	render := newUnit[int, int]("press.Render")
	render.handle(app, func(_ *runtime.Context, n int) (int, error) {
		if n < 0 {
			return 0, runtime.Permanent(fmt.Errorf("no ink for %d", n))
		}
		return 2 * n, nil
	})
	return app, render
}

// Proves: FEATURES 82, 84
func TestSpawn_OnceOverAllRuns(t *testing.T) {
	app, render := press(t, runtime.Config{Workers: 4})
	u := newUnit[int, []int]("press.Publish", durably, retries(3))
	var runs atomic.Int64
	u.handle(app, func(ctx *runtime.Context, n int) ([]int, error) {
		run := runs.Add(1)
		var fs []*runtime.Future[int]
		for i := range n {
			fs = append(fs, runtime.Spawn(ctx, fmt.Sprint("page/", i), render.call(i)))
			if i == n/2 && run == 1 {
				if _, err := runtime.Step(ctx, "half", func(context.Context) (int, error) { return 0, nil }); err != nil {
					return nil, err
				}
				return nil, errors.New("dies with half of them")
			}
		}
		if run == 1 {
			t.Error("not reached")
		}
		return runtime.AwaitAll(ctx, fs...)
	})
	start(t, app)
	got, err := await(t, app, u.call(10))
	require.NoError(t, err)
	assert.Equal(t, []int{0, 2, 4, 6, 8, 10, 12, 14, 16, 18}, got)
	rs, _, err := app.List(t.Context(), engine.Query{Name: "press.Render"})
	require.NoError(t, err)
	assert.Len(t, rs, 10)
}

func TestSpawn_ChildrenKnowTheirParent(t *testing.T) {
	app, render := press(t, runtime.Config{Workers: 4})
	u := newUnit[int, int]("press.Publish", durably)
	u.handle(app, func(ctx *runtime.Context, n int) (int, error) {
		return runtime.Spawn(ctx, "page/1", render.call(n, runtime.WithTag("a", "b"))).Await(ctx)
	})
	start(t, app)
	h := enqueue(t, app, u.call(4))
	got, err := result(t, h)
	require.NoError(t, err)
	assert.Equal(t, 8, got)
	es := journalOf(t, app, h.ID())
	require.Len(t, es, 1)
	rec, err := app.Lookup(t.Context(), es[0].Child)
	require.NoError(t, err)
	assert.Equal(t, h.ID(), rec.ParentID)
	assert.Equal(t, h.ID(), rec.RootID)
	assert.Equal(t, "b", rec.Tags.Get("a"))
}

// Proves: FEATURES 85
func TestAwaitAll_FailedChildFailsItsParentAtOnce(t *testing.T) {
	app, render := press(t, runtime.Config{Workers: 4})
	u := newUnit[int, []int]("press.Publish", durably, retries(3))
	var runs atomic.Int64
	u.handle(app, func(ctx *runtime.Context, _ int) ([]int, error) {
		runs.Add(1)
		return runtime.All(ctx, "page", render.call(1), render.call(-1), render.call(2, runtime.WithDelay(time.Hour)))
	})
	start(t, app)
	h := enqueue(t, app, u.call(0))
	_, err := result(t, h)
	require.ErrorContains(t, err, "child page/1: task press.Render")
	require.ErrorContains(t, err, "failed: no ink for -1")
	assert.LessOrEqual(t, runs.Load(), int64(3), "it is not retried")
	es := journalOf(t, app, h.ID())
	require.Len(t, es, 3)
	late := reaches(t, app, es[2].Child, engine.StateCancelled)
	assert.Equal(t, engine.ParentEnded(h.ID(), engine.StateFailed), late.Reason)
}

func TestAwait_ErrorOfAChildIsTyped(t *testing.T) {
	app, render := press(t, runtime.Config{Workers: 4})
	u := newUnit[string, string]("press.Publish", durably, retries(3))
	u.handle(app, func(ctx *runtime.Context, how string) (string, error) {
		f := runtime.Spawn(ctx, "page", render.call(1, runtime.WithDelay(time.Hour)))
		_, err := f.Await(ctx)
		var te *runtime.TaskError
		if errors.As(err, &te) {
			return fmt.Sprint(te.State, " ", te.Name, " ", te.Reason, " ", errors.Is(err, runtime.ErrCancelled), " ",
				errors.Is(err, runtime.ErrNotFound), " ", te.ID != uuid.Nil), nil
		}
		return "", err
	})
	start(t, app)
	for how, want := range map[string]string{
		"cancel": "cancelled press.Render not needed true false true",
		"delete": "deleted press.Render " + engine.ReasonDeleted + " false true true",
	} {
		h := enqueue(t, app, u.call(how))
		reaches(t, app, h.ID(), engine.StateWaiting)
		child := journalOf(t, app, h.ID())[0].Child
		if how == "cancel" {
			require.NoError(t, app.Cancel(t.Context(), child, "not needed"))
		} else {
			require.NoError(t, app.Delete(t.Context(), child))
		}
		got, err := result(t, h)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

// Proves: FEATURES 84
func TestAwaitEnds_HasResultsAndFailures(t *testing.T) {
	app, render := press(t, runtime.Config{Workers: 4})
	u := newUnit[int, string]("press.Publish", durably)
	u.handle(app, func(ctx *runtime.Context, _ int) (string, error) {
		var fs []*runtime.Future[int]
		for i, n := range []int{1, -1, 3, -2} {
			fs = append(fs, runtime.Spawn(ctx, fmt.Sprint(i), render.call(n)))
		}
		ends, err := runtime.AwaitEnds(ctx, fs...)
		if err != nil {
			return "", err
		}
		text := ""
		for _, e := range ends {
			text += fmt.Sprint(e.Result, e.Err != nil, " ")
		}
		return text, nil
	})
	start(t, app)
	got, err := await(t, app, u.call(0))
	require.NoError(t, err)
	assert.Equal(t, "2 false 0 true 6 false 0 true ", got)
}

// Proves: FEATURES 84
func TestAwaitAny_IsTheSameInEveryRun(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 4})
	u := newUnit[int, int]("press.Publish", durably, retries(5))
	race := newUnit[int, int]("press.Race")
	turns := []chan struct{}{make(chan struct{}), make(chan struct{}), make(chan struct{})}
	race.handle(app, func(_ *runtime.Context, n int) (int, error) { <-turns[n]; return 10 + n, nil })
	var firsts []int
	u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		var fs []*runtime.Future[int]
		for i := range turns {
			fs = append(fs, runtime.Spawn(ctx, fmt.Sprint(i), race.call(i)))
		}
		i, v, err := runtime.AwaitAny(ctx, fs...)
		if err != nil {
			return 0, err
		}
		firsts = append(firsts, i)
		if len(firsts) == 1 {
			close(turns[0])
			close(turns[2])
		}
		if _, err := runtime.AwaitAll(ctx, fs...); err != nil {
			return 0, err
		}
		if len(firsts) < 4 {
			return 0, errors.New("again")
		}
		return v, nil
	})
	start(t, app)
	h := enqueue(t, app, u.call(0))
	reaches(t, app, h.ID(), engine.StateWaiting)
	close(turns[1])
	got, err := result(t, h)
	require.NoError(t, err)
	assert.Equal(t, 11, got)
	for _, i := range firsts {
		assert.Equal(t, 1, i)
	}
}

func TestSpawn_HeldKeyFailsTheParent(t *testing.T) {
	app, render := press(t, runtime.Config{Workers: 4})
	holder := enqueue(t, app, render.call(1, runtime.WithActiveKey("ink"), runtime.WithDelay(time.Hour)))
	u := newUnit[int, int]("press.Publish", durably, retries(3))
	var runs atomic.Int64
	u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		runs.Add(1)
		return runtime.Spawn(ctx, "page", render.call(2, runtime.WithActiveKey("ink"))).Await(ctx)
	})
	start(t, app)
	_, err := await(t, app, u.call(0))
	require.ErrorContains(t, err, "child page was not spawned: its key is held by task "+holder.ID().String())
	assert.EqualValues(t, 1, runs.Load())
}

func TestSpawn_UnencodableChildFailsTheParent(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 1})
	render := newUnit[float64, int]("press.Render")
	render.handle(app, func(*runtime.Context, float64) (int, error) { return 1, nil })
	u := newUnit[bool, int]("press.Publish", durably, retries(3))
	u.handle(app, func(ctx *runtime.Context, await bool) (int, error) {
		f := runtime.Spawn(ctx, "page", render.call(math.NaN()))
		if await {
			return f.Await(ctx)
		}
		return 1, nil
	})
	start(t, app)
	for _, awaits := range []bool{true, false} {
		_, err := await(t, app, u.call(awaits))
		require.ErrorContains(t, err, "child page: enqueue press.Render: ")
	}
}

func TestOrphan_GoesOn(t *testing.T) {
	app, render := press(t, runtime.Config{Workers: 2})
	u := newUnit[int, int]("press.Publish", durably)
	u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		runtime.Spawn(ctx, "orphan", render.call(1, runtime.Orphan(), runtime.WithDelay(time.Hour)))
		return runtime.Spawn(ctx, "other", render.call(1, runtime.WithDelay(time.Hour))).Await(ctx)
	})
	start(t, app)
	h := enqueue(t, app, u.call(0))
	reaches(t, app, h.ID(), engine.StateWaiting)
	es := journalOf(t, app, h.ID())
	require.NoError(t, app.Cancel(t.Context(), h.ID(), "no"))
	reaches(t, app, es[1].Child, engine.StateCancelled)
	rec, err := app.Lookup(t.Context(), es[0].Child)
	require.NoError(t, err)
	assert.Equal(t, engine.StateScheduled, rec.State)
}

// recording counts what runs record, and fails as it is told.
type recording struct {
	*memory.Engine
	mu   sync.Mutex
	sets []int
	fail func(set int) error // for the set of that number, from 1
}

func (e *recording) Serve(ctx context.Context, w *engine.Worker) error {
	own := *w
	own.RunInline = func(ctx context.Context, d *engine.Delivery, o *engine.Outcome) {
		d.Memo = recordingMemo{d.Memo, d.Memo.(engine.Journal), e}
		w.RunInline(ctx, d, o)
	}
	return e.Engine.Serve(ctx, &own)
}

type recordingMemo struct {
	engine.Memo
	engine.Journal
	e *recording
}

func (m recordingMemo) Record(ctx context.Context, es []engine.NewEntry) ([]engine.JournalEntry, error) {
	m.e.mu.Lock()
	m.e.sets = append(m.e.sets, len(es))
	set := len(m.e.sets)
	m.e.mu.Unlock()
	if m.e.fail != nil {
		if err := m.e.fail(set); err != nil {
			return nil, err
		}
	}
	return m.Journal.Record(ctx, es)
}

func TestSpawn_ManyChildrenAreStoredTogether(t *testing.T) {
	store := &recording{Engine: memory.New(memory.Config{})}
	app := runtime.New(store, runtime.Config{Workers: 4, Logger: discard})
	render := newUnit[int, int]("press.Render")
	render.handle(app, func(_ *runtime.Context, n int) (int, error) { return n, nil })
	u := newUnit[int, int]("press.Publish", durably)
	var runs atomic.Int64
	u.handle(app, func(ctx *runtime.Context, n int) (int, error) {
		runs.Add(1)
		calls := make([]runtime.Call[int], n)
		for i := range calls {
			calls[i] = render.call(i)
		}
		got, err := runtime.All(ctx, "page", calls...)
		return len(got), err
	})
	start(t, app)
	got, err := await(t, app, u.call(2500))
	require.NoError(t, err)
	assert.Equal(t, 2500, got)
	assert.Equal(t, []int{1000, 1000, 500}, store.sets)
	assert.LessOrEqual(t, runs.Load(), int64(3))
	require.NoError(t, app.Stop(t.Context()))
	require.NoError(t, store.Close())
}

// TestSpawn_ManyRunWhileTheirParentSpawns: the first thousand have all ended before
// their parent waits for them.
func TestSpawn_ManyRunWhileTheirParentSpawns(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 4})
	var ran sync.WaitGroup
	ran.Add(1000)
	render := newUnit[int, int]("press.Render")
	render.handle(app, func(_ *runtime.Context, n int) (int, error) {
		if n < 1000 {
			ran.Done()
		}
		return n, nil
	})
	u := newUnit[int, int]("press.Publish", durably)
	u.handle(app, func(ctx *runtime.Context, n int) (int, error) {
		var fs []*runtime.Future[int]
		for i := range n {
			if i == 1000 {
				all := make(chan struct{})
				go func() { ran.Wait(); close(all) }()
				select {
				case <-all:
				case <-time.After(30 * time.Second):
					return 0, runtime.Permanent(errors.New("the first thousand do not run"))
				}
			}
			fs = append(fs, runtime.Spawn(ctx, fmt.Sprint("page/", i), render.call(i)))
		}
		got, err := runtime.AwaitAll(ctx, fs...)
		return len(got), err
	})
	start(t, app)
	got, err := await(t, app, u.call(1010))
	require.NoError(t, err)
	assert.Equal(t, 1010, got)
}

// TestSpawn_ManyThatCannotBeStored: Spawn tries once, and the wait for the children
// once more, whose error counts.
func TestSpawn_ManyThatCannotBeStored(t *testing.T) {
	for name, c := range map[string]struct {
		fails int
		sets  []int
		err   string
	}{
		"once":     {1, []int{1000, 1000, 1000, 500}, ""},
		"for good": {2, []int{1000, 1000}, "no room"},
	} {
		t.Run(name, func(t *testing.T) {
			store := &recording{Engine: memory.New(memory.Config{}), fail: func(set int) error {
				if set <= c.fails {
					return errors.New("no room")
				}
				return nil
			}}
			app := runtime.New(store, runtime.Config{Workers: 4, Logger: discard})
			render := newUnit[int, int]("press.Render")
			render.handle(app, func(_ *runtime.Context, n int) (int, error) { return n, nil })
			u := newUnit[int, int]("press.Publish", durably)
			u.handle(app, func(ctx *runtime.Context, n int) (int, error) {
				var fs []*runtime.Future[int]
				for i := range n {
					fs = append(fs, runtime.Spawn(ctx, fmt.Sprint("page/", i), render.call(i)))
				}
				got, err := runtime.AwaitAll(ctx, fs...)
				return len(got), err
			})
			start(t, app)
			got, err := await(t, app, u.call(2500))
			if c.err == "" {
				require.NoError(t, err)
				assert.Equal(t, 2500, got)
			} else {
				require.ErrorContains(t, err, c.err)
			}
			assert.Equal(t, c.sets, store.sets)
			require.NoError(t, app.Stop(t.Context()))
			require.NoError(t, store.Close())
		})
	}
}

func TestSpawn_GoesThroughMiddlewareWithItsContext(t *testing.T) {
	var names []string
	var who []any
	type whoKey struct{}
	cfg := runtime.Config{Workers: 1, EnqueueMiddleware: []runtime.EnqueueMiddleware{
		func(next runtime.EnqueueHandler) runtime.EnqueueHandler {
			return func(ctx context.Context, calls []runtime.AnyCall) ([]engine.Inserted, error) {
				for i := range calls {
					names = append(names, calls[i].Name())
					calls[i] = calls[i].With(runtime.WithTag("by", "middleware"))
				}
				who = append(who, ctx.Value(whoKey{}))
				return next(ctx, calls)
			}
		},
	}}
	app, render := press(t, cfg)
	u := newUnit[int, int]("press.Publish", durably)
	u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		one, cancel := context.WithCancel(context.WithValue(ctx, whoKey{}, "ann"))
		a := runtime.Spawn(one, "a", render.call(1))
		b := runtime.Spawn(one, "b", render.call(2))
		cancel() // what Spawn was called with need not last
		c := runtime.Spawn(context.WithValue(ctx, whoKey{}, "bob"), "c", render.call(3))
		got, err := runtime.AwaitAll(ctx, a, b, c)
		return len(got), err
	})
	start(t, app)
	h := enqueue(t, app, u.call(0))
	got, err := result(t, h)
	require.NoError(t, err)
	assert.Equal(t, 3, got)
	assert.Equal(t, []string{"press.Publish", "press.Render", "press.Render", "press.Render"}, names)
	assert.Equal(t, []any{nil, "ann", "bob"}, who)
	rec, err := app.Lookup(t.Context(), journalOf(t, app, h.ID())[2].Child)
	require.NoError(t, err)
	assert.Equal(t, "middleware", rec.Tags.Get("by"))
}

// Proves: FEATURES 90
func TestDurable_OldWorkersParkOnlyDurableTasksAndChildren(t *testing.T) {
	app, render := press(t, runtime.Config{Workers: 1})
	u := newUnit[int, int]("press.Publish", durably)
	u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		if _, err := render.call(1).Enqueue(ctx, app); err != nil {
			return 0, err
		}
		return runtime.Spawn(ctx, "page", render.call(2)).Await(ctx)
	})
	start(t, app)
	h := enqueue(t, app, u.call(0))
	_, err := result(t, h)
	require.NoError(t, err)
	versions := make(map[string]int16)
	es, _, err := app.Engine().List(t.Context(), engine.Query{})
	require.NoError(t, err)
	for _, e := range es {
		versions[e.Message.Name+" "+e.Message.Meta.Entry] = e.Message.Meta.Version
	}
	assert.Equal(t, map[string]int16{"press.Publish ": 2, "press.Render ": 1, "press.Render page": 2}, versions)
}

// plain is an engine without journals.
type plain struct{ engine.Engine }

func TestDurable_RefusedWithoutJournals(t *testing.T) {
	store := memory.New(memory.Config{})
	t.Cleanup(func() { _ = store.Close() })
	app := runtime.New(plain{store}, runtime.Config{Workers: 1, Logger: discard})
	u := newUnit[int, int]("press.Publish", durably)
	u.handle(app, func(*runtime.Context, int) (int, error) { return 1, nil })
	err := app.Start(t.Context())
	require.ErrorIs(t, err, runtime.ErrUnsupported)
	require.ErrorContains(t, err, "task press.Publish: durable tasks are not supported by this engine")
	_, err = u.call(1).Enqueue(t.Context(), app)
	require.ErrorIs(t, err, runtime.ErrUnsupported)
	require.ErrorIs(t, approved.Send(t.Context(), app, uuid.New(), "x"), runtime.ErrUnsupported)
	skipping := runtime.New(plain{store}, runtime.Config{Workers: 1, Logger: discard, SkipUnsupported: true})
	u.handle(skipping, func(*runtime.Context, int) (int, error) { return 1, nil })
	require.NoError(t, skipping.Start(t.Context()))
	require.NoError(t, skipping.Stop(t.Context()))
}

func TestDurable_JournalIsBounded(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 1})
	u := newUnit[int, int]("press.Publish", durably, retries(3))
	large := string(make([]byte, 0))
	for range 15 {
		large += "0123456789abcde"
	}
	for len(large) < 1000_000 {
		large += large
	}
	u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		for i := range 100 {
			if _, err := runtime.Step(ctx, fmt.Sprint(i), func(context.Context) (string, error) { return large[:1000_000], nil }); err != nil {
				return i, err
			}
		}
		return 0, nil
	})
	start(t, app)
	h := enqueue(t, app, u.call(0))
	_, err := result(t, h)
	require.ErrorContains(t, err, "journal is full: go on in a successor")
	assert.Len(t, journalOf(t, app, h.ID()), 16)
}

func TestStep_ValuesAreJSON(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 1})
	u := newUnit[int, int]("press.Publish", durably)
	u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		return runtime.Step(ctx, "a", func(context.Context) (int, error) { return 7, nil })
	})
	start(t, app)
	h := enqueue(t, app, u.call(0))
	_, err := result(t, h)
	require.NoError(t, err)
	var v map[string]any
	require.NoError(t, json.Unmarshal(journalOf(t, app, h.ID())[0].Value, &v))
	assert.Equal(t, map[string]any{"name": "a", "type": "int", "value": 7.0}, v)
}
