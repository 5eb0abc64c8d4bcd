package web

import (
	"context"
	"sync"
)

// lazy is a value that is read when somebody asks for it, once, however many ask.
type lazy[V any] struct {
	mu      sync.Mutex    // guards all below
	reading chan struct{} // closed when a read has ended, nil while none is under way
	known   bool
	value   V
}

// get returns the value, and reads it first if need be. After a failed read each waiting
// caller reads for itself.
func (l *lazy[V]) get(ctx context.Context, read func() (V, error)) (V, error) {
	for {
		l.mu.Lock()
		if l.known {
			defer l.mu.Unlock()
			return l.value, nil
		}
		reading := l.reading
		if reading == nil {
			l.reading = make(chan struct{})
			l.mu.Unlock()
			return l.fill(read)
		}
		l.mu.Unlock()
		select {
		case <-reading:
		case <-ctx.Done():
			var none V
			return none, context.Cause(ctx)
		}
	}
}

// fill reads the value for all waiting callers.
func (l *lazy[V]) fill(read func() (V, error)) (v V, err error) {
	ok := false
	defer func() { // also if read panics
		l.mu.Lock()
		defer l.mu.Unlock()
		if ok && err == nil {
			l.value, l.known = v, true
		}
		close(l.reading)
		l.reading = nil
	}()
	v, err = read()
	ok = true
	return v, err
}
