// Package locals is the table of task-local values, behind the package local
// and a run.
package locals

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/taskctx/taskctx/runtime/internal/life"
)

// ScopeKey is the key under which a context's Value finds its scope of locals:
// a *[Table], or a [Task] that has perhaps no table yet.
type ScopeKey struct{}

// Task is a run of a task, as its locals and children know it.
type Task interface {
	// Ended reports whether the run is over.
	Ended() bool
	// Locals returns the run's own table. Without create it returns nil if the
	// table was not made yet.
	Locals(create bool) *Table
	// Adopt counts a new child, unless the task is over.
	Adopt() bool
	// Leave says that a child has ended. broken says that it panicked or called
	// Goexit.
	Leave(c Child, broken bool)
}

// Child is a goroutine that a task started, once it has ended.
type Child interface {
	// Failed returns the child's error, and whether somebody waits for it.
	Failed() (err error, waited bool)
}

// TaskOf returns the task of ctx, nil if there is none.
func TaskOf(ctx context.Context) Task {
	if ctx == nil {
		return nil
	}
	t, _ := ctx.Value(life.TaskKey{}).(Task)
	return t
}

// Table is the table of one scope.
type Table struct {
	task   Task   // with whose end the scope ends; nil outside of tasks
	parent *Table // of an overlay: where reads go on

	// arrived holds the values that traveled here with the task, by name; it
	// never changes.
	arrived map[string]Arrival

	mu     sync.Mutex
	values []entry // guarded by mu; in the order in which they were first set
}

// New returns a table with the values that traveled here.
func New(t Task, arrived map[string]Arrival) *Table {
	return &Table{task: t, arrived: arrived}
}

// Overlay returns a table that reads t's values where it has none.
func (t *Table) Overlay(task Task) *Table { return &Table{task: task, parent: t} }

// Copy returns a table with copies of the values of t, which may be nil.
func (t *Table) Copy(task Task) *Table {
	c := &Table{task: task}
	c.values, c.arrived = t.all()
	for i, e := range c.values {
		if e.v != nil {
			c.values[i].v = e.v.Clone()
		}
	}
	return c
}

// Of reports whether t is the task's own table.
func (t *Table) Of(task Task) bool { return t != nil && t.task == task }

// entry is one value, nil when it was cleared.
type entry struct {
	key Key
	v   Value
}

// ScopeOf returns the table of ctx. Without create it returns nil, which reads
// as empty, if a task's table was not made yet.
func ScopeOf(ctx context.Context, create bool) (*Table, error) {
	if ctx == nil {
		return nil, ErrNoScope
	}
	switch s := ctx.Value(ScopeKey{}).(type) {
	case *Table:
		if s.task != nil && s.task.Ended() {
			return nil, life.ErrDone
		}
		return s, nil
	case Task:
		if s.Ended() {
			return nil, life.ErrDone
		}
		return s.Locals(create), nil
	default:
		return nil, ErrNoScope
	}
}

// Get returns the value of a key, from this table or the one it overlays.
func (t *Table) Get(key Key) (Value, error) {
	for ; t != nil; t = t.parent {
		if v, ok := t.own(key); ok {
			if v == nil {
				return nil, ErrUnset
			}
			return v, nil
		}
		if a, ok := t.arrived[key.String()]; ok && key.Options().Travel {
			v, err := key.Decode(a.V)
			if err != nil {
				return nil, err
			}
			if v = t.keep(key, v); v == nil {
				return nil, ErrUnset
			}
			return v, nil
		}
	}
	return nil, ErrUnset
}

func (t *Table) own(key Key) (Value, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.values {
		if t.values[i].key == key {
			return t.values[i].v, true
		}
	}
	return nil, false
}

// keep stores a value that arrived, unless it was set or cleared meanwhile.
func (t *Table) keep(key Key, v Value) Value {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.values {
		if t.values[i].key == key {
			return t.values[i].v
		}
	}
	t.values = append(t.values, entry{key, v})
	return v
}

// Put sets the value of the key.
func (t *Table) Put(key Key, v Value) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.values {
		if t.values[i].key == key {
			t.values[i].v = v
			return
		}
	}
	t.values = append(t.values, entry{key, v})
}

// all returns a copy of everything that can be read in the scope. It includes
// cleared values, since they hide arrived ones.
func (t *Table) all() (values []entry, arrived map[string]Arrival) {
	if t == nil {
		return nil, nil
	}
	values, arrived = t.parent.all()
	if t.arrived != nil {
		arrived = t.arrived
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.values {
		i := slices.IndexFunc(values, func(o entry) bool { return o.key == e.key })
		if i < 0 {
			values = append(values, e)
		} else {
			values[i] = e
		}
	}
	return values, arrived
}

// unread returns the names of arrived values that no entry hides, sorted.
func unread(values []entry, arrived map[string]Arrival) []string {
	if len(arrived) == 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(arrived))
	return slices.DeleteFunc(names, func(name string) bool {
		return slices.ContainsFunc(values, func(e entry) bool {
			return e.key.Options().Travel && e.key.String() == name
		})
	})
}

// LogAttrs returns the values that are marked for logs.
func (t *Table) LogAttrs() []slog.Attr {
	values, arrived := t.all()
	var attrs []slog.Attr
	for _, e := range values {
		if e.v != nil && e.key.Options().InLogs {
			attrs = append(attrs, slog.Any(e.key.String(), e.v.Any()))
		}
	}
	for _, name := range unread(values, arrived) {
		if a := arrived[name]; a.Log {
			attrs = append(attrs, a.attr(name))
		}
	}
	return attrs
}

// attr shows a value whose local this process may not know.
func (a Arrival) attr(name string) slog.Attr {
	var s string
	if json.Unmarshal(a.V, &s) == nil {
		return slog.String(name, s)
	}
	return slog.Any(name, a.V)
}

// ErrNoScope is the error of task-local values outside of a task and of a
// scope that local.With opened.
var ErrNoScope = errors.New("no scope for local values: not in a task, nor in one of WithLocals")

// ErrUnset is the error of a local without a value.
var ErrUnset = errors.New("local value is not set")

// Options says where a value goes: to tasks that its task enqueues, and to log lines.
type Options struct{ Travel, InLogs bool }

// Key is a local.Var of any type, as a table knows it.
type Key interface {
	String() string
	Options() Options
	Decode(raw json.RawMessage) (Value, error)
}
