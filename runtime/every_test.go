package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/memory"
)

// ticks notes which ticks ran, and when.
type ticks struct {
	mu  sync.Mutex
	ran []string
}

func (k *ticks) task(app *runtime.App) runtime.Call[int] {
	u := newUnit[int, int]("test.Tick")
	begin := time.Now()
	u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		tick, err := time.Parse(time.RFC3339Nano, ctx.Metadata().Tags.Get(runtime.TagTick))
		k.mu.Lock()
		defer k.mu.Unlock()
		k.ran = append(k.ran, fmt.Sprintf("%s at %s", tick.Sub(begin), time.Since(begin)))
		return 0, err
	})
	return u.call(0)
}

func (k *ticks) check(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.Equal(k.ran, want) {
		t.Errorf("ran %q, want %q", k.ran, want)
	}
	k.ran = nil
}

// newTickApp returns an app with a schedule. All of one test share an engine. It
// runs one task at a time, so that they note in their order that they ran.
func newTickApp(e engine.Engine, k *ticks, s runtime.Schedule, opts ...runtime.EveryOption) *runtime.App {
	app := runtime.New(e, runtime.Config{Workers: 1, Logger: discard})
	runtime.Every(app, s, k.task(app), opts...)
	return app
}

func stop(t *testing.T, app *runtime.App) {
	t.Helper()
	if err := app.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// Proves: FEATURES 63
func TestEvery_RunsATaskForEachTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k ticks
		engine := memory.New(memory.Config{})
		defer engine.Close()
		app := newTickApp(engine, &k, runtime.Interval(time.Hour)) // the bubble begins at midnight
		time.Sleep(90 * time.Minute)                               // a tick before the start is missed
		start(t, app)
		time.Sleep(3 * time.Hour)
		k.check(t, "2h0m0s at 2h0m0s", "3h0m0s at 3h0m0s", "4h0m0s at 4h0m0s")
		stop(t, app)
		time.Sleep(3 * time.Hour) // nothing runs, and nothing is made up for
		start(t, app)
		time.Sleep(time.Hour)
		k.check(t, "8h0m0s at 8h0m0s")
		stop(t, app)
	})
}

// Proves: FEATURES 63
func TestEvery_TickIsOneTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k ticks
		engine := memory.New(memory.Config{})
		defer engine.Close()
		for range 5 { // processes
			app := newTickApp(engine, &k, runtime.Interval(time.Minute))
			start(t, app)
			defer stop(t, app)
		}
		time.Sleep(150 * time.Second)
		k.check(t, "1m0s at 1m0s", "2m0s at 2m0s")
	})
}

// Proves: FEATURES 63
func TestCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k ticks
		engine := memory.New(memory.Config{})
		defer engine.Close()
		app := newTickApp(engine, &k, runtime.Interval(time.Hour), runtime.CatchUp())
		start(t, app) // the tick of now is the last one
		time.Sleep(30 * time.Minute)
		k.check(t, "0s at 0s")
		stop(t, app)
		start(t, app) // it ran already
		time.Sleep(time.Hour)
		k.check(t, "1h0m0s at 1h0m0s")
		stop(t, app)
		time.Sleep(5 * time.Hour)
		start(t, app) // 6h30m: the last of five that were missed
		k.check(t, "6h0m0s at 6h30m0s")
		time.Sleep(time.Hour)
		k.check(t, "7h0m0s at 7h0m0s")
		stop(t, app)
		time.Sleep(10 * time.Minute) // shortly after a tick that ran
		start(t, app)
		k.check(t)
		stop(t, app)
	})
}

// Proves: FEATURES 63
func TestCatchUpSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k ticks
		engine := memory.New(memory.Config{})
		defer engine.Close()
		since := time.Now().Add(90 * time.Minute)
		app := newTickApp(engine, &k, runtime.Interval(time.Hour), runtime.CatchUpSince(since))
		time.Sleep(100 * time.Minute) // the schedule is deployed after the tick at 1h0m0s
		start(t, app)
		time.Sleep(10 * time.Minute)
		k.check(t)
		stop(t, app)
		time.Sleep(2 * time.Hour)
		start(t, app) // 3h50m: the tick at 3h0m0s was missed
		k.check(t, "3h0m0s at 3h50m0s")
		stop(t, app)
	})
}

// slowEngine answers an insert as told.
type slowEngine struct {
	*memory.Engine
	insert func() error
}

func (e *slowEngine) InsertOne(ctx context.Context, m *engine.Message) (engine.Inserted, error) {
	if err := e.insert(); err != nil {
		return engine.Inserted{}, err
	}
	return e.Engine.InsertOne(ctx, m)
}

func TestEvery_EngineThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		e := &slowEngine{Engine: memory.New(memory.Config{})}
		defer e.Close()
		e.insert = func() error {
			switch now := time.Since(begin); {
			case now >= time.Minute && now < 62*time.Second:
				return errors.New("down for two seconds")
			case now >= 3*time.Minute && now < 270*time.Second:
				panic("down over a tick")
			}
			return nil
		}
		var k ticks
		app := newTickApp(e, &k, runtime.Interval(time.Minute))
		start(t, app)
		time.Sleep(330 * time.Second)
		// The third tick is missed; the fourth is made up for before the fifth.
		k.check(t, "1m0s at 1m3s", "2m0s at 2m0s", "4m0s at 4m31s", "5m0s at 5m0s")
		stop(t, app)
	})
}

func TestEvery_AfterALongPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &slowEngine{Engine: memory.New(memory.Config{})}
		defer e.Close()
		calls := 0
		e.insert = func() error {
			if calls++; calls == 1 {
				time.Sleep(10*time.Minute + time.Second) // as a process that is stopped
			}
			return nil
		}
		var k ticks
		app := newTickApp(e, &k, runtime.Interval(time.Minute))
		start(t, app)
		time.Sleep(12*time.Minute + time.Second)
		k.check(t, "1m0s at 11m1s", "11m0s at 11m1s", "12m0s at 12m0s")
		stop(t, app)
	})
}

// Proves: FEATURES 63
func TestEvery_IsCheckedAtTheStart(t *testing.T) {
	engine := memory.New(memory.Config{})
	defer engine.Close()
	app := runtime.New(engine, runtime.Config{Logger: discard})
	u, v := newUnit[int, int]("test.Unit"), newUnit[float64, int]("test.Float")
	u.handle(app, func(*runtime.Context, int) (int, error) { return 0, nil })
	hour := runtime.Interval(time.Hour)
	runtime.Every(app, runtime.Interval(0), u.call(0), runtime.EveryName("zero"))
	runtime.Every(app, nil, u.call(0), runtime.EveryName("nil"))
	runtime.Every(app, hour, nil, runtime.EveryName("no call"))
	runtime.Every(app, hour, v.call(math.NaN()), runtime.EveryName("not a number"))
	runtime.Every(app, hour, u.call(0), runtime.EveryName(""))
	runtime.Every(app, hour, u.call(0, runtime.WithRetries(-1)), runtime.EveryName("option"))
	runtime.Every(app, stuck{}, u.call(0), runtime.EveryName("stuck"))
	runtime.Every(app, broken{}, u.call(0), runtime.EveryName("broken"))
	runtime.Every(app, hour, u.call(1))
	runtime.Every(app, hour, u.call(2))
	err := app.Start(t.Context())
	if err == nil {
		t.Fatal("the app starts")
	}
	for _, want := range []string{
		`schedule "zero": the interval 0s is not positive`, `schedule "nil": it is nil`, `schedule "no call": it has no call`,
		`schedule "not a number": parameter "v"`, `schedule "": that is not a name`, `schedule "option": enqueue test.Unit: WithRetries(-1)`,
		`schedule "stuck": the tick after`, `schedule "broken": panic: boom`, `two schedules are named "test.Unit"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
}

type stuck struct{}

func (stuck) Next(t time.Time) time.Time { return t }

type broken struct{}

func (broken) Next(time.Time) time.Time { panic("boom") }

// A schedule that ends, ends.
type once struct{ at time.Time }

func (o once) Next(t time.Time) time.Time {
	if t.Before(o.at) {
		return o.at
	}
	return time.Time{}
}

func TestEvery_ScheduleThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k ticks
		engine := memory.New(memory.Config{})
		defer engine.Close()
		app := newTickApp(engine, &k, once{time.Now().Add(time.Hour)})
		start(t, app)
		time.Sleep(24 * time.Hour)
		k.check(t, "1h0m0s at 1h0m0s")
		stop(t, app)
	})
}

func TestInterval_IsAligned(t *testing.T) {
	zone := time.FixedZone("half", 5*3600+1800)
	at := time.Date(2026, 3, 4, 10, 47, 12, 5, zone)
	if got, want := runtime.Interval(time.Hour).Next(at), time.Date(2026, 3, 4, 11, 30, 0, 0, zone); !got.Equal(want) {
		t.Errorf("the tick after %s is %s, want %s", at, got, want)
	}
	for next := at; next.Sub(at) < 24*time.Hour; next = runtime.Interval(7 * time.Minute).Next(next) {
		if after := runtime.Interval(7 * time.Minute).Next(next.Add(-1)); next != at && !after.Equal(next) {
			t.Fatalf("the tick after just before %s is %s", next, after)
		}
	}
}
