// Package store holds the values of one scope: each is opened once, and all are
// closed when the scope ends, last opened first.
package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// Store holds the values of one scope, in the order of their opening.
type Store struct {
	Ctx context.Context // what open gets

	recent unsafe.Pointer // a *cell that is open, nil once the store is closed; atomic

	mu     sync.Mutex    // guards all below
	cells  map[any]*cell // by key
	opened []cleanup     // in order
	closed bool
}

// cell is one value, or an attempt to open it.
type cell struct {
	key   any
	ready chan struct{} // closed when v or err is set
	v     any
	err   error
}

// cleanup is a named step to take when a scope ends.
type cleanup struct {
	name string
	run  func(error) error
}

var ErrClosed = errors.New("storage is closed")

// Peek returns a value that is open already.
func (s *Store) Peek(key any) (any, bool) {
	if c := (*cell)(atomic.LoadPointer(&s.recent)); c != nil && c.key == key {
		return c.v, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.cells[key]
	if !ok {
		return nil, false
	}
	select {
	case <-c.ready:
	default:
		return nil, false
	}
	if c.err != nil {
		return nil, false
	}
	atomic.StorePointer(&s.recent, unsafe.Pointer(c))
	return c.v, true
}

// Get returns the value of the key, opened by this call or by a concurrent
// one.
func (s *Store) Get(
	ctx context.Context, key fmt.Stringer, open func() (any, func(error) error, error),
) (any, error) {
	for {
		s.mu.Lock()
		c, ok := s.cells[key]
		if ok {
			s.mu.Unlock()
			select {
			case <-c.ready:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			if c.err == errOpenAborted {
				continue // its opener called Goexit: try ourselves
			}
			return c.v, c.err
		}
		if s.closed {
			s.mu.Unlock()
			return nil, ErrClosed
		}
		c = &cell{key: key, ready: make(chan struct{}), err: errOpenAborted}
		if s.cells == nil {
			s.cells = make(map[any]*cell)
		}
		s.cells[key] = c
		s.mu.Unlock()
		return s.fill(c, key, open)
	}
}

var errOpenAborted = errors.New("opening was aborted")

// fill opens the value of a cell. A failure is not kept.
func (s *Store) fill(c *cell, key fmt.Stringer, open func() (any, func(error) error, error)) (v any, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.err = guard.Panicked(p)
			err = c.err
		}
		s.mu.Lock()
		if c.err != nil {
			delete(s.cells, key)
		}
		s.mu.Unlock()
		close(c.ready)
	}()
	v, done, err := open()
	if err != nil {
		c.err = err
		return nil, err
	}
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.opened = append(s.opened, cleanup{key.String(), done})
	}
	s.mu.Unlock()
	if closed { // the scope ended meanwhile: nobody else would close it
		c.err = ErrClosed
		if done != nil {
			err = errors.Join(ErrClosed, guard.Call(func() error { return done(ErrClosed) }))
			return nil, err
		}
		return nil, ErrClosed
	}
	c.v, c.err = v, nil
	return v, nil
}

// Close runs the cleanups, last opened first, each with the scope's error so
// far, and returns their errors. A cleanup that panics or calls Goexit does
// not keep the others from running.
func (s *Store) Close(cause error) error {
	s.mu.Lock()
	opened := s.opened
	s.closed, s.opened, s.cells = true, nil, nil
	atomic.StorePointer(&s.recent, nil)
	s.mu.Unlock()
	if len(opened) == 0 {
		return nil
	}
	var errs error
	closeLast(opened, cause, &errs)
	return errs
}

func closeLast(opened []cleanup, cause error, errs *error) {
	if len(opened) == 0 {
		return
	}
	c := opened[len(opened)-1]
	err := guard.ErrGoexit // unless it returns
	defer func() {
		if err != nil {
			err = fmt.Errorf("close %s: %w", c.name, err)
			*errs = errors.Join(*errs, err)
			cause = errors.Join(cause, err)
		}
		closeLast(opened[:len(opened)-1], cause, errs)
	}()
	if c.run == nil {
		err = nil
		return
	}
	err = guard.Call(func() error { return c.run(cause) })
}

// Reopen makes the store usable for another start of its app.
func (s *Store) Reopen(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Ctx, s.closed = ctx, false
}
