package remote

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/engine"
)

// upkeepStore is a store whose upkeep says when the next task is due.
type upkeepStore struct {
	plentyStore
	began time.Time
	due   time.Duration   // when the only task is due, after began
	at    []time.Duration // when each round was
}

func (s *upkeepStore) Upkeep(context.Context) (time.Duration, error) {
	now := time.Since(s.began)
	s.at = append(s.at, now)
	if now >= s.due {
		return -1, nil
	}
	return s.due - now, nil
}

// serveUpkeep serves the store until f returns.
func serveUpkeep(t *testing.T, s *upkeepStore, f func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var workers Workers
	s.w = NewWorker(&engine.Worker{ID: uuid.NewString(), Slots: 1, Abandon: make(chan struct{})}, s, Config{
		Lease: time.Hour, PollInterval: time.Hour, UpkeepEvery: time.Minute,
		Closing: context.WithoutCancel(ctx), Workers: &workers,
	})
	s.began = time.Now()
	served := make(chan error, 1)
	go func() { served <- s.w.Serve(ctx) }()
	synctest.Wait()
	f()
	cancel()
	require.NoError(t, <-served)
}

// TestUpkeep_LaterDueTimeLeavesTheEarlier: what the server said is due is not
// forgotten because something later is told of.
func TestUpkeep_LaterDueTimeLeavesTheEarlier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &upkeepStore{due: 3 * time.Second}
		serveUpkeep(t, s, func() {
			s.w.Due(8 * time.Second)
			time.Sleep(4 * time.Second)
		})
		require.NotEmpty(t, s.at)
		assert.Equal(t, 3*time.Second, s.at[len(s.at)-1])
	})
}

// silentStore takes steps and never answers.
type silentStore struct{ plentyStore }

func (s *silentStore) Step(ctx context.Context, _ *Step[int, struct{}]) (bool, error) {
	<-ctx.Done()
	return false, ctx.Err()
}

func (s *silentStore) Running(ctx context.Context) (*Running[int], error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (s *silentStore) Leave(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestServe_EndsSoonOnASilentServer: a worker that is to give up does so although
// its server does not answer.
func TestServe_EndsSoonOnASilentServer(t *testing.T) {
	for name, after := range map[string]time.Duration{"in a step": time.Second, "while it recovers": stepTimeout + time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := new(silentStore)
				abandon := make(chan struct{})
				ctx, cancel := context.WithCancel(t.Context())
				var workers Workers
				s.w = NewWorker(&engine.Worker{ID: uuid.NewString(), Slots: 1, Abandon: abandon}, s, Config{
					Lease: time.Hour, PollInterval: time.Hour, UpkeepEvery: time.Minute,
					Closing: context.WithoutCancel(ctx), Workers: &workers, Logger: slog.New(slog.DiscardHandler),
				})
				served := make(chan error, 1)
				go func() { served <- s.w.Serve(ctx) }()
				time.Sleep(after)
				cancel()
				began := time.Now()
				close(abandon)
				require.NoError(t, <-served)
				assert.LessOrEqual(t, time.Since(began), time.Second)
			})
		})
	}
}
