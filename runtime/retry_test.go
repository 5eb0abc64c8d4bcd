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

	"pgregory.net/rapid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/wire"
)

var errFlaky = errors.New("flaky")

// attempts runs a task in a bubble, with what fn returns for each attempt, and
// returns how long after the enqueue each attempt began, the final record, and
// what Wait returned.
func attempts(
	t *testing.T, cfg runtime.Config, fn func(ctx *runtime.Context, run int) error, change ...func(*wire.Spec),
) (began []time.Duration, rec *runtime.Record, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, cfg)
		u := newUnit[int, runtime.Void]("test.Attempts", change...)
		from := time.Now()
		u.handle(app, func(ctx *runtime.Context, _ int) (runtime.Void, error) {
			began = append(began, time.Since(from))
			return runtime.Void{}, fn(ctx, len(began)-1)
		})
		start(t, app)
		ctx := context.Background()
		h, e := u.call(0).Enqueue(ctx, app)
		if e != nil {
			t.Fatal(e)
		}
		_, err = h.Wait(ctx)
		if rec, e = h.Record(ctx); e != nil {
			t.Fatal(e)
		}
	})
	return began, rec, err
}

func backoff(delay time.Duration, factor float64, limit time.Duration) func(*wire.Spec) {
	return func(s *wire.Spec) { s.Delay, s.Backoff, s.MaxDelay = delay, factor, limit }
}

// Proves: FEATURES 19, 36
func TestRetry_WithGrowingDelay(t *testing.T) {
	began, rec, err := attempts(t, runtime.Config{}, func(*runtime.Context, int) error { return errFlaky },
		retries(5), backoff(2*time.Second, 3, 20*time.Second))
	if len(began) != 6 {
		t.Fatalf("%d attempts, want 6", len(began))
	}
	for i, want := range []time.Duration{2, 6, 18, 20, 20} {
		want *= time.Second
		// Up to a tenth is taken off at random.
		if wait := began[i+1] - began[i]; wait < want*9/10 || wait > want {
			t.Errorf("retry %d came after %s, want from %s to %s", i+1, wait, want*9/10, want)
		}
	}
	var failed *runtime.TaskError
	if !errors.As(err, &failed) || failed.State != engine.StateFailed || failed.Reason != "flaky" {
		t.Errorf("Wait: %v, want the task's failure", err)
	}
	if rec.State != engine.StateFailed || rec.Attempt != 5 || rec.MaxRetries != 5 {
		t.Errorf("record: %s at attempt %d of %d retries", rec.State, rec.Attempt, rec.MaxRetries)
	}
	var kept []int
	for _, e := range rec.Errors {
		if e.Error != "flaky" {
			t.Errorf("error of attempt %d: %q", e.Attempt, e.Error)
		}
		kept = append(kept, e.Attempt)
	}
	if !slices.Equal(kept, []int{0, 1, 2, 3, 4, 5}) {
		t.Errorf("errors are kept of the attempts %v, want of all", kept)
	}
}

// A task that says nothing of its delays waits a second, doubled each time, and
// never more than an hour.
//
// Proves: FEATURES 36
func TestRetry_DefaultBackoff(t *testing.T) {
	began, _, _ := attempts(t, runtime.Config{}, func(*runtime.Context, int) error { return errFlaky }, retries(14), backoff(0, 0, 0))
	for i := range 14 {
		want := min(time.Second<<i, time.Hour)
		if wait := began[i+1] - began[i]; wait < want*9/10 || wait > want {
			t.Errorf("retry %d came after %s, want from %s to %s", i+1, wait, want*9/10, want)
		}
	}
}

// Proves: FEATURES 36
func TestRetry_EndsWithSuccess(t *testing.T) {
	began, rec, err := attempts(t, runtime.Config{}, func(_ *runtime.Context, run int) error {
		if run < 2 {
			return errFlaky
		}
		return nil
	}, retries(5), backoff(time.Second, 1, 0))
	if err != nil || len(began) != 3 || rec.State != engine.StateSucceeded || rec.Attempt != 2 {
		t.Errorf("%d attempts, %s at attempt %d, %v; want success at the third", len(began), rec.State, rec.Attempt, err)
	}
	if rec.Reason != "" {
		t.Errorf("reason %q of a task that succeeded", rec.Reason)
	}
}

func TestNoDelay_RetriesAtOnce(t *testing.T) {
	began, _, _ := attempts(t, runtime.Config{}, func(*runtime.Context, int) error { return errFlaky }, retries(2))
	if len(began) != 3 || began[2] != 0 {
		t.Errorf("attempts began at %v, want three at once", began)
	}
}

// Proves: FEATURES 24
func TestMetadata_AttemptCountsFromZeroAndTheIDStays(t *testing.T) {
	var metas []inspect.Metadata
	_, rec, _ := attempts(t, runtime.Config{}, func(ctx *runtime.Context, _ int) error {
		metas = append(metas, ctx.Metadata())
		return errFlaky
	}, retries(3), backoff(time.Minute, 2, 0))
	for i, m := range metas {
		if m.Attempt != i || m.TaskID != rec.ID || m.MaxRetries != 3 {
			t.Errorf("run %d: attempt %d of task %s, %d retries at most", i, m.Attempt, m.TaskID, m.MaxRetries)
		}
	}
}

// Proves: FEATURES 14
func TestMetadata_EnqueuedAtIsTheSameInEachAttempt(t *testing.T) {
	var at []time.Time
	var first time.Time
	attempts(t, runtime.Config{}, func(ctx *runtime.Context, run int) error {
		if run == 0 {
			first = time.Now().UTC().Round(0)
		}
		at = append(at, ctx.Metadata().EnqueuedAt)
		return errFlaky
	}, retries(3), backoff(time.Hour, 2, 24*time.Hour))
	if len(at) != 4 {
		t.Fatalf("%d attempts, want 4", len(at))
	}
	for i, e := range at {
		if e != first { // the location and the monotonic reading too
			t.Errorf("attempt %d: enqueued at %#v, want %#v", i, e, first)
		}
	}
}

// Proves: FEATURES 56
func TestPermanent_IsNotRetried(t *testing.T) {
	for name, err := range map[string]error{
		"plain":   runtime.Permanent(errFlaky),
		"wrapped": fmt.Errorf("charge: %w", runtime.Permanent(errFlaky)),
		"joined":  errors.Join(errors.New("other"), runtime.Permanent(errFlaky)),
	} {
		t.Run(name, func(t *testing.T) {
			began, rec, got := attempts(t, runtime.Config{}, func(*runtime.Context, int) error { return err }, retries(5))
			if len(began) != 1 || rec.State != engine.StateFailed || got == nil {
				t.Errorf("%d attempts, %s, %v; want one that failed", len(began), rec.State, got)
			}
			if !strings.Contains(rec.Reason, "flaky") {
				t.Errorf("reason %q does not say why", rec.Reason)
			}
		})
	}
	if runtime.Permanent(nil) != nil || runtime.RetryAfter(time.Second, nil) != nil {
		t.Error("Permanent(nil) and RetryAfter(d, nil) must be nil: the task succeeded")
	}
}

// Proves: FEATURES 56
func TestRetryAfter(t *testing.T) {
	began, rec, _ := attempts(t, runtime.Config{}, func(_ *runtime.Context, run int) error {
		return fmt.Errorf("limited: %w", runtime.RetryAfter(time.Duration(run+1)*time.Hour, errFlaky))
	}, retries(2))
	if want := []time.Duration{0, time.Hour, 3 * time.Hour}; !slices.Equal(began, want) {
		t.Errorf("attempts began at %v, want %v", began, want)
	}
	if rec.State != engine.StateFailed || rec.Attempt != 2 {
		t.Errorf("%s at attempt %d: RetryAfter must use the retries up", rec.State, rec.Attempt)
	}
}

// Errors made by hand may hold what the constructors would not.
func TestRetryAfter_NegativeWaits(t *testing.T) {
	began, rec, err := attempts(t, runtime.Config{}, func(_ *runtime.Context, run int) error {
		switch run {
		case 0:
			return &runtime.RetryAfterError{After: -time.Hour, Err: errFlaky}
		case 1:
			return &runtime.SnoozeError{After: -time.Hour}
		}
		return nil
	}, retries(2))
	if err != nil || len(began) != 3 || began[2] != 0 || rec.Due.Before(rec.EnqueuedAt) {
		t.Errorf("attempts began at %v, due %s, %v; want three at once", began, rec.Due, err)
	}
}

// Proves: FEATURES 77
func TestSnooze_UsesNoAttempt(t *testing.T) {
	var attempt []int
	began, rec, err := attempts(t, runtime.Config{}, func(ctx *runtime.Context, run int) error {
		attempt = append(attempt, ctx.Metadata().Attempt)
		if run < 20 {
			return fmt.Errorf("not yet: %w", runtime.Snooze(time.Hour))
		}
		return nil
	}, retries(1))
	if err != nil || len(began) != 21 || began[20] != 20*time.Hour {
		t.Errorf("%d runs, the last after %v, %v; want 21 over 20 hours", len(began), began[len(began)-1], err)
	}
	if slices.Max(attempt) != 0 || len(rec.Errors) != 0 {
		t.Errorf("attempts %v, %d errors: a snooze is neither", attempt, len(rec.Errors))
	}
}

// Proves: FEATURES 56
func TestRetryIf_ChoosesTheErrors(t *testing.T) {
	errFatal := errors.New("fatal")
	cfg := runtime.Config{RetryIf: func(m inspect.Metadata, err error) bool {
		return m.Name == "test.Attempts" && !errors.Is(err, errFatal)
	}}
	began, rec, _ := attempts(t, cfg, func(_ *runtime.Context, run int) error {
		if run == 2 {
			return fmt.Errorf("charge: %w", errFatal)
		}
		return errFlaky
	}, retries(10))
	if len(began) != 3 || rec.State != engine.StateFailed {
		t.Errorf("%d attempts, %s; want the third to be the last", len(began), rec.State)
	}
}

func TestRetryPolicy_OfTheApp(t *testing.T) {
	cfg := runtime.Config{RetryPolicy: func(m inspect.Metadata, err error) time.Duration {
		if !errors.Is(err, errFlaky) {
			t.Errorf("policy got %v", err)
		}
		return time.Duration(m.Attempt+1)*time.Minute - time.Hour*time.Duration(m.Attempt/2) // the last is negative
	}}
	began, _, _ := attempts(t, cfg, func(*runtime.Context, int) error { return errFlaky }, retries(3))
	if want := []time.Duration{0, time.Minute, 3 * time.Minute, 3 * time.Minute}; !slices.Equal(began, want) {
		t.Errorf("attempts began at %v, want %v", began, want)
	}
}

// Proves: RELIABILITY 5
func TestRetryIf_HookThatFails(t *testing.T) {
	for name, crash := range map[string]func(){
		"panic": func() { panic("policy") }, "goexit": goexit,
	} {
		t.Run(name, func(t *testing.T) {
			cfg := runtime.Config{
				RetryIf:     func(inspect.Metadata, error) bool { crash(); return false },
				RetryPolicy: func(inspect.Metadata, error) time.Duration { crash(); return 0 },
			}
			began, rec, err := attempts(t, cfg, func(_ *runtime.Context, run int) error {
				if run < 2 {
					return errFlaky
				}
				return nil
			}, retries(2), backoff(time.Minute, 1, 0))
			if err != nil || len(began) != 3 || rec.State != engine.StateSucceeded {
				t.Errorf("%d attempts, %s, %v; want the task's own backoff", len(began), rec.State, err)
			}
		})
	}
}

// WithRetries and the other options of one call win over the task's own.
func TestWithRetries(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[int, runtime.Void]("test.WithRetries", retries(5))
	var mu sync.Mutex
	runs := 0
	u.handle(app, func(*runtime.Context, int) (runtime.Void, error) {
		mu.Lock()
		defer mu.Unlock()
		runs++
		return runtime.Void{}, errFlaky
	})
	start(t, app)
	if _, err := await(t, app, u.call(0, runtime.WithRetries(1))); err == nil || runs != 2 {
		t.Errorf("%d runs, %v; want 2 that fail", runs, err)
	}
}

// Backoff is asked for attempts that no test can wait for: an engine that
// hands out one delivery with the attempt it likes.
//
// Proves: RELIABILITY 12
func TestBackoff_IsWithinItsBounds(t *testing.T) {
	durations := rapid.OneOf(
		rapid.Int64Range(1, int64(24*time.Hour)), rapid.Int64Range(1, math.MaxInt64), rapid.Just(int64(math.MaxInt64)),
	)
	shortest := time.Duration(math.MaxInt64)
	longest := time.Duration(0)
	rapid.Check(t, func(rt *rapid.T) {
		spec := wire.Spec{
			Name: "test.Backoff", Retries: math.MaxInt,
			Delay:    time.Duration(durations.Draw(rt, "delay")),
			Backoff:  rapid.OneOf(rapid.Float64Range(1, 10), rapid.Float64Range(1, math.MaxFloat64)).Draw(rt, "factor"),
			MaxDelay: time.Duration(durations.Draw(rt, "limit")),
		}
		attempt := rapid.OneOf(rapid.IntRange(0, 100), rapid.IntRange(1, math.MaxInt-1), rapid.SampledFrom([]int{math.MaxInt32, math.MaxInt/4 + 1})).Draw(rt, "attempt")
		o := outcomeOf(rt, spec, attempt)
		if o.Kind != engine.OutcomeRetry || o.After < 0 || o.After > spec.MaxDelay {
			rt.Fatalf("%+v: want a retry between 0 and %s", o, spec.MaxDelay)
		}
		full := min(float64(spec.Delay)*math.Pow(spec.Backoff, float64(attempt)), float64(spec.MaxDelay))
		if wait := float64(o.After); wait < 0.899*full-1 || wait > 1.001*full+1 {
			rt.Fatalf("attempt %d of %+v waits %s, want %s or up to a tenth less", attempt, spec, o.After, time.Duration(full))
		}
		shortest, longest = min(shortest, o.After), max(longest, o.After)
	})
	t.Logf("waits from %s to %s, all within their bounds", shortest, longest)
}

// outcomeOf returns what becomes of an attempt of the task that fails.
func outcomeOf(t rapid.TB, spec wire.Spec, attempt int) engine.Outcome {
	e := &oneDelivery{attempt: attempt, name: spec.Name}
	app := runtime.New(e, runtime.Config{Workers: 1, Logger: silent})
	task := glue.NewTask[struct{}, runtime.Void](spec, nil)
	glue.Register(app, task, func(*runtime.Context, *struct{}) (runtime.Void, error) {
		return runtime.Void{}, errFlaky
	})
	if err := app.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	return e.outcome
}

// oneDelivery is an engine that hands out one task, in one attempt.
type oneDelivery struct {
	engine.Engine
	name    string
	attempt int
	outcome engine.Outcome
}

func (e *oneDelivery) Check(*engine.Message) error { return nil }

func (e *oneDelivery) Serve(ctx context.Context, w *engine.Worker) error {
	m := &engine.Message{Name: e.name, Queue: engine.DefaultQueue}
	m.Meta.ID[0] = 1
	// The last run before ended in an error, as Attempt says.
	memo := noMemo(fmt.Sprintf(`{"concluded":%d}`, e.attempt))
	e.outcome = w.Run(ctx, &engine.Delivery{Message: m, Attempt: e.attempt, Memo: memo})
	return nil
}
