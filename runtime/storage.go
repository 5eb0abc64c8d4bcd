package runtime

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// ErrNoTask is returned by what works only inside a task.
var ErrNoTask = errors.New("not in a task")

// Scope is how long a stored value lives.
type Scope uint8

// The scopes of stored values.
const (
	// PerWorker: one value for each worker slot, which one task at a time uses.
	PerWorker Scope = iota
	// PerProcess: one value for the app, shared by all its tasks.
	PerProcess
	// PerTask: one value for each run of a task.
	PerTask
)

// String returns the word that annotations use for the scope.
func (s Scope) String() string {
	return [...]string{"worker", "process", "task"}[s]
}

// Key names a stored value of type T. Keys are told apart by identity, so make
// each once, as a package-level variable.
type Key[T any] struct {
	name  string
	scope Scope
	close func(T) error
}

// NewKey returns a key of worker scope. close, unless nil, is called when the
// worker ends.
func NewKey[T any](name string, close func(T) error) *Key[T] {
	return &Key[T]{name: name, close: close}
}

// NewProcessKey is NewKey for a value that all workers of the app share.
func NewProcessKey[T any](name string, close func(T) error) *Key[T] {
	return &Key[T]{name: name, scope: PerProcess, close: close}
}

// NewScopedKey returns a key for [Provide].
func NewScopedKey[T any](name string, scope Scope) *Key[T] {
	return &Key[T]{name: name, scope: scope}
}

// String returns the key's name.
func (k *Key[T]) String() string { return k.name }

// Keep returns the value of the key, opened by the first task that needs it:
// once, while others that need it wait. When open fails or panics nothing is
// kept, and the next task tries again. open gets the context of the worker, not
// of the task. Values are closed, last opened first, when the worker stops or
// is thrown away after a panic.
//
// Keep works in a task and anywhere its context reaches. Outside it returns
// [ErrNoTask], after the task [ErrTaskDone].
//
// open may Keep values of other keys, with the task's context. One that asks for
// its own key with that context waits for itself until the context ends; with
// the context that it was given it gets [ErrNoTask] at once.
func Keep[T any](ctx context.Context, k *Key[T], open func(context.Context) (T, error)) (T, error) {
	return provide(ctx, k, func(scope context.Context) (T, func(error) error, error) {
		v, err := open(scope)
		if err != nil || k.close == nil {
			return v, nil, err
		}
		return v, func(error) error { return k.close(v) }, nil
	})
}

// Provide is Keep for an open that returns the value's cleanup, for keys of
// every scope. In task scope open gets the task's context, the cleanup gets the
// task's error, and its own error fails the task. Generated code calls it.
func Provide[T any](
	ctx context.Context, k *Key[T], open func(context.Context) (T, func(error) error, error),
) (T, error) {
	return provide(ctx, k, open)
}

func provide[T any](
	ctx context.Context, k *Key[T], open func(context.Context) (T, func(error) error, error),
) (T, error) {
	var none T
	r := current(ctx)
	if r == nil {
		return none, fmt.Errorf("%s: %w", k.name, ErrNoTask)
	}
	if r.life.Ended.Load() {
		return none, fmt.Errorf("%s: %w", k.name, ErrTaskDone)
	}
	s := r.storeOf(k.scope)
	if v, ok := s.peek(k); ok {
		t, _ := v.(T) // a nil of an interface type is no T
		return t, nil
	}
	v, err := s.get(ctx, k, func() (any, func(error) error, error) {
		v, cleanup, err := open(r.scopeContext(k.scope, s))
		return v, cleanup, err
	})
	if err != nil {
		if k.scope == PerTask && is(err, errStoreClosed) { // its cleanups have run
			err = fmt.Errorf("%w (%w)", ErrTaskDone, err)
		}
		return none, fmt.Errorf("open %s: %w", k.name, err)
	}
	if k.scope == PerTask && r.life.Ended.Load() { // it ended meanwhile: nobody else may close it
		return none, errors.Join(fmt.Errorf("%s: %w", k.name, ErrTaskDone), s.close(ErrTaskDone))
	}
	t, _ := v.(T)
	return t, nil
}

func (r *run) storeOf(s Scope) *store {
	switch s {
	case PerProcess:
		return &r.app.storage
	case PerTask:
		return &r.more().scoped
	default:
		return &r.slot.storage
	}
}

func (r *run) scopeContext(sc Scope, s *store) context.Context {
	if sc != PerTask {
		return s.ctx
	}
	if bound := r.more().bound; bound != nil {
		return bound
	}
	return &r.root
}

// CloseFunc turns the cleanup of a provider into the form that Provide takes.
// A nil cleanup stays nil.
func CloseFunc(f func()) func(error) error {
	if f == nil {
		return nil
	}
	return func(error) error { f(); return nil }
}

// CloseErrFunc is CloseFunc for a cleanup that may fail.
func CloseErrFunc(f func() error) func(error) error {
	if f == nil {
		return nil
	}
	return func(error) error { return f() }
}

// store holds the values of one scope, in the order of their opening.
type store struct {
	ctx context.Context // what open gets

	recent atomic.Pointer[cell] // one that is open, nil once the store is closed

	mu     sync.Mutex    // guards all below
	cells  map[any]*cell // by key
	opened []cleanup     // in order
	closed bool
}

// cell is one value, or the attempt to open it.
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

var errStoreClosed = errors.New("storage is closed")

// peek returns a value that is there already.
func (s *store) peek(key any) (any, bool) {
	if c := s.recent.Load(); c != nil && c.key == key {
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
	s.recent.Store(c)
	return c.v, true
}

// get returns the value of the key, opened by this call or by another that is
// under way.
func (s *store) get(
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
			return nil, errStoreClosed
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
func (s *store) fill(c *cell, key fmt.Stringer, open func() (any, func(error) error, error)) (v any, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.err = panicked(p)
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
		c.err = errStoreClosed
		if done != nil {
			err = errors.Join(errStoreClosed, safely(func() error { return done(errStoreClosed) }))
			return nil, err
		}
		return nil, errStoreClosed
	}
	c.v, c.err = v, nil
	return v, nil
}

// close runs the cleanups, last opened first, each with the error of the scope
// so far, and returns the errors they had. A cleanup that panics or calls
// Goexit does not keep the others from running.
func (s *store) close(cause error) error {
	s.mu.Lock()
	opened := s.opened
	s.closed, s.opened, s.cells = true, nil, nil
	s.recent.Store(nil)
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
	err := ErrGoexit // unless it returns
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
	err = safely(func() error { return c.run(cause) })
}

// reopen makes the store usable for another start of its app.
func (s *store) reopen(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx, s.closed = ctx, false
}
