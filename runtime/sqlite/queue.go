package sqlite

import "sync"

// maxLot bounds the operations of one transaction, and so the time of the
// write lock. Only a batch may be larger.
const maxLot = 1024

// lot returns how many of the operations to do in one transaction.
func lot(ops []op) int {
	n := 0
	for i, o := range ops {
		n++
		if in, ok := o.(*insertOp); ok {
			n += len(in.ms) - 1
		}
		if n > maxLot {
			return max(i, 1)
		}
	}
	return len(ops)
}

// opQueue holds the operations for the writer.
type opQueue struct {
	wake   chan struct{} // has room for one
	mu     sync.Mutex
	ops    []op // guarded by mu
	spare  []op // guarded by mu: an empty slice to use next
	closed bool // guarded by mu
}

// push adds an operation. It reports whether the queue takes any.
func (q *opQueue) push(o op) bool {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return false
	}
	q.ops = append(q.ops, o)
	first := len(q.ops) == 1
	q.mu.Unlock()
	if first {
		q.ring()
	}
	return true
}

func (q *opQueue) ring() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns the waiting operations. The slice is used again after the next
// call.
func (q *opQueue) take(last []op) []op {
	clear(last)
	q.mu.Lock()
	defer q.mu.Unlock()
	ops := q.ops
	q.ops, q.spare = q.spare[:0], last[:0]
	return ops
}

func (q *opQueue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.ops) == 0
}

// idle reports whether nothing waits, and the queue is open.
func (q *opQueue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.ops) == 0 && !q.closed
}

func (q *opQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.ring()
}
