package memory

import (
	"slices"

	"github.com/taskctx/taskctx/runtime/engine"
)

// tally counts the tasks of a queue, by the state that they show.
type tally struct {
	queue string
	n     [showStates]int64 // by shown
	at    int               // in tallySet.all
}

// shown is a state that a task shows, as the index of engine.States.
type shown uint8

const (
	showScheduled shown = iota
	showPending
	showRunning
	showRetrying
	showWaiting
	showSucceeded
	showFailed
	showCancelled
	showStates // how many states there are
)

var states = engine.States()

// tallySet are the tallies of all queues that have tasks, and of some more.
type tallySet struct {
	by   map[string]*tally
	all  []*tally
	last *tally // the last one asked for
	next int    // in all: the next to check for emptiness
}

// of returns the tally of the queue.
func (s *tallySet) of(queue string) *tally {
	if s.last != nil && s.last.queue == queue {
		return s.last
	}
	c := s.by[queue]
	if c == nil {
		s.prune()
		if s.by == nil {
			s.by = make(map[string]*tally)
		}
		c = &tally{queue: queue, at: len(s.all)}
		s.by[queue] = c
		s.all = append(s.all, c)
	}
	s.last = c
	return c
}

// prune drops tallies without tasks: for each new one it looks at two.
func (s *tallySet) prune() {
	for range 2 {
		if len(s.all) < 16 {
			return
		}
		if s.next++; s.next >= len(s.all) {
			s.next = 0
		}
		if c := s.all[s.next]; c.n == [showStates]int64{} {
			last := len(s.all) - 1
			s.all[c.at] = s.all[last]
			s.all[c.at].at = c.at
			s.all[last] = nil
			s.all = s.all[:last]
			delete(s.by, c.queue)
			if s.last == c {
				s.last = nil
			}
		}
	}
}

// show counts the task as one of the state.
func (e *Engine) show(t *task, s shown) {
	if t.tally == nil {
		t.tally = e.tallies.of(t.msg.Queue)
	} else {
		t.tally.n[t.shown]--
	}
	t.tally.n[s]++
	t.shown = s
}

// gone takes a task that is about to be forgotten out of the count and out of
// order.
func (e *Engine) gone(t *task) {
	if t.tally != nil {
		t.tally.n[t.shown]--
		t.tally = nil
	}
	e.order.remove(t.seq)
}

// gonePast is gone for a record in the archive.
func (e *Engine) gonePast(r *packed) {
	e.tallies.of(e.past.kinds.all[r.kind].Queue).n[showSucceeded]--
	e.order.remove(r.seq)
}

// counts appends the counts of at most n queues, from the tally at an index
// on.
func (s *tallySet) counts(from, n int, to map[string][showStates]int64) (next int) {
	end := min(from+n, len(s.all))
	for _, c := range s.all[min(from, end):end] {
		if c.n != [showStates]int64{} {
			to[c.queue] = c.n
		}
	}
	return end
}

// matches reports whether the query selects a task with this message and
// state.
func matches(q *engine.Query, m *engine.Message, s engine.State) bool {
	if len(q.States) > 0 && !slices.Contains(q.States, s) {
		return false
	}
	if q.Name != "" && q.Name != m.Name || q.Queue != "" && q.Queue != m.Queue {
		return false
	}
	if len(q.Priorities) > 0 && !slices.Contains(q.Priorities, m.Priority) {
		return false
	}
	return q.MatchesTags(m.Meta.Tags)
}
