package runtime

import (
	"fmt"
	"sync"

	"github.com/taskctx/taskctx/runtime/internal/guard"
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

// waitChildren waits for the goroutines that the task started, and joins their
// errors to the task's. No more can start from then on.
func (r *run) waitChildren(err error) error {
	r.returned.Store(true)
	x := r.extras()
	if x == nil { // adopt, if it is called now, sees that the task has returned
		return err
	}
	c := &x.children
	c.wait()
	r.flags.broken = r.flags.broken || c.broken
	failed := c.failed
	c.failed = nil // said once
	for _, child := range failed {
		cerr, waited := child.Failed()
		if waited {
			continue
		}
		if err == nil {
			return cerr
		}
		return fmt.Errorf("%w; then a child: %s", err, guard.Text(cerr))
	}
	return err
}
