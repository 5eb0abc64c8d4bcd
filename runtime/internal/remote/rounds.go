package remote

import (
	"slices"
	"sync"
)

// lotQueues is how many queues a step looks at. A worker of more goes through
// them in rounds, some in each step, so that a task costs no more in thousands
// of queues than in a few.
const lotQueues = 128

// rounds chooses the queues that a worker of many looks at next: first those in
// which the listener has heard of tasks, and beside them the next ones of a round
// through all of them.
type rounds struct {
	all []string

	mu    sync.Mutex // guards all below
	told  []string   // there is news of them
	tells map[string]struct{}
	turn  int  // where the round goes on
	left  int  // how many queues it has yet to look at
	first bool // the round went first in the last step
}

// lot is the queues of one step. Either part goes first in turn, so that queues of
// which there is always news hold up no others.
type lot struct {
	told, round []string
	roundFirst  bool
}

func newRounds(all []string) *rounds {
	return &rounds{all: all, tells: make(map[string]struct{}), left: len(all)}
}

// begin begins a round through all queues.
func (r *rounds) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = len(r.all)
}

// tell notes that there may be tasks in a queue.
func (r *rounds) tell(queue string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put(queue)
}

// put is tell, with the lock held.
func (r *rounds) put(queue string) {
	if _, ok := r.tells[queue]; !ok {
		r.tells[queue] = struct{}{}
		r.told = append(r.told, queue)
	}
}

// next takes the queues of the next step.
func (r *rounds) next() lot {
	r.mu.Lock()
	defer r.mu.Unlock()
	var l lot
	n, room := min(len(r.told), lotQueues), 0
	if r.left > 0 || n == 0 {
		n = min(n, lotQueues/2)
		room = min(lotQueues-n, max(r.left, 1))
	}
	l.told, r.told = slices.Clone(r.told[:n]), slices.Delete(r.told, 0, n)
	for _, q := range l.told {
		delete(r.tells, q)
	}
	for i := range room {
		l.round = append(l.round, r.all[(r.turn+i)%len(r.all)])
	}
	r.first = !r.first
	l.roundFirst = r.first && len(l.round) > 0
	return l
}

// looked notes that a step has looked at the queues of a lot. If there may be
// more tasks in them, they are looked at again: another one goes first of the part
// that went first.
func (r *rounds) looked(l lot, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case more && l.roundFirst:
		r.turn = (r.turn + 1) % len(r.all)
		later := r.told
		r.told, r.tells = nil, make(map[string]struct{})
		for _, q := range slices.Concat(l.told, later) {
			r.put(q)
		}
	case more:
		for i := range l.told {
			r.put(l.told[(i+1)%len(l.told)])
		}
	default:
		r.turn = (r.turn + len(l.round)) % len(r.all)
		r.left = max(0, r.left-len(l.round))
	}
}

// pending reports whether there are queues to look at.
func (r *rounds) pending() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.left > 0 || len(r.told) > 0
}

// queues returns the lot's, each once.
func (l lot) queues() []string {
	round := slices.DeleteFunc(slices.Clone(l.round), func(q string) bool { return slices.Contains(l.told, q) })
	if l.roundFirst {
		return slices.Concat(round, l.told)
	}
	return slices.Concat(l.told, round)
}
