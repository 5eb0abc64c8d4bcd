package local

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/taskctx/taskctx/runtime/internal/locals"
)

// Var is a value of type T that belongs to the running task: code with the
// task's context sees it, at any depth, and no other task does. Goroutines
// that get the task's own context share its values; [Fork] and [Go] give a
// child values of its own.
//
// Make each Var once, as a package-level variable: a Var is known by its
// identity. All methods may be called concurrently. After the task's run has
// ended they return runtime.ErrTaskDone.
type Var[T any] struct {
	name   string
	travel bool
	inLogs bool
}

// Option changes what a [Var] does beyond holding a value.
type Option func(*locals.Options)

// Travels makes a local travel with every task that is enqueued where it is
// set: there it has the same value, and travels on. The value must survive
// JSON. Give each local that travels a name of its own.
func Travels() Option { return func(o *locals.Options) { o.Travel = true } }

// InLogs makes a local an attribute, under its name, of every line that is
// logged where it is set: by the task's loggers, by loggers with a handler of
// runtime.NewLogHandler when they get a context, and by the app when it logs
// that the task failed or will run again.
func InLogs() Option { return func(o *locals.Options) { o.InLogs = true } }

// New returns a local. The name is for errors, logs and traveling.
func New[T any](name string, opts ...Option) *Var[T] {
	var o locals.Options
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	if o.Travel {
		locals.AnyTravels.Store(true)
	}
	return &Var[T]{name: name, travel: o.Travel, inLogs: o.InLogs}
}

// String returns the local's name.
func (l *Var[T]) String() string { return l.name }

// Get returns the value. The error is [ErrUnset] without a value, [ErrNoScope]
// outside of any scope, and runtime.ErrTaskDone after the task.
func (l *Var[T]) Get(ctx context.Context) (T, error) {
	v, err := l.find(ctx)
	if err != nil {
		return v, fmt.Errorf("local %s: %w", l.name, err)
	}
	return v, nil
}

// GetOr returns the value, or def where Get returns an error.
func (l *Var[T]) GetOr(ctx context.Context, def T) T {
	v, err := l.find(ctx)
	if err != nil {
		return def
	}
	return v
}

// Lookup returns the value, and whether it is set and can be read.
func (l *Var[T]) Lookup(ctx context.Context) (T, bool) {
	v, err := l.find(ctx)
	return v, err == nil
}

// find is Get with plain errors, which cost nothing.
func (l *Var[T]) find(ctx context.Context) (v T, err error) {
	t, err := locals.ScopeOf(ctx, false)
	if err != nil {
		return v, err
	}
	b, err := t.Get(l)
	if err != nil {
		return v, err
	}
	return b.(locals.Box[T]).V, nil
}

// Set sets the value for everything that shares the scope of ctx.
func (l *Var[T]) Set(ctx context.Context, v T) error {
	return l.put(ctx, locals.Box[T]{V: v})
}

// Clear removes the value. In a child made with [Overlay] it hides the parent's.
func (l *Var[T]) Clear(ctx context.Context) error {
	return l.put(ctx, nil)
}

func (l *Var[T]) put(ctx context.Context, v locals.Value) error {
	t, err := locals.ScopeOf(ctx, true)
	if err != nil {
		return fmt.Errorf("local %s: %w", l.name, err)
	}
	t.Put(l, v)
	return nil
}

// Options says where the values go: the table of locals asks.
func (l *Var[T]) Options() locals.Options { return locals.Options{Travel: l.travel, InLogs: l.inLogs} }

// Decode reads a value that travelled with a task: the table of locals asks.
func (l *Var[T]) Decode(raw json.RawMessage) (locals.Value, error) {
	var b locals.Box[T]
	err := json.Unmarshal(raw, &b.V)
	return b, err
}
