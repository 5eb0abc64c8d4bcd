package memory

import (
	"context"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.Counter = (*Engine)(nil)

const (
	// lotQueues is how many queues are counted with the lock held.
	lotQueues = 2048
	// maxCountLots bounds the work that Counts does for others, such as
	// finding tasks that have become due while no worker served.
	maxCountLots = 20
)

// Counts implements [engine.Counter]. It is exact, unless too many tasks have
// become due or outlived their time to be kept: then it returns an estimate
// after some milliseconds.
func (e *Engine) Counts(context.Context) ([]engine.Count, error) {
	tally := make(map[string][showStates]int64)
	var oldest map[string]time.Time
	exact, from := false, 0
	for lots := 0; ; lots++ {
		e.lock()
		if e.closed {
			e.unlock()
			return nil, engine.ErrClosed
		}
		done := false
		if !exact && lots < maxCountLots {
			now := e.now()
			more := e.moveDue(now)
			exact = !e.sweep(now) && !more
		} else {
			from = e.tallies.counts(from, lotQueues, tally)
			if done = from >= len(e.tallies.all); done {
				oldest = e.lanes.oldest()
			}
		}
		e.unlock()
		if done {
			break
		}
	}
	counts := make([]engine.Count, 0, len(tally))
	for queue, by := range tally {
		for s, n := range by {
			if n > 0 {
				c := engine.Count{Queue: queue, State: states[s], Tasks: n, Estimated: !exact}
				if shown(s) == showPending {
					c.Oldest = oldest[queue]
				}
				counts = append(counts, c)
			}
		}
	}
	return counts, nil
}

// maxOldest bounds the groups that are asked for their oldest task.
const maxOldest = 4 * maxLanes

// oldest returns since when the task of each queue is due that has been longest.
func (x *laneIndex) oldest() map[string]time.Time {
	oldest := make(map[string]time.Time)
	n := 0
	for _, g := range x.groups {
		if n++; n > maxOldest {
			break
		}
		if t := g.longest(); t != nil {
			if o, ok := oldest[g.queue]; !ok || t.due.Before(o) {
				oldest[g.queue] = t.due.UTC()
			}
		}
	}
	return oldest
}
