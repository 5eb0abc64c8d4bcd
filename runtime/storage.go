package runtime

import (
	"context"
	"errors"
	"fmt"

	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/internal/store"
)

// ErrNoTask is the error of functions that work only in a task.
var ErrNoTask = errors.New("not in a task")

// Scope is how long a stored value lives.
type Scope uint8

// The scopes of stored values.
const (
	// PerWorker: one value for each worker slot, which one task at a time uses.
	PerWorker Scope = iota
	// PerProcess: one value for the process, shared by all tasks of its apps that
	// were supplied the same. It is closed when the last of these apps stops.
	PerProcess
	// PerTask: one value for each run of a task.
	PerTask
)

// String returns the word that annotations use for the scope.
func (s Scope) String() string {
	return [...]string{"worker", "process", "task"}[s]
}

// Key names a stored value of type T. A key is known by its identity, so make
// each once, as a package-level variable.
type Key[T any] struct {
	name  string
	scope Scope
	close func(T) error
}

// NewKey returns a key of the scope. close, unless nil, closes a value that
// [Stored] opened, when the scope ends.
func NewKey[T any](name string, scope Scope, close func(T) error) *Key[T] {
	return &Key[T]{name: name, scope: scope, close: close}
}

// String returns the key's name.
func (k *Key[T]) String() string { return k.name }

// Stored returns the value of the key, opened by the first task that needs it:
// once in the key's scope, while others that need it wait. When open fails or
// panics nothing is stored, and the next task tries again. open gets the
// context of the scope: the worker's or the process's, and the task's only in
// task scope. Values are closed, last opened first, when their scope ends, and
// those of a worker when it is thrown away after a panic.
//
// Stored works in a task and anywhere its context reaches. Outside it returns
// [ErrNoTask], after the task [ErrTaskDone].
//
// open may ask for values of other keys, with the task's context. If it asks
// for its own key with that context, it waits for itself until the context
// ends; with the context that it was given it gets [ErrNoTask] at once.
func Stored[T any](ctx context.Context, k *Key[T], open func(context.Context) (T, error)) (T, error) {
	return provide(ctx, k, func(scope context.Context) (T, func(error) error, error) {
		v, err := open(scope)
		if err != nil || k.close == nil {
			return v, nil, err
		}
		return v, func(error) error { return k.close(v) }, nil
	})
}

// Provide is Stored for an open that returns the value's cleanup, for keys of
// every scope. In task scope open gets the task's context, the cleanup gets
// the task's error, and its own error fails the task. Generated code calls it.
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
	if v, ok := s.Peek(k); ok {
		t, _ := v.(T) // a nil of an interface type is no T
		return t, nil
	}
	v, err := s.Get(ctx, k, func() (any, func(error) error, error) {
		v, cleanup, err := open(r.scopeContext(k.scope, s))
		return v, cleanup, err
	})
	if err != nil {
		if k.scope == PerTask && guard.Is(err, store.ErrClosed) { // its cleanups have run
			err = fmt.Errorf("%w (%w)", ErrTaskDone, err)
		}
		return none, fmt.Errorf("open %s: %w", k.name, err)
	}
	if k.scope == PerTask && r.life.Ended.Load() { // it ended meanwhile: nobody else may close it
		return none, errors.Join(fmt.Errorf("%s: %w", k.name, ErrTaskDone), s.Close(ErrTaskDone))
	}
	t, _ := v.(T)
	return t, nil
}

func (r *run) storeOf(s Scope) *store.Store {
	switch s {
	case PerProcess:
		return &r.app.process.Load().store
	case PerTask:
		return &r.more().scoped
	default:
		return &r.slot.storage
	}
}

func (r *run) scopeContext(sc Scope, s *store.Store) context.Context {
	if sc != PerTask {
		return s.Ctx
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
