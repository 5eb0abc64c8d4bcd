//go:build !race

package redis_test

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// TestEngine_Miniredis runs the suite where no Redis is: on a server in this process.
// Time has to be told to it. Its interpreter of scripts takes several times as long with
// the race detector, of which TestEngine has what there is to find: so tools/test.sh
// runs it without.
func TestEngine_Miniredis(t *testing.T) {
	slow(t)
	t.Parallel()
	server := miniredis.RunT(t)
	const step = 100 * time.Millisecond // each looks at all keys, and nothing else runs meanwhile
	tick := time.NewTicker(step)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-tick.C:
				server.FastForward(step)
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
	// It runs scripts in an interpreter of this process, beside other tests: with a
	// short lease its workers would be taken for lost.
	// What many tasks at once show, TestEngine shows; here each command takes as long
	// as its key is large.
	suite(t, onServer(t, "redis://"+server.Addr(), ""), 3*time.Second, 50, server.FlushAll)
}
