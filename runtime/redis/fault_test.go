package redis_test

import (
	"testing"
	"time"

	"github.com/taskctx/taskctx/internal/servertest/fault"
	"github.com/taskctx/taskctx/runtime/redis"
)

// TestEngine_EachRequestFailsOnce: nothing is lost, stays, or runs more often than it
// must, whichever of the engine's requests is lost, or its answer; where the
// client sends again what got no answer, and where it does not.
//
// Proves: RELIABILITY 4
func TestEngine_EachRequestFailsOnce(t *testing.T) {
	slow(t)
	url := server(t)
	cfg := redis.Config{Lease: 500 * time.Millisecond, PollInterval: 50 * time.Millisecond}
	for name, options := range map[string]string{"sent-again": "", "not-sent-again": "?max_retries=-1"} {
		fault.Each(t, url, name, func(tb testing.TB, url string) fault.Engine { return open(tb, url+options, cfg) })
	}
}

// TestEngine_EachRequestOfCrowdFailsOnce is the same for steps with many outcomes and
// many claims.
func TestEngine_EachRequestOfCrowdFailsOnce(t *testing.T) {
	slow(t)
	url := server(t)
	cfg := redis.Config{Lease: 500 * time.Millisecond, PollInterval: 50 * time.Millisecond}
	fault.EachOfCrowd(t, url, "crowd", func(tb testing.TB, url string) fault.Engine { return open(tb, url, cfg) })
}
