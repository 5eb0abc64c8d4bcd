// Package remote is what the engines share whose tasks are on a server that
// many processes use: a worker's loop, heartbeat and upkeep, calls that are
// stored together, and those who wait for tasks to end. An engine brings the
// statements, as a [Store].
package remote

import (
	"math/rand/v2"
	"time"
)

// The pauses between attempts while the server cannot be reached.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = time.Second
)

// longer returns the pause after d, with jitter, so that workers do not come
// back all at once.
func longer(d time.Duration) time.Duration {
	d = min(2*d, lastPause)
	return d/2 + rand.N(d/2+1)
}

// signal puts a value into a channel of capacity one, unless there is one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
