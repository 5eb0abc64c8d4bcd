package postgres_test

import (
	"testing"
	"time"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/internal/servertest/fault"
	"github.com/taskctx/taskctx/runtime/postgres"
)

// TestEngine_EachRequestFailsOnce: nothing is lost, stays, or runs more often than it
// must, whichever of the engine's requests is lost, or its answer.
//
// Proves: RELIABILITY 4
func TestEngine_EachRequestFailsOnce(t *testing.T) {
	slow(t)
	t.Parallel()
	url := servertest.Postgres(t)
	cfg := postgres.Config{Schema: newSchema(t, url), Lease: 500 * time.Millisecond, PollInterval: 50 * time.Millisecond}
	fault.Each(t, url, "fault", func(tb testing.TB, url string) fault.Engine { return open(tb, url, cfg) })
}

// TestEngine_EachRequestOfCrowdFailsOnce is the same for steps with many outcomes and
// many claims, which go over two connections.
func TestEngine_EachRequestOfCrowdFailsOnce(t *testing.T) {
	slow(t)
	t.Parallel()
	url := servertest.Postgres(t)
	cfg := postgres.Config{Schema: newSchema(t, url), Lease: 500 * time.Millisecond, PollInterval: 50 * time.Millisecond}
	fault.EachOfCrowd(t, url, "crowd", func(tb testing.TB, url string) fault.Engine { return open(tb, url, cfg) })
}
