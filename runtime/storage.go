package runtime

import (
	"context"
	"errors"
	"fmt"

	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/internal/store"
)

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

func provide[T any](
	ctx context.Context, k *Key[T], open func(context.Context) (T, func(error) error, error),
) (T, error) {
	v, in, err := find(ctx, k, k.scope)
	if in != nil {
		v, err = in.open(ctx, k, func(scope context.Context) (any, func(error) error, error) { return open(scope) })
	}
	t, _ := v.(T) // a nil of an interface type is no T
	return t, err
}

// place is where a value of a run is kept.
type place struct {
	run   *run
	scope Scope
	store *store.Store
}

// find returns the value of a key, or where to open it.
func find(ctx context.Context, key fmt.Stringer, scope Scope) (v any, in *place, err error) {
	r := current(ctx)
	if r == nil {
		return nil, nil, fmt.Errorf("%s: %w", key, ErrNoTask)
	}
	if r.life.Ended.Load() {
		return nil, nil, fmt.Errorf("%s: %w", key, ErrTaskDone)
	}
	s := r.storeOf(scope)
	if v, ok := s.Peek(key); ok {
		return v, nil, nil
	}
	return nil, &place{r, scope, s}, nil
}

// open returns the value of a key, opened by this call or another.
func (p *place) open(
	ctx context.Context, key fmt.Stringer, open func(context.Context) (any, func(error) error, error),
) (any, error) {
	v, err := p.store.Get(ctx, key, func() (any, func(error) error, error) {
		return open(p.run.scopeContext(p.scope, p.store))
	})
	if err != nil {
		if p.scope == PerTask && guard.Is(err, store.ErrClosed) { // its cleanups have run
			err = fmt.Errorf("%w (%w)", ErrTaskDone, err)
		}
		return nil, fmt.Errorf("open %s: %w", key, err)
	}
	if p.scope == PerTask && p.run.life.Ended.Load() { // it ended meanwhile: nobody else may close it
		return nil, errors.Join(fmt.Errorf("%s: %w", key, ErrTaskDone), p.store.Close(ErrTaskDone))
	}
	return v, nil
}

func (r *run) storeOf(s Scope) *store.Store {
	switch s {
	case PerProcess:
		return &r.app.process.Load().(*processStore).store
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
