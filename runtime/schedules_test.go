package runtime_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
)

func TestSchedules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{})
		u := newUnit[int, int]("tick.Count")
		u.handle(app, func(_ *runtime.Context, n int) (int, error) { return n, nil })
		assert.Empty(t, app.Schedules())
		runtime.Every(app, runtime.Interval(time.Hour), u.call(2), runtime.EveryName("hourly"))
		runtime.Every(app, runtime.Interval(24*time.Hour), u.call(1), runtime.EveryName("daily"), runtime.CatchUp())
		now := time.Now()
		assert.Equal(t, []runtime.ScheduleInfo{
			{Name: "daily", Task: "tick.Count", Next: now.Truncate(24 * time.Hour).Add(24 * time.Hour), CatchUp: true},
			{Name: "hourly", Task: "tick.Count", Next: now.Truncate(time.Hour).Add(time.Hour)},
		}, app.Schedules())

		_, err := app.RunSchedule(t.Context(), "weekly")
		require.ErrorIs(t, err, runtime.ErrUnknownSchedule)
		start(t, app)
		id, err := app.RunSchedule(t.Context(), "hourly")
		require.NoError(t, err)
		result, err := runtime.HandleOf[int](app, id).Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 2, result)
		r, err := app.Lookup(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, "hourly", r.Tags.Get(runtime.TagEvery))
	})
}
