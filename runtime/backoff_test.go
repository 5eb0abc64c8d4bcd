package runtime_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
)

// TestWithBackoff_BeatsTheAnnotation: the waits are those that the enqueuer has
// asked for, however the task is annotated.
//
// Proves: FEATURES 36
func TestWithBackoff_BeatsTheAnnotation(t *testing.T) {
	for name, test := range map[string]struct {
		option runtime.Option
		waits  []time.Duration
	}{
		"growing": {runtime.WithBackoff(10*time.Second, 3, time.Minute), []time.Duration{10 * time.Second, 30 * time.Second, time.Minute}},
		"at once": {runtime.WithBackoff(0, 1, 0), []time.Duration{0, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app := newUnitApp(t, runtime.Config{})
				u := newUnit[int, runtime.Void]("test.Backoff", retries(3), backoff(time.Hour, 5, 0))
				var began []time.Time
				u.handle(app, func(*runtime.Context, int) (runtime.Void, error) {
					began = append(began, time.Now())
					return runtime.Void{}, errFlaky
				})
				start(t, app)
				h, err := u.call(0, test.option).Enqueue(t.Context(), app)
				require.NoError(t, err)
				_, err = h.Wait(t.Context())
				require.Error(t, err)
				require.Len(t, began, 4)
				for i, want := range test.waits { // up to a tenth is taken off at random
					wait := began[i+1].Sub(began[i])
					assert.GreaterOrEqual(t, wait, want*9/10, "wait %d", i)
					assert.LessOrEqual(t, wait, want, "wait %d", i)
				}
			})
		})
	}
}

func TestWithBackoff_RefusesWhatMakesNoSense(t *testing.T) {
	app := newUnitApp(t, runtime.Config{})
	u := newUnit[int, runtime.Void]("test.Backoff")
	for name, option := range map[string]runtime.Option{
		"negative delay": runtime.WithBackoff(-1, 2, 0),
		"negative limit": runtime.WithBackoff(1, 2, -1),
		"small factor":   runtime.WithBackoff(1, 0.5, 0),
		"no number":      runtime.WithBackoff(1, math.NaN(), 0),
		"infinite":       runtime.WithBackoff(1, math.Inf(1), 0),
	} {
		_, err := u.call(0, option).Enqueue(t.Context(), app)
		assert.ErrorContains(t, err, "WithBackoff", name)
	}
}
