package runtime_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/local"
	"github.com/taskctx/taskctx/runtime/wire"
)

// A task that blocks its goroutine and one that spreads over many are written,
// registered, enqueued and waited for in the same way, and one does not keep
// the other from running.
//
// Proves: FEATURES 17
func TestRun_BlockingAndConcurrentTasks(t *testing.T) {
	app := newUnitApp(t, runtime.Config{Workers: 2})
	release := make(chan struct{})
	blocking, concurrent := newUnit[int, int]("test.Blocking"), newUnit[int, int]("test.Concurrent")
	blocking.handle(app, func(_ *runtime.Context, n int) (int, error) {
		<-release // as a system call would, without a look at the context
		return n, nil
	})
	concurrent.handle(app, func(ctx *runtime.Context, n int) (int, error) {
		parts := make([]int, 10)
		var children []*local.Child
		for i := range parts {
			children = append(children, local.Go(ctx, local.Copy, func(context.Context) error {
				parts[i] = n / len(parts)
				return nil
			}))
		}
		sum := 0
		for i, c := range children {
			if err := c.Wait(); err != nil {
				return 0, err
			}
			sum += parts[i]
		}
		return sum, nil
	})
	start(t, app)
	h, err := blocking.call(50).Enqueue(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := await(t, app, concurrent.call(50)); got != 50 || err != nil {
		t.Errorf("the concurrent task returns %d, %v", got, err)
	}
	close(release)
	if got, err := h.Wait(t.Context()); got != 50 || err != nil {
		t.Errorf("the blocking task returns %d, %v", got, err)
	}
}

// Proves: FEATURES 13, 23, 43
func TestMetadata_OfARunningTask(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[int, inspect.Metadata]("test.Unit", retries(4), func(s *wire.Spec) { s.Func = "Unit" })
	u.handle(app, func(ctx *runtime.Context, _ int) (inspect.Metadata, error) {
		if ctx.Metadata().Attempt < 2 {
			return inspect.Metadata{}, errors.New("again")
		}
		return ctx.Metadata(), nil
	})
	start(t, app)
	before := time.Now()
	h, err := u.call(0, runtime.WithTag("plan", "pro"), runtime.WithTag("source", "api")).Enqueue(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	m, err := h.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if m.TaskID != h.ID() || m.TaskID == uuid.Nil || m.Name != "test.Unit" || m.Func != "Unit" || m.Queue != "default" {
		t.Errorf("the task is %+v", m)
	}
	if m.Attempt != 2 || m.MaxRetries != 4 || m.RootID != m.TaskID || m.ParentID != uuid.Nil {
		t.Errorf("the attempt is %+v", m)
	}
	if !maps.Equal(m.Tags.Map(), map[string]string{"plan": "pro", "source": "api"}) {
		t.Errorf("the tags are %v", m.Tags.Map())
	}
	if m.EnqueuedAt.Before(before.Add(-time.Second)) || m.EnqueuedAt.After(time.Now().Add(time.Second)) {
		t.Errorf("enqueued at %s, called at %s", m.EnqueuedAt, before)
	}
}
