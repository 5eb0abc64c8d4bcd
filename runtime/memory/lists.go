package memory

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// list is a list of tasks, linked through them.
type list struct {
	head, tail *task
	n          int
}

func (l *list) push(t *task) {
	t.prev, t.next = l.tail, nil
	if l.tail == nil {
		l.head = t
	} else {
		l.tail.next = t
	}
	l.tail = t
	l.n++
}

func (l *list) remove(t *task) {
	if t.prev == nil {
		l.head = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		l.tail = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.next, t.prev = nil, nil
	l.n--
}

// allList is the list of all tasks in the order of insertion.
type allList struct{ oldest, newest *task }

func (l *allList) push(t *task) {
	t.older = l.newest
	if l.newest == nil {
		l.oldest = t
	} else {
		l.newest.newer = t
	}
	l.newest = t
}

func (l *allList) remove(t *task) {
	if t.older == nil {
		l.oldest = t.newer
	} else {
		t.older.newer = t.newer
	}
	if t.newer == nil {
		l.newest = t.older
	} else {
		t.newer.older = t.older
	}
	t.older, t.newer = nil, nil
}

// taskHeap is a binary heap of tasks by the time that orders them. Each task knows its position,
// so that any of them can be taken out.
type taskHeap []*task

func (h taskHeap) top() *task {
	if len(h) == 0 {
		return nil
	}
	return h[0]
}

func (h *taskHeap) push(t *task) {
	t.pos = len(*h)
	*h = append(*h, t)
	h.up(t.pos)
}

func (h *taskHeap) remove(t *task) {
	s := *h
	i, last := t.pos, len(s)-1
	if i != last {
		s[i] = s[last]
		s[i].pos = i
	}
	s[last] = nil
	*h = s[:last]
	if i != last && !h.down(i) {
		h.up(i)
	}
}

func (h taskHeap) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h[i].before(h[parent]) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h taskHeap) down(i int) (moved bool) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return moved
		}
		if r := child + 1; r < len(h) && h[r].before(h[child]) {
			child = r
		}
		if !h[child].before(h[i]) {
			return moved
		}
		h.swap(i, child)
		i, moved = child, true
	}
}

func (h taskHeap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}

// table finds tasks by id. It is a hash table with the chains in the tasks: a
// third of the time of a map, and no allocation for a task.
type table struct {
	buckets []*task
	n       int
	seed    uint64
}

func (tb *table) bucket(id uuid.UUID) **task {
	h := binary.LittleEndian.Uint64(id[8:]) ^ binary.LittleEndian.Uint64(id[:8])
	h = (h ^ tb.seed) * 0x9e3779b97f4a7c15
	return &tb.buckets[(h^h>>32)&uint64(len(tb.buckets)-1)]
}

func (tb *table) get(id uuid.UUID) *task {
	if tb.n == 0 {
		return nil
	}
	t := *tb.bucket(id)
	for t != nil && t.id != id {
		t = t.chain
	}
	return t
}

// put adds the task and returns nil, or else the task that has its id.
func (tb *table) put(t *task) *task {
	if tb.n >= len(tb.buckets) {
		tb.grow()
	}
	b := tb.bucket(t.id)
	for o := *b; o != nil; o = o.chain {
		if o.id == t.id {
			return o
		}
	}
	t.chain, *b = *b, t
	tb.n++
	return nil
}

func (tb *table) remove(t *task) {
	p := tb.bucket(t.id)
	for *p != t {
		p = &(*p).chain
	}
	*p, t.chain = t.chain, nil
	tb.n--
}

func (tb *table) grow() {
	old := tb.buckets
	if old == nil {
		tb.seed = rand.Uint64()
	}
	tb.buckets = make([]*task, max(64, 2*len(old)))
	for _, t := range old {
		for t != nil {
			next := t.chain
			b := tb.bucket(t.id)
			t.chain, *b = *b, t
			t = next
		}
	}
}

// endedSet holds the ended tasks until they are forgotten.
type endedSet struct {
	list list     // kept for the engine's time, in the order of their end
	kept taskHeap // kept for a time of their own, in the order of its end
}

func (s *endedSet) len() int { return s.list.n + len(s.kept) }

// oldest returns the next task to be forgotten to make room.
func (s *endedSet) oldest() *task {
	if s.list.head != nil {
		return s.list.head
	}
	return s.kept.top()
}

// expired returns a task that is kept no longer, nil if there is none.
func (s *endedSet) expired(now time.Time, keepFor time.Duration) *task {
	if t := s.list.head; t != nil && now.Sub(t.endedAt) >= keepFor {
		return t
	}
	if t := s.kept.top(); t != nil && !t.when().After(now) {
		return t
	}
	return nil
}
