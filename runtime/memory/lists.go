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

// taskHeap is a heap by due time, then insertion.
type taskHeap = heapOf[byDue]

// expiryHeap is a heap by the time until which ended tasks are kept.
type expiryHeap = heapOf[byExpiry]

type (
	byDue    struct{}
	byExpiry struct{}
)

func (byDue) before(t, o *task) bool    { return t.before(o) }
func (byExpiry) before(t, o *task) bool { return t.more.expires < o.more.expires }

// heapOf is a binary heap of tasks in an order. Each task knows its position,
// so that any of them can be taken out.
type heapOf[O interface{ before(t, o *task) bool }] []*task

func (h heapOf[O]) before(i, j int) bool {
	var o O
	return o.before(h[i], h[j])
}

func (h heapOf[O]) top() *task {
	if len(h) == 0 {
		return nil
	}
	return h[0]
}

func (h *heapOf[O]) push(t *task) {
	t.pos = int32(len(*h))
	*h = append(*h, t)
	h.up(int(t.pos))
}

func (h *heapOf[O]) remove(t *task) {
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

func (h heapOf[O]) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.before(i, parent) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h heapOf[O]) down(i int) (moved bool) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return moved
		}
		if r := child + 1; r < len(h) && h.before(r, child) {
			child = r
		}
		if !h.before(child, i) {
			return moved
		}
		h.swap(i, child)
		i, moved = child, true
	}
}

func (h heapOf[O]) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = int32(i), int32(j)
}

// table finds tasks by id. It is a hash table with the chains in the tasks: a
// third of the time of a map, and no allocation for a task. It grows by one
// bucket at a time (linear hashing): rehashing a million tasks would stop all
// others for a tenth of a second.
type table struct {
	parts [][]*task // the buckets, tablePart in each
	size  int       // how many buckets are in use
	mask  uint64    // the smallest power of two that is not below size, minus 1
	n     int
	seed  uint64
}

const tablePart = 1 << 10

func (tb *table) hash(id uuid.UUID) uint64 {
	h := binary.LittleEndian.Uint64(id[8:]) ^ binary.LittleEndian.Uint64(id[:8])
	h = (h ^ tb.seed) * 0x9e3779b97f4a7c15
	return h ^ h>>32
}

func (tb *table) bucket(id uuid.UUID) **task {
	i := tb.hash(id) & tb.mask
	if i >= uint64(tb.size) { // not split yet
		i &= tb.mask >> 1
	}
	return tb.at(i)
}

func (tb *table) at(i uint64) **task { return &tb.parts[i/tablePart][i%tablePart] }

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
	if tb.n >= tb.size {
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
		for _, part := range tb.parts {
			for _, t := range part {
				for ; t != nil; t = t.chain {
					if !yield(t) {
						return
					}
				}
			}
		}
	}
}

// grow adds a bucket, and moves its tasks there.
func (tb *table) grow() {
	if tb.size == 0 {
		tb.seed = rand.Uint64()
		tb.parts = [][]*task{make([]*task, tablePart)}
		tb.size, tb.mask = 64, 63
		return
	}
	i := uint64(tb.size)
	if i > tb.mask {
		tb.mask = tb.mask<<1 | 1
	}
	if i/tablePart == uint64(len(tb.parts)) {
		tb.parts = append(tb.parts, make([]*task, tablePart))
	}
	tb.size++
	from, to := tb.at(i&(tb.mask>>1)), tb.at(i)
	for p := from; *p != nil; {
		t := *p
		if tb.hash(t.id)&tb.mask != i {
			p = &t.chain
			continue
		}
		*p = t.chain
		t.chain, *to = *to, t
	}
}
