package sqlite

import "sync"

// calls are goroutines that somebody else starts, at any moment: unlike a
// [sync.WaitGroup], it may be waited for while the first one starts.
type calls struct {
	mu   sync.Mutex // guards n, idle
	n    int
	idle chan struct{} // closed at zero; nil if nobody waits
}

// Go runs f on a goroutine of its own.
func (c *calls) Go(f func()) {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
	go func() {
		defer c.done()
		f()
	}()
}

func (c *calls) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n--; c.n == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// Wait returns at a moment when none runs.
func (c *calls) Wait() {
	c.mu.Lock()
	if c.n == 0 {
		c.mu.Unlock()
		return
	}
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.mu.Unlock()
	<-idle
}
