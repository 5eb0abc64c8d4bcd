package web

import (
	"context"
	"sync"
)

// shared lets one caller read what others wait for, too.
type shared struct {
	mu      sync.Mutex    // guards reading, and what is read
	reading chan struct{} // closed when a read has ended, nil while none is under way
}

// get returns when have, which is called with the lock held, finds what was read, and
// calls read if need be. After a failed read each waiting caller reads for itself.
func (s *shared) get(ctx context.Context, have func() bool, read func() error) error {
	for {
		s.mu.Lock()
		if have() {
			s.mu.Unlock()
			return nil
		}
		reading := s.reading
		if reading == nil {
			s.reading = make(chan struct{})
			s.mu.Unlock()
			defer s.done() // also if read panics
			return read()
		}
		s.mu.Unlock()
		select {
		case <-reading:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *shared) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.reading)
	s.reading = nil
}

// lazy is a value that is read when somebody asks for it, once, however many ask.
type lazy[V any] struct {
	shared
	known bool // guarded by mu, as is value
	value V
}

// get returns the value, and reads it first if need be.
func (l *lazy[V]) get(ctx context.Context, read func() (V, error)) (v V, err error) {
	err = l.shared.get(ctx, func() bool {
		v = l.value
		return l.known
	}, func() (err error) {
		if v, err = read(); err == nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.value, l.known = v, true
		}
		return err
	})
	return v, err
}
