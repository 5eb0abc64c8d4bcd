package engines_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
)

// TestPauseSchedule_OnEveryEngine: a schedule that one process pauses has no ticks in
// another, until it is resumed.
//
// Proves: FEATURES 101
func TestPauseSchedule_OnEveryEngine(t *testing.T) {
	for name, url := range engineURLs {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, url(t), func() runtime.Config {
				return runtime.Config{Queues: []string{"asked"}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
			})
			ran := make(chan string, 1000)
			glue.Register(p.worker, askTask, func(ctx *runtime.Context, _ *askArgs) (answers, error) {
				ran <- ctx.Metadata().Tags.Get(runtime.TagTick)
				return answers{}, nil
			})
			runtime.Every(p.worker, runtime.Interval(200*time.Millisecond), askCall(0, ""), runtime.EveryName("often"))
			p.start(t)
			next := func() string {
				t.Helper()
				select {
				case tick := <-ran:
					return tick
				case <-time.After(time.Minute):
					require.Fail(t, "no tick ran for a minute")
					return ""
				}
			}
			tickOf := func(text string) time.Time {
				t.Helper()
				at, err := time.Parse(time.RFC3339Nano, text)
				require.NoError(t, err)
				return at
			}
			first := tickOf(next())
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			last, err := p.web.LastOfSchedule(ctx, "often")
			require.NoError(t, err)
			assert.False(t, tickOf(last.Tags.Get(runtime.TagTick)).Before(first))
			_, err = p.web.LastOfSchedule(ctx, "seldom")
			require.ErrorIs(t, err, engine.ErrNotFound)
			require.NoError(t, p.web.PauseSchedule(ctx, "often"))
			names, err := p.worker.PausedSchedules(ctx)
			require.NoError(t, err)
			assert.Equal(t, []string{"often"}, names)
			paused, err := p.worker.Paused(ctx)
			require.NoError(t, err)
			assert.Empty(t, paused, "no queue of tasks is paused")
			began := time.Now().Add(time.Second) // a tick may be on its way
			time.Sleep(3 * time.Second)
			for n := len(ran); n > 0; n-- {
				at := tickOf(next())
				assert.True(t, at.Before(began), "the tick %s of a paused schedule ran", at)
			}
			last, err = p.web.LastOfSchedule(ctx, "often")
			require.NoError(t, err)
			require.NoError(t, p.web.ResumeSchedule(ctx, "often"))
			resumed := tickOf(next())
			now, err := p.web.LastOfSchedule(ctx, "often")
			require.NoError(t, err)
			assert.True(t, tickOf(now.Tags.Get(runtime.TagTick)).After(tickOf(last.Tags.Get(runtime.TagTick))))
			assert.False(t, tickOf(now.Tags.Get(runtime.TagTick)).Before(resumed))
		})
	}
}

// TestQueueWorkers_OnEveryEngine: a queue with a worker of its own holds up no other,
// and is held up by none.
//
// Proves: FEATURES 99
func TestQueueWorkers_OnEveryEngine(t *testing.T) {
	for name, url := range engineURLs {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, url(t), func() runtime.Config {
				return runtime.Config{
					Queues: []string{"asked"}, Workers: 2, QueueWorkers: map[string]int{"slow": 1},
					Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
				}
			})
			ran, release := make(chan string, 100), make(chan struct{})
			glue.Register(p.worker, askTask, func(ctx *runtime.Context, _ *askArgs) (answers, error) {
				queue := ctx.Metadata().Queue
				ran <- queue
				if queue == "slow" {
					<-release
				}
				return answers{}, nil
			})
			p.start(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for range 5 {
				_, err := askCall(0, "", runtime.WithQueue("slow")).Enqueue(ctx, p.web)
				require.NoError(t, err)
			}
			for range 5 {
				_, err := askCall(0, "").Enqueue(ctx, p.web)
				require.NoError(t, err)
			}
			got := map[string]int{}
			for range 6 {
				select {
				case q := <-ran:
					got[q]++
				case <-ctx.Done():
					require.Fail(t, "a task was held up", "%v have run", got)
				}
			}
			assert.Equal(t, 1, got["slow"], "of %v: its worker still runs the first", got)
			close(release)
			for range 4 {
				select {
				case <-ran:
				case <-ctx.Done():
					require.Fail(t, "a task of the queue was not run")
				}
			}
		})
	}
}
