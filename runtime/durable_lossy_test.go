package runtime_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
)

// lossy has what encoding/json leaves out.
type lossy struct {
	Title string
	pages int
}

// refusesStep runs a task of one step, whose function must not be called.
func refusesStep[T any](t *testing.T, v T, want string) {
	t.Helper()
	app := newUnitApp(t, runtime.Config{})
	var runs, calls atomic.Int64
	u := newUnit[string, string]("press.Publish", durably, retries(5))
	u.handle(app, func(ctx *runtime.Context, _ string) (string, error) {
		runs.Add(1)
		_, err := runtime.Step(ctx, "draft", func(context.Context) (T, error) {
			calls.Add(1)
			return v, nil
		})
		return "", err
	})
	start(t, app)
	_, err := await(t, app, u.call(""))
	require.ErrorContains(t, err, "step draft: a value of type ")
	assert.ErrorContains(t, err, want)
	assert.EqualValues(t, 1, runs.Load(), "the error is permanent")
	assert.Zero(t, calls.Load(), "nothing was done that cannot be remembered")
}

// TestStep_OfATypeThatDoesNotSurviveJSON: the run that calls the function would go
// on with more than the runs after it.
//
// Proves: FEATURES 81
func TestStep_OfATypeThatDoesNotSurviveJSON(t *testing.T) {
	type tagged struct {
		Secret string `json:"-"`
	}
	refusesStep(t, lossy{"moby", 7}, "pages: encoding/json leaves out fields that are not exported")
	refusesStep(t, []map[string]*lossy{}, "[][].pages: ")
	refusesStep(t, tagged{"x"}, "Secret: the tag `json:\"-\"` leaves it out")
	refusesStep(t, errors.New("x"), "error is an interface")
	refusesStep(t, make(chan int), "JSON has no channels")
	refusesStep(t, func() {}, "JSON has no functions")
	refusesStep(t, map[bool]int{}, "JSON has no keys of type bool")
	refusesStep(t, 1+2i, "JSON has no complex numbers")
}

// TestStep_ValueIsTheSameInEachRun: also in the run that has made it.
//
// Proves: FEATURES 81
func TestStep_ValueIsTheSameInEachRun(t *testing.T) {
	type list struct {
		Pages []int `json:",omitempty"`
	}
	app := newUnitApp(t, runtime.Config{})
	var free []any
	var lists []list
	u := newUnit[string, string]("press.Publish", durably, retries(1))
	u.handle(app, func(ctx *runtime.Context, _ string) (string, error) {
		v, err := runtime.Step(ctx, "free", func(context.Context) (any, error) {
			return map[string]any{"pages": 3, "at": []string{"a"}}, nil
		})
		if err != nil {
			return "", err
		}
		free = append(free, v)
		l, err := runtime.Step(ctx, "list", func(context.Context) (list, error) { return list{[]int{}}, nil })
		if err != nil {
			return "", err
		}
		lists = append(lists, l)
		if len(lists) == 1 {
			return "", errors.New("flaky")
		}
		return "", nil
	})
	start(t, app)
	_, err := await(t, app, u.call(""))
	require.NoError(t, err)
	require.Len(t, free, 2)
	assert.Equal(t, map[string]any{"pages": 3.0, "at": []any{"a"}}, free[0])
	assert.Equal(t, free[1], free[0])
	assert.Equal(t, lists[1], lists[0])
}

// Proves: FEATURES 86
func TestSignal_OfATypeThatDoesNotSurviveJSON(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	signal := runtime.NewSignal[lossy]("approved")
	u := newUnit[string, string]("press.Publish", durably)
	u.handle(app, func(ctx *runtime.Context, _ string) (string, error) {
		_, err := signal.Await(ctx, 0)
		return "", err
	})
	start(t, app)
	const want = "a value of type runtime_test.lossy does not come back from JSON: pages: "
	_, err := await(t, app, u.call(""))
	require.ErrorContains(t, err, want, "the task does not wait for what cannot be sent")
	require.ErrorContains(t, signal.Send(t.Context(), app, uuid.New(), lossy{pages: 1}), want)
}
