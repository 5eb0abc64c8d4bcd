package redis_test

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/enginetest"
	"github.com/taskctx/taskctx/runtime/redis"
)

// TestMiniredis runs the suite where no Redis is: on a server in this process.
// It does not forget keys by itself, and holds nothing up.
func TestMiniredis(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	url := "redis://" + server.Addr()
	tick := time.NewTicker(10 * time.Millisecond)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-tick.C:
				server.FastForward(10 * time.Millisecond)
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() {
		tick.Stop()
		close(stop)
		<-stopped
	})
	cfg := redis.Config{Lease: time.Second}
	enginetest.Run(t, func(tb testing.TB) runtime.Engine { return open(tb, url, cfg) }, enginetest.Options{
		Second:      func(tb testing.TB, _ runtime.Engine) runtime.Engine { return open(tb, url, cfg) },
		Unsupported: []enginetest.Feature{enginetest.Priorities, enginetest.Order},
		Lease:       2 * time.Second,
	})
}
