package tasktest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/tasktest"
	"github.com/taskctx/taskctx/runtime/wire"
)

type childArgs struct{ n int }

func (a *childArgs) fields(f *wire.Fields) { f.Int("n", &a.n) }

var childTask = glue.NewTask[childArgs, int](wire.Spec{
	Name: "answer.Child", Func: "Child", Params: []wire.Param{{Name: "n", Sig: "int"}},
}, (*childArgs).fields)

var parentTask = glue.NewTask[struct{}, int](wire.Spec{Name: "answer.Parent", Func: "Parent"}, nil)

func childCall(n int, opts ...runtime.Option) runtime.Call[int] {
	a := childArgs{n}
	return childTask.Call(a.fields, opts)
}

func parentCall() runtime.Call[int] { return parentTask.Call(nil, nil) }

// registerFamily registers a task that waits for two others.
func registerFamily(app *runtime.App) {
	glue.Register(app, childTask, func(_ context.Context, a *childArgs) (int, error) { return a.n, nil })
	glue.Register(app, parentTask, func(ctx *runtime.Context, _ *struct{}) (sum int, err error) {
		for n := 1; n <= 2; n++ {
			h, err := childCall(n, runtime.WithTag("of", "parent")).Enqueue(ctx, ctx.App())
			if err != nil {
				return 0, err
			}
			v, err := h.Wait(context.Background()) // workers remain for it
			if err != nil {
				return 0, err
			}
			sum += v
		}
		return sum, nil
	})
}

// TestRun_OfATaskThatWaits: nothing runs the other, which is an error at once.
func TestRun_OfATaskThatWaits(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := tasktest.Run(t, registerFamily, parentCall(), tasktest.WithContext(ctx))
	require.ErrorIs(t, err, tasktest.ErrNotRun)
	assert.ErrorContains(t, err, "answer.Child")
	assert.ErrorContains(t, err, "Recorder.Answer")
}

func TestRecorder_Answer(t *testing.T) {
	rec := tasktest.NewRecorder()
	rec.Answer(childCall(1), 41, nil)
	rec.Answer(childCall(2), 0, nil)
	rec.Answer(childCall(2, runtime.WithTag("of", "parent")), 1, nil)
	got, err := tasktest.Run(t, registerFamily, parentCall(), tasktest.WithRecorder(rec))
	require.NoError(t, err)
	assert.Equal(t, 42, got)
	rec.AssertEnqueued(t, childCall(1))

	rec = tasktest.NewRecorder()
	rec.Answer(childCall(1), nil, errors.New("out of stock"))
	_, err = tasktest.Run(t, registerFamily, parentCall(), tasktest.WithRecorder(rec))
	var failed *runtime.TaskError
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, engine.StateFailed, failed.State)
	assert.Equal(t, "out of stock", failed.Reason)

	rec = tasktest.NewRecorder()
	h, err := childCall(7).Enqueue(t.Context(), rec)
	require.NoError(t, err)
	_, err = h.Wait(t.Context())
	require.ErrorIs(t, err, tasktest.ErrNotRun)
	rec.Answer(childCall(7), nil, engine.ErrCancelled)
	_, err = h.Wait(t.Context())
	require.ErrorIs(t, err, engine.ErrCancelled)
}

// TestRecorder_KeysAreHeldAsEnginesHoldThem: until the task has ended, with an
// answer or a cancellation.
func TestRecorder_KeysAreHeldAsEnginesHoldThem(t *testing.T) {
	for _, option := range []runtime.Option{
		runtime.WithActiveKey("k"), runtime.WithWaitingKey("k"), runtime.WithKey("k", time.Hour),
	} {
		rec := tasktest.NewRecorder()
		first, err := childCall(1, option).Enqueue(t.Context(), rec)
		require.NoError(t, err)
		again, err := childCall(2, option).Enqueue(t.Context(), rec)
		require.NoError(t, err)
		assert.Equal(t, first.ID(), again.ID())
		require.NoError(t, rec.App().Cancel(t.Context(), first.ID(), "no"))
		next, err := childCall(3, option).Enqueue(t.Context(), rec)
		require.NoError(t, err)
		assert.False(t, next.Existing())
	}
}
