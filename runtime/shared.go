package runtime

import (
	"context"
	"fmt"
	"sync"

	"github.com/taskctx/taskctx/runtime/internal/locals"
)

// Shared is a value of type T that all tasks of an app share in this process:
// counters, caches, the state of a remote system. It lives as long as its App,
// and is not saved anywhere. Two apps in one process, as in tests, have one
// each.
//
// Make each Shared once, as a package-level variable: a Shared is known by its
// identity. All methods may be called concurrently. They work in a task, and
// outside with the default app; see [SetDefault]. Else they return
// [ErrNoTask], and in a task whose run has ended [ErrTaskDone].
type Shared[T any] struct {
	name    string
	initial func() T
}

// NewShared returns a shared value. initial makes the first value, when it is
// first needed; nil means the zero value. The name is for errors.
func NewShared[T any](name string, initial func() T) *Shared[T] {
	return &Shared[T]{name, initial}
}

// String returns the name.
func (s *Shared[T]) String() string { return s.name }

// sharedCell is the value of one app.
type sharedCell[T any] struct {
	mu   sync.Mutex
	made bool // guarded by mu, as v is
	v    T
}

// Get returns the value. Data behind its pointers, maps and slices is shared:
// read it within Update, or give T a method Clone() T, which Get then calls.
func (s *Shared[T]) Get(ctx context.Context) (v T, err error) {
	err = s.Update(ctx, func(p *T) error {
		v = locals.Clone(*p)
		return nil
	})
	return v, err
}

// Set replaces the value.
func (s *Shared[T]) Set(ctx context.Context, v T) error {
	return s.Update(ctx, func(p *T) error { *p = v; return nil })
}

// Update calls f with the value, which it may read and change while nobody
// else can. f must not use this Shared by other means. Changes by f stay, even
// if it panics or returns an error, which Update returns.
func (s *Shared[T]) Update(ctx context.Context, f func(v *T) error) error {
	c, err := s.cell(ctx)
	if err != nil {
		return fmt.Errorf("shared %s: %w", s.name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.made {
		if s.initial != nil {
			c.v = s.initial()
		}
		c.made = true
	}
	return f(&c.v)
}

func (s *Shared[T]) cell(ctx context.Context) (*sharedCell[T], error) {
	app := AppFrom(ctx)
	if r := current(ctx); r != nil && r.life.Ended.Load() {
		return nil, ErrTaskDone
	}
	if app == nil {
		return nil, ErrNoTask
	}
	c, ok := app.shared.Load(s)
	if !ok {
		c, _ = app.shared.LoadOrStore(s, new(sharedCell[T]))
	}
	return c.(*sharedCell[T]), nil
}
