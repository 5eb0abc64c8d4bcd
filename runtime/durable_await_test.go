package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/local"
	"github.com/taskctx/taskctx/runtime/memory"
)

// TestAwait_OfAChildTwice: a child that is given twice to a wait ends once.
//
// Proves: FEATURES 84, 85
func TestAwait_OfAChildTwice(t *testing.T) {
	for how, wait := range map[string]func(ctx context.Context, f, g *runtime.Future[int]) (string, error){
		"all": func(ctx context.Context, f, g *runtime.Future[int]) (string, error) {
			all, err := runtime.AwaitAll(ctx, f, f, g, f)
			return fmt.Sprint(all), err
		},
		"ends": func(ctx context.Context, f, g *runtime.Future[int]) (string, error) {
			ends, err := runtime.AwaitEnds(ctx, f, g, g)
			return fmt.Sprint(ends), err
		},
		"one": func(ctx context.Context, f, _ *runtime.Future[int]) (string, error) {
			all, err := runtime.AwaitAll(ctx, f, f)
			return fmt.Sprint(all), err
		},
		"any": func(ctx context.Context, f, _ *runtime.Future[int]) (string, error) {
			i, v, err := runtime.AwaitAny(ctx, f, f)
			return fmt.Sprint(i, v), err
		},
	} {
		t.Run(how, func(t *testing.T) {
			app, render := press(t, runtime.Config{Workers: 1})
			u := newUnit[int, string]("press.Publish", durably)
			u.handle(app, func(ctx *runtime.Context, _ int) (string, error) {
				f := runtime.Spawn(ctx, "page/1", render.call(1))
				g := runtime.Spawn(ctx, "page/2", render.call(2))
				return wait(ctx, f, g)
			})
			start(t, app)
			got, err := result(t, enqueue(t, app, u.call(0)))
			require.NoError(t, err)
			assert.Contains(t, got, "2")
		})
	}
}

// TestSpawn_WithoutAChildIsAFailure: a run whose child could not be spawned does not
// succeed, unless its function was told.
//
// Proves: FEATURES 82
func TestSpawn_WithoutAChildIsAFailure(t *testing.T) {
	app, render := press(t, runtime.Config{Workers: 1})
	ended := func(ctx context.Context) context.Context {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return ctx
	}
	plain := newUnit[int, int]("press.Plain")
	plain.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		runtime.Spawn(ctx, "page", render.call(1))
		return 1, nil
	})
	late := newUnit[int, int]("press.Late", durably, retries(0))
	late.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		runtime.Spawn(ended(ctx), "page", render.call(1))
		return 1, nil
	})
	inStep := newUnit[int, int]("press.InStep", durably, retries(0))
	inStep.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		return runtime.Step(ctx, "step", func(ctx *runtime.Context) (int, error) {
			runtime.Spawn(ctx, "page", render.call(1))
			return 1, nil
		})
	})
	told := newUnit[int, int]("press.Told", durably, retries(0))
	told.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
		f := runtime.Spawn(ended(ctx), "page", render.call(1))
		if _, err := f.Await(ctx); !errors.Is(err, context.Canceled) {
			return 0, fmt.Errorf("the error is %w", err)
		}
		return 1, nil
	})
	start(t, app)
	for name, u := range map[string]struct {
		task unitTask[int, int]
		want string
	}{
		"plain":   {plain, "child page: runtime.Spawn needs a durable task"},
		"late":    {late, "child page: context canceled"},
		"in step": {inStep, "step step: child page: runtime.Spawn: not in a step"},
	} {
		_, err := result(t, enqueue(t, app, u.task.call(0)))
		require.ErrorContains(t, err, u.want, name)
	}
	_, err := result(t, enqueue(t, app, told.call(0)))
	require.NoError(t, err)
}

// forgetful fails the first reading of a journal.
type forgetful struct {
	*memory.Engine
	failed bool
}

func (e *forgetful) Serve(ctx context.Context, w *engine.Worker) error {
	own := *w
	own.RunInline = func(ctx context.Context, d *engine.Delivery, o *engine.Outcome) {
		d.Memo = forgetfulMemo{d.Memo, d.Memo.(engine.Journal), e}
		w.RunInline(ctx, d, o)
	}
	return e.Engine.Serve(ctx, &own)
}

type forgetfulMemo struct {
	engine.Memo
	engine.Journal
	e *forgetful
}

func (m forgetfulMemo) ReadJournal(ctx context.Context) ([]engine.JournalEntry, error) {
	if !m.e.failed {
		m.e.failed = true
		return nil, errors.New("the store is away")
	}
	return m.Journal.ReadJournal(ctx)
}

// TestSpawn_JournalIsNotRead: a task that waits for none of its children is retried
// when its journal could not be read, instead of ending without them.
//
// Proves: FEATURES 82
func TestSpawn_JournalIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := runtime.New(&forgetful{Engine: memory.New(memory.Config{})}, runtime.Config{Workers: 1})
		mailed := 0
		mail := newUnit[int, int]("press.Mail")
		mail.handle(app, func(*runtime.Context, int) (int, error) { mailed++; return 1, nil })
		u := newUnit[int, int]("press.Notify", durably, retries(1))
		u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
			runtime.Spawn(ctx, "ann", mail.call(1, runtime.Orphan()))
			return 1, nil
		})
		start(t, app)
		_, err := result(t, enqueue(t, app, u.call(0)))
		require.NoError(t, err)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, 1, mailed)
		require.NoError(t, app.Stop(t.Context()))
	})
}

// TestSuspend_WrappedByTwoErrors: an error of the user's around ErrSuspended is no
// failure of another branch.
//
// Proves: FEATURES 83
func TestSuspend_WrappedByTwoErrors(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 1})
	u := newUnit[int, string]("press.Publish", durably, retries(0))
	u.handle(app, func(ctx *runtime.Context, _ int) (string, error) {
		v, err := approved.Await(ctx, 0)
		if err != nil {
			return "", fmt.Errorf("%w: %w", errors.New("no approval"), err)
		}
		return v, nil
	})
	start(t, app)
	h := enqueue(t, app, u.call(0))
	reaches(t, app, h.ID(), engine.StateWaiting)
	require.NoError(t, approved.Send(t.Context(), app, h.ID(), "yes"))
	got, err := result(t, h)
	require.NoError(t, err)
	assert.Equal(t, "yes", got)
}

// TestGo_FailedBranchOfNobody: a branch that fails beside a wait, and for which the
// task does not wait, counts as a failure at once.
//
// Proves: FEATURES 83
func TestGo_FailedBranchOfNobody(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 1})
	u := newUnit[int, string]("press.Publish", durably, retries(0))
	u.handle(app, func(ctx *runtime.Context, _ int) (string, error) {
		local.Go(ctx, local.Share, func(context.Context) error { return errors.New("the printer is away") })
		return approved.Await(ctx, 0)
	})
	start(t, app)
	_, err := result(t, enqueue(t, app, u.call(0)))
	require.ErrorContains(t, err, "the printer is away")
}

// TestSignal_NegativeTime: a wait until a time that is over already takes what has
// come, and is over.
//
// Proves: FEATURES 86
func TestSignal_NegativeTime(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 1})
	u := newUnit[int, string]("press.Publish", durably)
	u.handle(app, func(ctx *runtime.Context, _ int) (string, error) {
		first, err := approved.Await(ctx, -time.Hour)
		if err != nil {
			return "", err
		}
		if _, err = approved.Await(ctx, -time.Hour); errors.Is(err, runtime.ErrAwaitTimeout) {
			err = nil
		}
		return first, err
	})
	h := enqueue(t, app, u.call(0, runtime.WithDeadline(time.Now().Add(time.Minute))))
	require.NoError(t, approved.Send(t.Context(), app, h.ID(), "yes"))
	start(t, app)
	got, err := result(t, h)
	require.NoError(t, err)
	assert.Equal(t, "yes", got)
}

// TestOrphan_OfATaskThatFails: an orphan that was spawned right before its parent has
// failed is enqueued, and other children are not.
//
// Proves: FEATURES 82
func TestOrphan_OfATaskThatFails(t *testing.T) {
	for how, failure := range map[string]error{
		"permanent": runtime.Permanent(errors.New("no paper")), "cancelled": runtime.Cancelled("no paper"), "last": errors.New("no paper"),
	} {
		t.Run(how, func(t *testing.T) {
			app := newUnitApp(t, runtime.Config{Workers: 1})
			mailed := make(chan string, 10)
			mail := newUnit[string, int]("press.Mail")
			mail.handle(app, func(_ *runtime.Context, to string) (int, error) { mailed <- to; return 1, nil })
			u := newUnit[int, int]("press.Publish", durably, retries(0))
			u.handle(app, func(ctx *runtime.Context, _ int) (int, error) {
				runtime.Spawn(ctx, "ann", mail.call("ann"))
				runtime.Spawn(ctx, "bob", mail.call("bob", runtime.WithTag("why", "failed"), runtime.Orphan()))
				return 0, failure
			})
			start(t, app)
			h := enqueue(t, app, u.call(0))
			_, err := result(t, h)
			require.ErrorContains(t, err, "no paper")
			assert.Equal(t, "bob", <-mailed)
			assert.Len(t, journalOf(t, app, h.ID()), 1)
		})
	}
}
