package runtime_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/memory"
)

// Proves: FEATURES 101
func TestSchedules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{})
		u := newUnit[int, int]("tick.Count")
		u.handle(app, func(_ *runtime.Context, n int) (int, error) { return n, nil })
		assert.Empty(t, app.Schedules())
		runtime.Every(app, runtime.Interval(time.Hour), u.call(2), runtime.EveryName("hourly"))
		runtime.Every(app, runtime.Interval(24*time.Hour), u.call(1), runtime.EveryName("daily"), runtime.CatchUp())
		now := time.Now()
		assert.Equal(t, []inspect.ScheduleInfo{
			{
				Name: "daily", Task: "tick.Count", CatchUp: true,
				Next: now.Truncate(24 * time.Hour).Add(24 * time.Hour), LastTick: now.Truncate(24 * time.Hour),
			},
			{Name: "hourly", Task: "tick.Count", Next: now.Truncate(time.Hour).Add(time.Hour), LastTick: now.Truncate(time.Hour)},
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

// tickLog collects the ticks of which tasks ran.
type tickLog struct {
	mu  sync.Mutex
	all []string // guarded by mu
}

func (s *tickLog) handle(ctx *runtime.Context, n int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, ctx.Metadata().Tags.Get(runtime.TagTick))
	return n, nil
}

func (s *tickLog) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all
	s.all = nil
	return all
}

// TestPauseSchedule: a paused schedule leaves its ticks out, for every process, and can
// be run by hand.
//
// Proves: FEATURES 101
func TestPauseSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newUnitApp(t, runtime.Config{})
		var s tickLog
		u := newUnit[int, int]("tick.Count")
		u.handle(app, s.handle)
		runtime.Every(app, runtime.Interval(time.Hour), u.call(1), runtime.EveryName("hourly"))
		start(t, app)
		time.Sleep(90 * time.Minute)
		assert.Len(t, s.take(), 1)
		require.NoError(t, app.PauseSchedule(t.Context(), "hourly"))
		require.NoError(t, app.PauseSchedule(t.Context(), "weekly"))
		names, err := app.PausedSchedules(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []string{"hourly", "weekly"}, names)
		paused, err := app.Paused(t.Context())
		require.NoError(t, err)
		assert.Empty(t, paused, "no queue is paused")
		time.Sleep(3 * time.Hour)
		assert.Empty(t, s.take())
		_, err = app.RunSchedule(t.Context(), "hourly")
		require.NoError(t, err)
		synctest.Wait()
		assert.Len(t, s.take(), 1)
		require.NoError(t, app.ResumeSchedule(t.Context(), "hourly"))
		synctest.Wait()
		assert.Empty(t, s.take(), "what was left out is not made up for")
		time.Sleep(time.Hour)
		assert.Len(t, s.take(), 1)
		require.ErrorContains(t, app.PauseSchedule(t.Context(), ""), "not a name")
	})
}

// asleep is a schedule whose process sleeps for d while it asks for a tick after at.
type asleep struct {
	runtime.Schedule
	at time.Time
	d  time.Duration
}

func (s *asleep) Next(t time.Time) time.Time {
	next := s.Schedule.Next(t)
	if s.d > 0 && !t.Before(s.at) {
		time.Sleep(s.d)
		s.d = 0
	}
	return next
}

// TestMissedTicks: of the ticks that a process slept through, the last is made up for,
// none, or all within a time.
//
// Proves: FEATURES 101
func TestMissedTicks(t *testing.T) {
	for name, tc := range map[string]struct {
		option runtime.EveryOption
		want   int // beside the tick of 02:00, which came in time
	}{
		"Last": {nil, 1}, "SkipMissed": {runtime.SkipMissed(), 0},
		"CatchUpAll": {runtime.CatchUpAll(24 * time.Hour), 5}, "CatchUpAllWithin": {runtime.CatchUpAll(150 * time.Minute), 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app := newUnitApp(t, runtime.Config{})
				var s tickLog
				u := newUnit[int, int]("tick.Count")
				u.handle(app, s.handle)
				began := time.Now()
				hourly := &asleep{runtime.Interval(time.Hour), began.Add(90 * time.Minute), 5*time.Hour + 30*time.Minute}
				runtime.Every(app, hourly, u.call(1), tc.option)
				start(t, app)
				time.Sleep(90 * time.Minute)
				s.take()
				time.Sleep(6 * time.Hour) // the tick of 02:00 is asked for before, and the process wakes at 07:30
				synctest.Wait()
				got := s.take()
				t.Log(got)
				assert.Len(t, got, 1+tc.want)
			})
		})
	}
}

// TestCatchUpAll: a start makes up for all ticks of the time without a worker, once.
func TestCatchUpAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memory.New(memory.Config{})
		defer func() { require.NoError(t, e.Close()) }()
		var s tickLog
		u := newUnit[int, int]("tick.Count")
		serve := func(d time.Duration) []string {
			app := runtime.New(e, runtime.Config{Logger: discard})
			u.handle(app, s.handle)
			runtime.Every(app, runtime.Interval(time.Hour), u.call(1), runtime.CatchUpAll(12*time.Hour))
			require.NoError(t, app.Start(t.Context()))
			time.Sleep(d)
			require.NoError(t, app.Stop(t.Context()))
			return s.take()
		}
		time.Sleep(30 * time.Minute)
		assert.Len(t, serve(2*time.Hour), 12+2, "the time before the first start counts as missed")
		time.Sleep(5 * time.Hour)
		assert.Len(t, serve(10*time.Minute), 5, "those that ran are not run again")
	})
}
