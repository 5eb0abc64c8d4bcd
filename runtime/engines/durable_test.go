package engines_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/engines"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/postgres"
	"github.com/taskctx/taskctx/runtime/redis"
	"github.com/taskctx/taskctx/runtime/sqlite"
	"github.com/taskctx/taskctx/runtime/wire"
)

// How hard to test durable tasks: by default a second's worth an engine. make
// durable asks for more.
var (
	parents = flag.Int("parents", 40, "how many parents of ten children there are in the tests of durable tasks")
	races   = flag.Int("races", 200, "how often a signal or a child's end meets a suspension")
	fan     = flag.Int("fan", 200, "how many children one parent has")
	steps   = flag.Int("steps", 100, "how many steps one task has")
	waiting = flag.Int("waiting", 200, "how many tasks wait at once on 4 workers")
)

// shortLease is the lease of workers that are killed.
const shortLease = 600 * time.Millisecond

// openShort opens an engine whose workers are given up soon.
func openShort(ctx context.Context, url string) (engine.Engine, error) {
	quiet := slog.New(slog.DiscardHandler)
	switch name, rest, _ := strings.Cut(url, ":"); name {
	case "memory":
		return memory.New(memory.Config{}), nil
	case "sqlite":
		return sqlite.Open(rest, sqlite.Config{Lease: shortLease, Logger: quiet})
	case "postgres":
		return postgres.Open(ctx, url, postgres.Config{Lease: shortLease, Logger: quiet})
	default:
		return redis.Open(ctx, url, redis.Config{Lease: shortLease, Logger: quiet})
	}
}

// onJournals runs a test on each engine that has journals, with a short lease.
func onJournals(t *testing.T, f func(t *testing.T, e engine.Engine, url string)) {
	onJournalsOf(t, openShort, f)
}

// onSteady runs a test on each engine that has journals, as engines are by default:
// one that measures.
func onSteady(t *testing.T, f func(t *testing.T, e engine.Engine, url string)) {
	onJournalsOf(t, engines.Open, f)
}

func onJournalsOf(
	t *testing.T, open func(context.Context, string) (engine.Engine, error), f func(t *testing.T, e engine.Engine, url string),
) {
	for name, url := range engineURLs {
		t.Run(name, func(t *testing.T) {
			u := url(t)
			e, err := open(t.Context(), u)
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, e.Close()) })
			if _, ok := engine.As[engine.Journaler](e); !ok {
				t.Skip("the engine has no journals")
			}
			f(t, e, u)
		})
	}
}

// pressArgs are the arguments of all durable tasks of the tests.
type pressArgs struct {
	how string
	n   int
}

func (a *pressArgs) fields(f *wire.Fields) {
	f.String("how", &a.how)
	f.Int("n", &a.n)
}

type pressTask[R any] struct{ task *glue.Task[pressArgs, R] }

func newPress[R any](name string, durable bool) pressTask[R] {
	return pressTask[R]{glue.NewTask[pressArgs, R](wire.Spec{
		Name: "press." + name, Func: name, Durable: durable, Retries: 30, Delay: wire.NoDelay,
		Params: []wire.Param{{Name: "how", Sig: "string"}, {Name: "n", Sig: "int"}},
	}, (*pressArgs).fields)}
}

func (p pressTask[R]) call(how string, n int, opts ...runtime.Option) runtime.Call[R] {
	return p.task.Call((&pressArgs{how, n}).fields, opts)
}

var (
	pressParent = newPress[int]("Parent", true)
	pressWaiter = newPress[string]("Waiter", true)
	pressFan    = newPress[int]("Fan", true)
	pressSteps  = newPress[int]("Steps", true)
	pressChild  = newPress[int]("Child", false)
	pressPlain  = newPress[int]("Plain", false)
	pressGo     = runtime.NewSignal[string]("go")
)

// world is what the tasks have done.
type world struct {
	die   func() error      // whether the run dies here
	did   func(step string) // a step has had its effect
	runs  atomic.Int64
	plain atomic.Int64
}

func (w *world) register(app *runtime.App) {
	glue.Register(app, pressParent.task, func(ctx *runtime.Context, a *pressArgs) (int, error) { return w.parent(ctx, a.n) })
	glue.Register(app, pressChild.task, func(_ *runtime.Context, a *pressArgs) (int, error) { return a.n, nil })
	glue.Register(app, pressPlain.task, func(_ *runtime.Context, a *pressArgs) (int, error) {
		w.plain.Add(1)
		return a.n, nil
	})
	glue.Register(app, pressWaiter.task, func(ctx *runtime.Context, a *pressArgs) (string, error) {
		w.runs.Add(1)
		if a.how == "for ever" { // without an entry for the time
			return pressGo.Await(ctx, 0)
		}
		return pressGo.Await(ctx, 72*time.Hour)
	})
	glue.Register(app, pressSteps.task, func(ctx *runtime.Context, a *pressArgs) (last int, err error) {
		for i := range a.n {
			if last, err = runtime.Step(ctx, fmt.Sprint("step/", i), func(context.Context) (int, error) { return i, nil }); err != nil {
				return 0, err
			}
		}
		return last, nil
	})
	glue.Register(app, pressFan.task, func(ctx *runtime.Context, a *pressArgs) (int, error) {
		w.runs.Add(1)
		calls := make([]runtime.Call[int], a.n)
		for i := range calls {
			calls[i] = pressChild.call("", i, fanLimit(a.how, a.n, i)...)
		}
		got, err := runtime.All(ctx, "c", calls...)
		sum := 0
		for _, n := range got {
			sum += n
		}
		return sum, err
	})
}

// fanLimit is the limit of a child, or of a plain task in its place: two of each ten at a
// time, or 20 of all.
func fanLimit(how string, n, i int) []runtime.Option {
	switch how {
	case "many keys":
		return []runtime.Option{runtime.WithLimit(fmt.Sprint("fan ", i%max(n/10, 1)), 2)}
	case "one key":
		return []runtime.Option{runtime.WithLimit("fan", 20)}
	}
	return nil
}

// parent has two steps before its ten children, one among them, and one after; it
// may die at each point.
func (w *world) parent(ctx *runtime.Context, n int) (int, error) {
	w.runs.Add(1)
	step := func(name string, v int) (int, error) {
		return runtime.Step(ctx, name, func(context.Context) (int, error) {
			if w.did != nil {
				w.did(fmt.Sprintf("%d/%s", n, name))
			}
			return v, w.dies()
		})
	}
	base, err := step("base", n*100)
	if err != nil {
		return 0, err
	}
	var fs []*runtime.Future[int]
	for i := range 10 {
		fs = append(fs, runtime.Spawn(ctx, fmt.Sprint("child/", i), pressChild.call("", base+i)))
		if i == 4 {
			if err := w.dies(); err != nil {
				return 0, err
			}
			if _, err := step("half", 0); err != nil {
				return 0, err
			}
		}
	}
	ns, err := runtime.AwaitAll(ctx, fs...)
	if err != nil {
		return 0, err
	}
	if err := w.dies(); err != nil {
		return 0, err
	}
	sum := 0
	for _, n := range ns {
		sum += n
	}
	return step("sum", sum)
}

var errDied = errors.New("died")

func (w *world) dies() error {
	if w.die == nil {
		return nil
	}
	return w.die()
}

func startDurable(t *testing.T, e engine.Engine, w *world, workers int) *runtime.App {
	t.Helper()
	app := runtime.New(e, runtime.Config{Workers: workers, Logger: slog.New(slog.DiscardHandler)})
	w.register(app)
	require.NoError(t, app.Start(context.Background()))
	t.Cleanup(func() { assert.NoError(t, app.Stop(context.Background())) })
	return app
}

// enqueueParents enqueues parents, numbered from first, and returns their handles.
func enqueueParents(t *testing.T, app *runtime.App, n, first int) []*runtime.Handle[int] {
	t.Helper()
	hs := make([]*runtime.Handle[int], n)
	for i := 0; i < n; {
		var b runtime.Batch
		for ; i < n && b.Len() < 500; i++ {
			hs[i] = runtime.AddTo(&b, pressParent.call("", first+i))
		}
		require.NoError(t, b.Enqueue(context.Background(), app))
	}
	return hs
}

// allEnd waits for the parents, and checks what they have made and how many
// children there are.
func allEnd(t *testing.T, app *runtime.App, hs []*runtime.Handle[int]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute+time.Duration(len(hs))*100*time.Millisecond)
	defer cancel()
	bad := 0
	for i, h := range hs {
		sum, err := h.Wait(ctx)
		if want := i*1000 + 45; err != nil || sum != want {
			if bad++; bad < 5 {
				t.Errorf("parent %d ended with %d, %v, want %d", i, sum, err, want)
			}
		}
	}
	assert.Zero(t, bad, "parents that ended otherwise, or wait for ever")
	total := 0
	for id, n := range childrenOf(t, app, hs...) {
		total += n
		if n != 10 {
			t.Errorf("parent %s has %d children", id, n)
		}
	}
	assert.Equal(t, 10*len(hs), total, "children enqueued")
}

// childrenOf counts the children of the parents.
func childrenOf(t *testing.T, app *runtime.App, hs ...*runtime.Handle[int]) map[uuid.UUID]int {
	t.Helper()
	of := make(map[uuid.UUID]int)
	for _, h := range hs {
		of[h.ID()] = 0
	}
	for q := (engine.Query{Name: "press.Child", Limit: 1000, Brief: true}); ; {
		rs, next, err := app.List(t.Context(), q)
		require.NoError(t, err)
		for _, r := range rs {
			if _, ours := of[r.ParentID]; ours { // the database may hold those of another test
				of[r.ParentID]++
			}
		}
		if q.Cursor = next; next == "" {
			return of
		}
	}
}

// TestDurable_BetweenProcesses: one process enqueues, sends and looks, another runs.
//
// Proves: FEATURES 81, 82, 83, 86, 89
func TestDurable_BetweenProcesses(t *testing.T) {
	onJournals(t, func(t *testing.T, e engine.Engine, url string) {
		other := e
		if url != "memory:" {
			var err error
			other, err = openShort(t.Context(), url)
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, other.Close()) })
		}
		startDurable(t, other, new(world), 2)
		web := runtime.New(e, runtime.Config{Logger: slog.New(slog.DiscardHandler)})
		h, err := pressWaiter.call("", 0).Enqueue(t.Context(), web)
		require.NoError(t, err)
		waits(t, web, h.ID())
		require.NoError(t, pressGo.Send(t.Context(), web, h.ID(), "yes", runtime.WithSendKey("k")))
		got, err := h.Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "yes", got)
		require.ErrorIs(t, pressGo.Send(t.Context(), web, h.ID(), "no"), runtime.ErrState)
		p, err := pressParent.call("", 7).Enqueue(t.Context(), web)
		require.NoError(t, err)
		sum, err := p.Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 7045, sum)
		js, err := web.Journal(t.Context(), p.ID())
		require.NoError(t, err)
		assert.Len(t, js, 13)
		h, err = pressWaiter.call("", 0).Enqueue(t.Context(), web)
		require.NoError(t, err)
		waits(t, web, h.ID())
		require.NoError(t, web.Cancel(t.Context(), h.ID(), "not needed"))
		_, err = h.Wait(t.Context())
		require.ErrorIs(t, err, runtime.ErrCancelled)
	})
}

// waits waits until the task is suspended.
func waits(t *testing.T, app *runtime.App, id uuid.UUID) {
	t.Helper()
	require.Eventually(t, func() bool {
		r, err := app.Lookup(t.Context(), id)
		return err == nil && r.State == engine.StateWaiting
	}, time.Minute, time.Millisecond)
}

// TestDurable_Dying: parents die at every point, a quarter of the times that they
// come there, and their worker is stopped without time for its tasks.
//
// Proves: FEATURES 82, RELIABILITY 38
func TestDurable_Dying(t *testing.T) {
	onJournals(t, func(t *testing.T, e engine.Engine, _ string) {
		var deaths atomic.Int64
		w := &world{die: func() error {
			if rand.IntN(4) > 0 {
				return nil
			}
			deaths.Add(1)
			return errDied
		}}
		app := startDurable(t, e, w, 16)
		began := time.Now()
		hs := enqueueParents(t, app, *parents, 0)
		for range 3 {
			time.Sleep(100 * time.Millisecond)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			_ = app.Stop(ctx) // it names what it has given back
			cancel()
			require.Eventually(t, func() bool { return app.Start(context.Background()) == nil }, time.Minute, time.Millisecond)
		}
		allEnd(t, app, hs)
		t.Logf("%d parents of 10 children in %d runs, %d deaths and 3 restarts, in %v: each child enqueued once",
			len(hs), w.runs.Load(), deaths.Load(), time.Since(began).Round(time.Millisecond))
	})
}

// TestDurable_DyingBetweenLots: a parent of many children dies when a thousand of them
// are stored, and again when two thousand are. Each is enqueued once.
//
// Proves: FEATURES 82
func TestDurable_DyingBetweenLots(t *testing.T) {
	onJournals(t, func(t *testing.T, e engine.Engine, _ string) {
		const n = 2600
		var runs, ran atomic.Int64
		app := runtime.New(e, runtime.Config{Workers: 16, Logger: slog.New(slog.DiscardHandler)})
		glue.Register(app, pressChild.task, func(_ *runtime.Context, a *pressArgs) (int, error) {
			ran.Add(1)
			return a.n, nil
		})
		glue.Register(app, pressFan.task, func(ctx *runtime.Context, a *pressArgs) (int, error) {
			run := int(runs.Add(1))
			var fs []*runtime.Future[int]
			for i := range a.n {
				if i == 1000*run+500 && run < 3 {
					return 0, errDied
				}
				fs = append(fs, runtime.Spawn(ctx, fmt.Sprint("c/", i), pressChild.call("", i)))
			}
			got, err := runtime.AwaitAll(ctx, fs...)
			return len(got), err
		})
		require.NoError(t, app.Start(context.Background()))
		t.Cleanup(func() { assert.NoError(t, app.Stop(context.Background())) })
		h, err := pressFan.call("", n).Enqueue(t.Context(), app)
		require.NoError(t, err)
		got, err := h.Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, n, got)
		assert.Equal(t, n, childrenOf(t, app, h)[h.ID()], "children enqueued")
		assert.EqualValues(t, n, ran.Load())
		js, err := app.Journal(t.Context(), h.ID())
		require.NoError(t, err)
		require.Len(t, js, n)
		for i, attempt := range map[int]int{0: 0, 999: 0, 1000: 1, 1999: 1, 2000: 2, n - 1: 2} {
			assert.Equal(t, attempt, js[i].Attempt-js[0].Attempt, "the run that spawned child %d", i)
		}
	})
}

// TestDurable_Races: signals come, and children end, in the moment in which their
// parent is suspended. No wake-up is lost.
//
// Proves: RELIABILITY 38
func TestDurable_Races(t *testing.T) {
	onJournals(t, func(t *testing.T, e engine.Engine, _ string) {
		w := new(world)
		app := startDurable(t, e, w, 8)
		began := time.Now()
		var next, lost atomic.Int64
		var pause atomic.Int64 // about how long it takes to the suspension
		pause.Store(int64(200 * time.Microsecond))
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for next.Add(1) <= int64(*races) {
					h, err := pressWaiter.call("", 0).Enqueue(t.Context(), app)
					if err != nil {
						t.Error(err)
						return
					}
					before := w.runs.Load()
					time.Sleep(rand.N(time.Duration(pause.Load())))
					if w.runs.Load() == before { // too early
						pause.Store(min(pause.Load()+pause.Load()/16, int64(100*time.Millisecond)))
					} else {
						pause.Store(max(pause.Load()-pause.Load()/16, int64(50*time.Microsecond)))
					}
					if err := pressGo.Send(t.Context(), app, h.ID(), "yes"); err != nil {
						t.Error(err)
						return
					}
					ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
					if _, err := h.Wait(ctx); err != nil {
						lost.Add(1)
					}
					cancel()
				}
			})
		}
		wg.Wait()
		assert.Zero(t, lost.Load(), "wake-ups that were lost")
		t.Logf("%d signals met %d runs: %d lost, in %v", *races, w.runs.Load(), lost.Load(), time.Since(began).Round(time.Millisecond))
		began = time.Now()
		next.Store(0)
		w.runs.Store(0)
		for range 16 {
			wg.Go(func() {
				for next.Add(1) <= int64(*races) {
					ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
					h, err := pressFan.call("", 2).Enqueue(ctx, app)
					if err == nil {
						_, err = h.Wait(ctx)
					}
					if err != nil {
						lost.Add(1)
						t.Error(err)
					}
					cancel()
				}
			})
		}
		wg.Wait()
		t.Logf("%d parents of 2 children in %d runs: %d lost, in %v", *races, w.runs.Load(), lost.Load(), time.Since(began).Round(time.Millisecond))
	})
}
