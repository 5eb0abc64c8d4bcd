package runtime_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/hook"
)

// Proves: FEATURES 34, 35
func TestObserver_SeesTheLifecycle(t *testing.T) {
	var mu sync.Mutex
	seen := make(map[string][]hook.Event)
	observe := hook.ObserverFunc(func(e hook.Event) {
		mu.Lock()
		defer mu.Unlock()
		seen[e.Task.Name] = append(seen[e.Task.Name], e)
	})
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{Logger: silent, Observers: []hook.Observer{observe}, ShutdownTimeout: time.Second})
		outcomes := map[string]func(ctx *runtime.Context) error{
			"ok":     func(ctx *runtime.Context) error { return ctx.Sleep(time.Minute) },
			"flaky":  func(*runtime.Context) error { return errFlaky },
			"cancel": func(*runtime.Context) error { return runtime.Cancelled("enough") },
			"snooze": func(ctx *runtime.Context) error {
				if time.Since(ctx.Metadata().EnqueuedAt) < time.Hour {
					return runtime.Snooze(time.Hour)
				}
				return nil
			},
			"logs": func(ctx *runtime.Context) error {
				ctx.Logger().Warn("line", "k", "v")
				ctx.Progress(1, 2, "half")
				return nil
			},
			"stopped": func(ctx *runtime.Context) error { return ctx.Sleep(1000 * time.Hour) },
		}
		ctx := context.Background()
		var handles []*runtime.Handle[runtime.Void]
		units := make(map[string]unitTask[int, runtime.Void])
		for name, fn := range outcomes {
			u := newUnit[int, runtime.Void](name, retries(1))
			u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) { return runtime.Void{}, fn(ctx) })
			units[name] = u
		}
		start(t, app)
		for _, name := range slices.Sorted(maps.Keys(units)) {
			h, err := units[name].call(0, runtime.WithTag("n", name), runtime.WithKeep(100*time.Hour)).Enqueue(ctx, app)
			if err != nil {
				t.Fatal(err)
			}
			if name != "stopped" {
				handles = append(handles, h)
			}
		}
		for _, h := range handles {
			_, _ = h.Wait(ctx)
		}
		if err := app.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		// Stop has waited for the observers: all that happened was seen.
	})
	want := map[string]string{
		"":        "worker start, worker stop",
		"ok":      "enqueue, start, end succeeded",
		"flaky":   "enqueue, start, end retrying flaky, start, end failed flaky",
		"cancel":  "enqueue, start, end cancelled enough",
		"snooze":  "enqueue, start, end scheduled, start, end succeeded",
		"logs":    "enqueue, start, log, progress, end succeeded",
		"stopped": "enqueue, start, end pending worker is shutting down: context canceled",
	}
	for name, events := range seen {
		var line []string
		for _, e := range events {
			line = append(line, strings.TrimSpace(strings.Join([]string{e.Kind.String(), string(e.State), e.Reason}, " ")))
			if name != "" && (e.Task.Tags.Get("n") != name || e.Task.TaskID == [16]byte{} || e.Time.IsZero()) {
				t.Errorf("%s: event %+v", name, e)
			}
			if name != "" && e.Kind != hook.EventEnqueue && e.Worker == "" {
				t.Errorf("%s: no worker in %+v", name, e)
			}
		}
		// A worker may be quicker than the enqueuer is to tell.
		if i := slices.Index(line, "enqueue"); i > 0 {
			line = slices.Insert(slices.Delete(line, i, i+1), 0, "enqueue")
		}
		if got := strings.Join(line, ", "); got != want[name] {
			t.Errorf("%q:\n got %s\nwant %s", name, got, want[name])
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("nothing was seen of %q", name)
	}
	for _, e := range seen["ok"] {
		if e.Kind == hook.EventEnd && e.Duration != time.Minute {
			t.Errorf("took %s, want a minute", e.Duration)
		}
	}
	for _, e := range seen["logs"] {
		if e.Kind == hook.EventLog && e.Log.Message != "line" || e.Kind == hook.EventProgress && e.Progress.Note != "half" {
			t.Errorf("log %+v, progress %+v", e.Log, e.Progress)
		}
	}
}

// Observers that panic, end their goroutine or block do no harm to the one after
// them, nor to the task: it sees everything.
//
// Proves: FEATURES 34
func TestObserver_HarmsNoOther(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	seen := make(chan string, 100)
	app := newUnitApp(t, runtime.Config{Logger: silent, Observers: []hook.Observer{
		hook.ObserverFunc(func(hook.Event) { panic("observer") }),
		hook.ObserverFunc(func(hook.Event) { goexit() }),
		hook.ObserverFunc(func(hook.Event) { <-release }),
		hook.ObserverFunc(func(e hook.Event) {
			if e.Kind != hook.EventEnqueue { // it may be late
				seen <- strings.TrimSpace(e.Kind.String() + " " + e.Log.Message + string(e.State))
			}
		}),
	}})
	u := newUnit[int, runtime.Void]("test.Observed", retries(1))
	u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
		ctx.Logger().Info("line")
		ctx.Progress(1, 2, "")
		if ctx.Metadata().Attempt == 0 {
			return runtime.Void{}, errFlaky
		}
		return runtime.Void{}, nil
	})
	start(t, app)
	if _, err := await(t, app, u.call(0)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"worker start", "start", "log line", "progress", "end retrying", "start", "log line", "progress", "end succeeded",
	} {
		if got := <-seen; got != want {
			t.Errorf("saw %q, want %q", got, want)
		}
	}
}

// Proves: FEATURES 34
func TestObserver_LosesEventsWhenTooSlow(t *testing.T) {
	var log safeBuffer
	release := make(chan struct{})
	var mu sync.Mutex
	got := 0
	slow := hook.ObserverFunc(func(hook.Event) {
		<-release
		mu.Lock()
		defer mu.Unlock()
		got++
	})
	app := runtime.New(newMemory(t), runtime.Config{Observers: []hook.Observer{slow}, Logger: textLogger(&log)})
	u := newUnit[int, runtime.Void]("test.Slow")
	const calls = 3 * hook.ObserverBuffer
	for i := range calls {
		if _, err := u.call(i).Enqueue(context.Background(), app); err != nil {
			t.Fatal(err)
		}
	}
	close(release)
	start(t, app) // and Stop waits for the observer
	if err := app.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if got < hook.ObserverBuffer || got > 2*hook.ObserverBuffer+2 {
		t.Errorf("%d events of %d were handed over, want what the buffer holds", got, calls)
	}
	if !strings.Contains(log.String(), "events were lost") {
		t.Errorf("the loss is not logged: %s", log.String())
	}
}
