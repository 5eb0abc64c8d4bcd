package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"github.com/taskctx/taskctx/runtime/wire"
	"reflect"
)

// ErrNoLocals is returned by what works on task-local values, outside of a task
// and of a scope opened with [WithLocals].
var ErrNoLocals = errors.New("no scope for local values: not in a task, nor in one of WithLocals")

// ErrLocalUnset is returned by [Local.Get] when the local has no value.
var ErrLocalUnset = errors.New("local value is not set")

// Local is a value of type T that belongs to the running task: whatever has the
// task's context sees it, at any depth, and no other task does. Goroutines that
// get the task's own context share its values; [Fork] and [Go] give a child
// values of its own.
//
// Make each Local once, as a package-level variable; they are told apart by
// identity. All methods may be called concurrently. After the task's run has
// ended they return [ErrTaskDone].
type Local[T any] struct {
	name   string
	travel bool
	inLogs bool
}

// LocalOption changes what a [Local] does beyond holding a value.
type LocalOption func(*localOptions)

type localOptions struct{ travel, inLogs bool }

// Travels makes a local travel with every task that is enqueued where it is
// set: there it has the same value, and travels on. The value must survive
// JSON, and locals that travel are told apart by name.
func Travels() LocalOption { return func(o *localOptions) { o.travel = true } }

// InLogs makes a local an attribute, under its name, of every line that is
// logged where it is set: by the task's loggers, by loggers with a handler of
// [NewLogHandler] when they get a context, and by the app when it says that the
// task failed or will run again.
func InLogs() LocalOption { return func(o *localOptions) { o.inLogs = true } }

// NewLocal returns a local. The name is for errors, logs and traveling.
func NewLocal[T any](name string, opts ...LocalOption) *Local[T] {
	var o localOptions
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	if o.travel {
		anyTravels.Store(true)
	}
	return &Local[T]{name: name, travel: o.travel, inLogs: o.inLogs}
}

// String returns the local's name.
func (l *Local[T]) String() string { return l.name }

// Get returns the value, or [ErrLocalUnset], outside of any scope
// [ErrNoLocals], and after the task [ErrTaskDone].
func (l *Local[T]) Get(ctx context.Context) (T, error) {
	v, err := l.find(ctx)
	if err != nil {
		return v, fmt.Errorf("local %s: %w", l.name, err)
	}
	return v, nil
}

// GetOr returns the value, or def if Get would return an error.
func (l *Local[T]) GetOr(ctx context.Context, def T) T {
	v, err := l.find(ctx)
	if err != nil {
		return def
	}
	return v
}

// Lookup returns the value, and whether it is set and can be read.
func (l *Local[T]) Lookup(ctx context.Context) (T, bool) {
	v, err := l.find(ctx)
	return v, err == nil
}

// find is Get with plain errors, which cost nothing.
func (l *Local[T]) find(ctx context.Context) (v T, err error) {
	t, err := scopeOf(ctx, false)
	if err != nil {
		return v, err
	}
	b, err := t.get(l)
	if err != nil {
		return v, err
	}
	return b.(box[T]).v, nil
}

// Set sets the value for everything that shares the scope of ctx.
func (l *Local[T]) Set(ctx context.Context, v T) error {
	return l.put(ctx, box[T]{v})
}

// Clear removes the value. In a child made with [Overlay] it hides the parent's.
func (l *Local[T]) Clear(ctx context.Context) error {
	return l.put(ctx, nil)
}

func (l *Local[T]) put(ctx context.Context, v boxed) error {
	t, err := scopeOf(ctx, true)
	if err != nil {
		return fmt.Errorf("local %s: %w", l.name, err)
	}
	t.put(l, v)
	return nil
}

// localKey is a Local of any type, as a table knows it.
type localKey interface {
	String() string
	options() localOptions
	decode(raw json.RawMessage) (boxed, error)
}

func (l *Local[T]) options() localOptions { return localOptions{l.travel, l.inLogs} }

func (l *Local[T]) decode(raw json.RawMessage) (boxed, error) {
	var b box[T]
	err := json.Unmarshal(raw, &b.v)
	return b, err
}

// boxed is a value of a Local of any type.
type boxed interface {
	value() any
	clone() boxed
	encode(inLogs bool) (json.RawMessage, error)
}

// box holds a T, which may be an interface with nothing in it.
type box[T any] struct{ v T }

func (b box[T]) value() any { return b.v }

// clone returns a copy for a child.
func (b box[T]) clone() boxed { return box[T]{cloneOf(b.v)} }

// encode returns the value as it travels, as an arrival.
func (b box[T]) encode(inLogs bool) (json.RawMessage, error) {
	return wire.Marshal(func(f *wire.Fields) {
		f.JSON("v", &b.v)
		if inLogs {
			f.Bool("log", &inLogs)
		}
	})
}

// cloner is what can clone itself as a T.
type cloner[T any] interface{ Clone() T }

// cloneOf returns a copy of a value: one that can clone itself does, also by a
// method of its pointer.
func cloneOf[T any](v T) T {
	if c, ok := any(v).(cloner[T]); ok {
		if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && r.IsNil() {
			return v
		}
		return c.Clone()
	}
	if _, ok := any((*T)(nil)).(cloner[T]); ok {
		return any(&v).(cloner[T]).Clone()
	}
	return v
}
