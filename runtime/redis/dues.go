package redis

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// fewQueues is in how many queues due tasks are looked for at once, whatever
// somebody has said is due.
const fewQueues = 128

// dues is what a worker of many queues knows of its due tasks between two looks
// through all queues. Its zero value is ready.
type dues struct {
	mu    sync.Mutex          // guards all below
	fresh map[string]struct{} // queues in which tasks have come since
	next  time.Time           // when all are to be looked through, zero for no time
	all   time.Time           // when all were, by the last look that succeeded
}

// by notes that some task is due at a time.
func (d *dues) by(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.next.IsZero() || at.Before(d.next) {
		d.next = at
	}
}

// in notes that tasks have come in a queue, which may be due later.
func (d *dues) in(queue string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fresh == nil {
		d.fresh = make(map[string]struct{})
	}
	d.fresh[queue] = struct{}{}
}

// take returns the queues to look through now. All of them are when a task of
// which the queue is not known is due, and after a time.
func (d *dues) take(queues []string, now time.Time, every time.Duration) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	fresh := d.fresh
	d.fresh = nil
	if len(queues) <= fewQueues || now.Sub(d.all) >= every || !d.next.IsZero() && !now.Before(d.next) {
		d.next, d.all = time.Time{}, now
		return queues
	}
	return slices.Collect(maps.Keys(fresh))
}

// failed makes the next look one through all queues.
func (d *dues) failed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = time.Time{}
}

// until returns the time until the next task is due, at most lookAhead, and
// negative if there is none.
func (d *dues) until() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.next.IsZero() {
		return -1
	}
	return max(min(time.Until(d.next), lookAhead), 0)
}

// Due makes the upkeep look through all queues after d, when a task is due.
func (s *serve) Due(d time.Duration) {
	s.dues.by(time.Now().Add(d))
	s.Worker.Due(d)
}

// dueIn makes the upkeep look through a queue now.
func (s *serve) dueIn(queue string) {
	s.dues.in(queue)
	s.Worker.Due(0)
}
