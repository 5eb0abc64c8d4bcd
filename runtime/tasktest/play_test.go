package tasktest_test

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
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/memory"
	"github.com/taskctx/taskctx/runtime/tasktest"
)

// The answers to the children of Publish.
var (
	page0 = tasktest.Answer(RenderCall("moby", 0), "page 0", nil)
	page1 = tasktest.Answer(RenderCall("moby", 1), "page 1", nil)
	page2 = tasktest.Answer(RenderCall("moby", 2), "page 2", nil)
)

// Proves: FEATURES 91
func TestPlay(t *testing.T) {
	k := new(kiosk)
	began := time.Now()
	url, err := tasktest.Play(t, RegisterPress, PublishCall("moby"), page0, page1, page2, tasktest.Supply(k),
		tasktest.Send(71*time.Hour, approved, "ann"))
	require.NoError(t, err)
	assert.Equal(t, "[page 0 page 1 page 2] by ann", url)
	assert.Equal(t, 1, k.drafts)
	assert.Less(t, time.Since(began), time.Minute, "95 hours")
}

func TestPlay_InABubbleOfTheTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := tasktest.Play(t, RegisterPress, PublishCall("moby"), page0, page1, page2, tasktest.Supply(new(kiosk)),
			tasktest.Send(71*time.Hour, approved, "ann"))
		require.NoError(t, err)
		assert.Equal(t, 95*time.Hour, time.Since(began).Round(time.Minute))
	})
}

func TestPlay_Retries(t *testing.T) {
	k := &kiosk{flaky: 2}
	_, err := tasktest.Play(t, RegisterPress, PublishCall("moby"), page0, page1, page2, tasktest.Supply(k), tasktest.Send(0, approved, "ann"))
	require.NoError(t, err)
	assert.Equal(t, 3, k.uploads)
	assert.Equal(t, 1, k.drafts)
	k = &kiosk{flaky: 9}
	_, err = tasktest.Play(t, RegisterPress, PublishCall("moby"), page0, page1, page2, tasktest.Supply(k), tasktest.Send(0, approved, "ann"))
	require.EqualError(t, err, "step upload: no route")
	assert.Equal(t, 3, k.uploads)
}

func TestPlay_TimesOut(t *testing.T) {
	_, err := tasktest.Play(t, RegisterPress, PublishCall("moby"), page0, page1, page2, tasktest.Supply(new(kiosk)),
		tasktest.Send(73*time.Hour, approved, "ann"))
	var cancelled *runtime.CancelledError
	require.ErrorAs(t, err, &cancelled)
	assert.Equal(t, "nobody has approved it", cancelled.Reason)
}

func TestPlay_ChildThatFails(t *testing.T) {
	_, err := tasktest.Play(t, RegisterPress, PublishCall("moby"), page0, page1, page2, tasktest.Supply(new(kiosk)),
		tasktest.Answer(RenderCall("moby", 1), "", errors.New("no ink")))
	var te *runtime.TaskError
	require.ErrorAs(t, err, &te)
	assert.Equal(t, "no ink", te.Reason)
	assert.Equal(t, "press.Render", te.Name)
}

func TestPlay_RunsChildren(t *testing.T) {
	url, err := tasktest.Play(t, RegisterPress, PublishCall("moby"), tasktest.RunChildren(), tasktest.Supply(new(kiosk)),
		tasktest.Answer(RenderCall("moby", 2), "faked", nil), tasktest.Send(time.Hour, approved, "ann"))
	require.NoError(t, err)
	assert.Equal(t, "[moby/0 moby/1 faked] by ann", url)
}

func TestPlay_Stuck(t *testing.T) {
	noLimit := func(app *runtime.App) {
		glue.Register(app, publishTask, func(ctx *runtime.Context, _ *publishArgs) (string, error) { return approved.Await(ctx, 0) })
	}
	_, err := tasktest.Play(t, noLimit, PublishCall("moby"))
	require.ErrorIs(t, err, tasktest.ErrStuck)
	require.ErrorContains(t, err, "for signal approved")
}

func TestPlay_NamesTasksWithoutAnswer(t *testing.T) {
	inner := &report{TB: t}
	synctest.Test(t, func(*testing.T) {
		_, err := tasktest.Play(inner, RegisterPress, PublishCall("moby"), tasktest.Supply(new(kiosk)))
		require.Error(t, err)
	})
	assert.Contains(t, inner.text, "nothing says what becomes of")
	assert.Contains(t, inner.text, "press.Render")
}

// report is a test that keeps what it is told.
type report struct {
	testing.TB
	text string
}

func (r *report) Error(args ...any)                 { r.text += fmt.Sprintln(args...) }
func (r *report) Errorf(format string, args ...any) { r.text += fmt.Sprintf(format, args...) + "\n" }

// Proves: FEATURES 91
func TestPlay_DyingEverywhere(t *testing.T) {
	k := new(kiosk)
	url, err := tasktest.Play(t, RegisterPress, PublishCall("moby"), page0, page1, page2, tasktest.Supply(k),
		tasktest.Send(71*time.Hour, approved, "ann"), tasktest.DyingEverywhere())
	require.NoError(t, err)
	assert.Equal(t, "[page 0 page 1 page 2] by ann", url)
	assert.Equal(t, 6, k.drafts, "in 6 plays: one, and one for each of 5 records")

	inner := &report{TB: t}
	synctest.Test(t, func(*testing.T) {
		_, err = tasktest.Play(inner, RegisterPress, PublishCall("moby"), page0, page1, page2, tasktest.Supply(&kiosk{forgetful: true}),
			tasktest.Send(71*time.Hour, approved, "ann"), tasktest.DyingEverywhere())
		require.NoError(t, err)
	})
	assert.Contains(t, inner.text, `dying once right after "draft" was recorded`)
}

// Proves: FEATURES 91
func TestBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := tasktest.Begin(t, RegisterPress, PublishCall("moby"), page0, page1, page2, tasktest.Supply(new(kiosk)))
		assert.Contains(t, p.Waits(), "signal approved, until ")
		js := p.Journal()
		require.Len(t, js, 5)
		assert.Equal(t, "draft", js[0].Name)
		assert.Equal(t, "page/2", js[3].Name)
		tasktest.SendTo(p, approved, "ann")
		assert.Contains(t, p.Waits(), "rest embargo, until ")
		p.Pass(23 * time.Hour)
		assert.Contains(t, p.Waits(), "rest embargo")
		url, err := p.End()
		require.NoError(t, err)
		assert.Equal(t, "[page 0 page 1 page 2] by ann", url)
		p.Pass(30 * 24 * time.Hour)
		assert.Empty(t, p.Waits(), "its record stays")
	})
}

// TestRun_DurableTask: one attempt, with a recorder.
func TestRun_DurableTask(t *testing.T) {
	rec := tasktest.NewRecorder()
	_, err := tasktest.Run(t, RegisterPress, PublishCall("moby"), tasktest.Supply(new(kiosk)), tasktest.WithRecorder(rec))
	require.ErrorIs(t, err, runtime.ErrSuspended)
	rec.AssertOnly(t, RenderCall("moby", 0), RenderCall("moby", 1), RenderCall("moby", 2))
	rec = tasktest.NewRecorder()
	for i := range 3 {
		rec.Answer(RenderCall("moby", i), "page", nil)
	}
	_, err = tasktest.Run(t, RegisterPress, PublishCall("moby"), tasktest.Supply(new(kiosk)), tasktest.WithRecorder(rec))
	require.ErrorIs(t, err, runtime.ErrSuspended, "at the signal")
}

func TestIdle_LeavesTasksThatWaitForSignals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		app := newIdleApp(t)
		_, err := PublishCall("moby").Enqueue(context.Background(), app)
		require.NoError(t, err)
		tasktest.Idle(t, app)
		assert.Equal(t, 72*time.Hour, time.Since(began).Round(time.Minute), "its wait has a limit")
	})
}

func newIdleApp(t *testing.T) *runtime.App {
	app := runtime.New(memory.New(memory.Config{}), runtime.Config{})
	RegisterPress(app)
	runtime.Supply(app, new(kiosk))
	tasktest.Start(t, app)
	return app
}

// TestPlay_NeedsOnlyTheSuppliesOfItsTasks: the package has another task, which lacks
// something.
func TestPlay_NeedsOnlyTheSuppliesOfItsTasks(t *testing.T) {
	register := func(app *runtime.App) {
		RegisterPress(app)
		RegisterTasks(app) // of the package billing: nobody supplies its mailer
	}
	_, err := tasktest.Play(t, register, PublishCall("moby"), tasktest.RunChildren(), tasktest.Supply(new(kiosk)),
		tasktest.Send(0, approved, "ann"))
	require.NoError(t, err)
}
