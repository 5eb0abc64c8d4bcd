package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/wire"
)

// What is nil, or was never made, is an error that says so, and no panic.
//
// Proves: RELIABILITY 5
func TestEnqueue_OnNil(t *testing.T) {
	u := newUnit[int, int]("test.Nothing")
	ctx := context.Background()
	noEngine := runtime.New(nil, runtime.Config{})
	for name, test := range map[string]struct {
		on   runtime.Enqueuer
		want string
	}{
		"nil":            {nil, "the app is nil"},
		"no default app": {runtime.AppFrom(ctx), "the app is nil"},
		"no engine":      {noEngine, "the engine is nil"},
		"no inserter":    {runtime.New(newMemory(t), runtime.Config{}).Via(nil), "the engine is nil"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := u.call(1).Enqueue(ctx, test.on); err == nil || !strings.Contains(err.Error(), test.want) ||
				!strings.Contains(err.Error(), "test.Nothing") {
				t.Errorf("Enqueue: %v, want the task and %q", err, test.want)
			}
			var b runtime.Batch
			h := runtime.AddTo(&b, u.call(1))
			if err := b.Enqueue(ctx, test.on); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Batch: %v, want %q", err, test.want)
			}
			if _, err := h.Wait(ctx); err == nil {
				t.Error("Wait of a task that was not enqueued succeeded")
			}
		})
	}
	if err := noEngine.Start(ctx); err == nil || !strings.Contains(err.Error(), "the engine is nil") {
		t.Errorf("Start: %v", err)
	}
	var zero runtime.Call[int]
	if _, err := zero.Enqueue(ctx, runtime.New(newMemory(t), runtime.Config{})); err == nil || zero.AnyCall.Name() != "" {
		t.Errorf("the zero call: %v, its name is %q", err, zero.AnyCall.Name())
	}
}

// A result is bounded as arguments are, also one of a trigger hook.
func TestMaxPayload_ResultTooLarge(t *testing.T) {
	hook := func(*runtime.Context, *runtime.TriggerError) (any, bool, error) {
		return strings.Repeat("x", 99), true, nil
	}
	cfg := runtime.Config{MaxPayload: 100, Logger: silent, OnTrigger: []runtime.TriggerHook{hook}}
	for name, test := range map[string]struct {
		task func() (string, error)
		want string
	}{
		"just fits":     {func() (string, error) { return strings.Repeat("x", 98), nil }, ""},
		"too large":     {func() (string, error) { return strings.Repeat("x", 99), nil }, "101 bytes, the limit is 100"},
		"of a trigger":  {func() (string, error) { return "", runtime.Trigger() }, "101 bytes, the limit is 100"},
		"with an error": {func() (string, error) { return strings.Repeat("x", 999), errFlaky }, "flaky"},
		"not JSON":      {func() (string, error) { return "\xff", nil }, "encode result: is not valid UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := runUnit(t, cfg, func(*runtime.Context) (string, error) { return test.task() })
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// A worker whose engine has failed leaves its error to Stop.
func TestStop_ReturnsWhyTheWorkerStopped(t *testing.T) {
	errDisk := errors.New("disk full")
	stopped := make(chan struct{})
	app := runtime.New(failingEngine{newMemory(t), func() error { return errDisk }}, runtime.Config{
		Logger: silent, Observers: []hook.Observer{hook.ObserverFunc(func(e hook.Event) {
			if e.Kind == hook.EventWorkerStop {
				close(stopped)
			}
		})},
	})
	start(t, app)
	<-stopped
	if err := app.Stop(context.Background()); !errors.Is(err, errDisk) {
		t.Errorf("Stop: %v, want what the worker stopped with", err)
	}
	if err := app.Stop(context.Background()); err != nil {
		t.Errorf("Stop again: %v", err)
	}
}

// What has no effect, or none yet, is in the log.
func TestStart_LogsForgottenRegistrations(t *testing.T) {
	var log safeBuffer
	app := newUnitApp(t, runtime.Config{Logger: textLogger(&log)})
	start(t, app)
	if !strings.Contains(log.String(), "without tasks") {
		t.Errorf("an app without tasks says %q", log.String())
	}
	u := newUnit[int, int]("test.Late")
	u.handle(app, func(*runtime.Context, int) (int, error) { return 0, nil })
	runtime.Every(app, runtime.Interval(time.Hour), u.call(1), runtime.EveryName("late-schedule"))
	glue.RegisterContext(app, func(ctx *runtime.Context) (*hookContext, error) { return nil, nil })
	for _, want := range []string{"name=test.Late", "name=late-schedule", "name=*runtime_test.hookContext"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("not logged: %s\n%s", want, log.String())
		}
	}
	if err := app.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	before := len(log.String())
	start(t, app)
	if after := log.String()[before:]; strings.Contains(after, slog.LevelWarn.String()) {
		t.Errorf("the next start says %q", after)
	}
	if _, err := await(t, app, u.call(1)); err != nil {
		t.Error(err)
	}
}

// An app does not see what becomes of the lists that it was configured with.
func TestConfig_IsCopied(t *testing.T) {
	cfg := runtime.Config{
		Queues:      []string{"default"},
		Propagators: []hook.Propagator{trapInjector{new(trap)}},
		OnTrigger: []runtime.TriggerHook{func(*runtime.Context, *runtime.TriggerError) (any, bool, error) {
			return 7, true, nil
		}},
	}
	app := newUnitApp(t, cfg)
	cfg.Queues[0], cfg.Propagators[0], cfg.OnTrigger[0] = "", nil, nil
	u := newUnit[int, int]("test.Copied")
	u.handle(app, func(*runtime.Context, int) (int, error) { return 0, runtime.Trigger() })
	start(t, app)
	if n, err := await(t, app, u.call(1)); n != 7 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// A time that RFC 3339 cannot write is refused, on every engine alike.
func TestWithDue_RefusesUnstorableTimes(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[int, int]("test.Far")
	for name, test := range map[string]struct {
		option runtime.Option
		ok     bool
	}{
		"due in the year 36812":      {runtime.WithDue(time.Unix(1<<40, 0)), false},
		"due in the year 9999":       {runtime.WithDue(time.Date(9999, 12, 31, 23, 0, 0, 0, time.UTC)), true},
		"due in the year 10000, UTC": {runtime.WithDue(time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -7200))), false},
		"due long ago":               {runtime.WithDue(time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)), true},
		"out of time in 36812":       {runtime.WithDeadline(time.Unix(1<<40, 0)), false},
		"out of time long ago":       {runtime.WithDeadline(time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)), false},
	} {
		h, err := u.call(1, test.option).Enqueue(context.Background(), app)
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err == nil {
			rec, err := h.Record(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := json.Marshal(rec); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

const notRun = "this app does not run a task that it enqueues: call RegisterTasks of its package, unless another process does"

// What is enqueued where its package was not registered waits, and the log says
// why: once for each task, and as a warning where the worker serves its queue.
func TestEnqueue_TaskThatIsNotRegistered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, logs := newLog()
		app := newUnitApp(t, runtime.Config{Logger: logger})
		known, forgotten := newUnit[int, int]("test.Known"), newUnit[int, int]("test.Forgotten")
		elsewhere := newUnit[int, int]("other.Elsewhere", func(s *wire.Spec) { s.Queue = "elsewhere" })
		night := newUnit[int, int]("test.Night")
		known.handle(app, func(_ *runtime.Context, i int) (int, error) { return i, nil })
		runtime.Every(app, runtime.Interval(24*time.Hour), night.call(1))

		enqueue := func(c runtime.Call[int]) {
			if _, err := c.Enqueue(t.Context(), app); err != nil {
				t.Error(err)
			}
		}
		enqueue(forgotten.call(1)) // a process that only enqueues runs nothing
		if lines := logs.lines(t, notRun); len(lines) != 0 {
			t.Errorf("before the start: %v", lines)
		}
		start(t, app)
		var b runtime.Batch
		runtime.AddTo(&b, known.call(1))
		runtime.AddTo(&b, elsewhere.call(1))
		if err := b.Enqueue(t.Context(), app); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			enqueue(known.call(1))
			enqueue(forgotten.call(1))
		}
		var got []string
		for _, line := range logs.lines(t, notRun) {
			got = append(got, fmt.Sprint(line["level"], " ", line["task"], " ", line["queue"]))
		}
		want := []string{"WARN test.Night default", "INFO other.Elsewhere elsewhere", "WARN test.Forgotten default"}
		if !slices.Equal(got, want) {
			t.Errorf("told of %q, want %q", got, want)
		}
	})
}

// A task under test may enqueue others: Drive knows no worker, and tells nothing.
func TestDrive_TaskThatEnqueues(t *testing.T) {
	logger, logs := newLog()
	app := newUnitApp(t, runtime.Config{Logger: logger})
	parent, child := newUnit[int, int]("test.Parent"), newUnit[int, int]("test.Child")
	child.handle(app, func(_ *runtime.Context, i int) (int, error) { return i, nil })
	parent.handle(app, func(ctx *runtime.Context, i int) (int, error) {
		_, err := child.call(i).Enqueue(ctx, app)
		return i, err
	})
	m, err := app.Prepare(t.Context(), parent.call(1))
	if err != nil {
		t.Fatal(err)
	}
	if o, err := app.Drive(t.Context(), &engine.Delivery{Message: m}); err != nil || o.Kind != engine.OutcomeSucceed {
		t.Errorf("Drive: %+v, %v", o, err)
	}
	if lines := logs.lines(t, notRun); len(lines) != 0 {
		t.Errorf("the log tells of %v", lines)
	}
}
