package runtime

import (
	"sync"

	"github.com/taskctx/taskctx/runtime/internal/locals"
)

// children are the goroutines that a task started with Go.
type children struct {
	mu     sync.Mutex // guards all below
	n      int
	closed bool           // no more may start
	idle   chan struct{}  // closed when n is zero; nil while nobody waits
	failed []locals.Child // in the order of their ends
	broken bool           // one panicked or called Goexit
}

// Adopt counts a new child, unless the task is over.
func (r *run) Adopt() bool {
	c := &r.more().children
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.n == 0 && r.returned.Load() {
		return false
	}
	c.n++
	return true
}

// Leave notes that a child has ended.
func (r *run) Leave(child locals.Child, broken bool) {
	c := &r.more().children
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n--
	c.broken = c.broken || broken
	if err, _ := child.Failed(); err != nil {
		c.failed = append(c.failed, child)
	}
	if c.n == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// wait waits for all children, and lets no more start.
func (c *children) wait() {
	c.mu.Lock()
	for c.n > 0 {
		if c.idle == nil {
			c.idle = make(chan struct{})
		}
		idle := c.idle
		c.mu.Unlock()
		<-idle
		c.mu.Lock()
	}
	c.closed = true
	c.mu.Unlock()
}
