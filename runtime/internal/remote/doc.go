// Package remote is the part that engines share whose tasks are on a server
// with many processes: a worker's loop, heartbeat and upkeep, inserts that are
// stored together, and waiting for tasks to end. An engine brings the
// statements, as a [Store].
package remote

import (
	"math/rand/v2"
	"time"
)

// Pauses between attempts while the server cannot be reached.
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
