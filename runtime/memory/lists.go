package memory

import (
	"encoding/binary"
	"iter"
	"math/rand/v2"

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

// taskHeap is a binary heap of tasks by due time, then insertion. Each task knows its position,
// so that any of them can be taken out.
type taskHeap []*task

func (h taskHeap) top() *task {
	if len(h) == 0 {
		return nil
	}
	return h[0]
}

func (h *taskHeap) push(t *task) {
	t.pos = int32(len(*h))
	*h = append(*h, t)
	h.up(int(t.pos))
}

func (h *taskHeap) remove(t *task) {
	s := *h
	i, last := int(t.pos), len(s)-1
	if i != last {
		s[i] = s[last]
		s[i].pos = int32(i)
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
	h[i].pos, h[j].pos = int32(i), int32(j)
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

// all ranges over the tasks in no order.
func (tb *table) all() iter.Seq[*task] {
	return func(yield func(*task) bool) {
		for _, t := range tb.buckets {
			for ; t != nil; t = t.chain {
				if !yield(t) {
					return
				}
			}
		}
	}
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
