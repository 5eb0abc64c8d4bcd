package runtime

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/taskctx/taskctx/runtime/internal/life"
)

// localsKey is the key under which a context's Value finds its scope of locals:
// a *locals, or the localsTask whose table may not be made yet.
type localsKey struct{}

// taskKey is the key under which a context's Value finds its task.
type taskKey struct{}

// localsTask is a run of a task, as its locals and children know it.
type localsTask interface {
	// Ended reports whether the run is over.
	Ended() bool
	// Locals returns the run's own table. It is nil when nothing has made it yet,
	// unless create is set.
	Locals(create bool) *locals
	// Adopt counts a new child, unless the task is over.
	Adopt() bool
	// Leave says that a child has ended. broken says that it panicked or called
	// Goexit.
	Leave(c localsChild, broken bool)
}

// localsChild is a goroutine that a task started, once it has ended.
type localsChild interface {
	// Failed returns the child's error, and whether somebody waits for it.
	Failed() (err error, waited bool)
}

// taskOf returns the task of ctx, nil if there is none.
func taskOf(ctx context.Context) localsTask {
	if ctx == nil {
		return nil
	}
	t, _ := ctx.Value(taskKey{}).(localsTask)
	return t
}

// locals is the table of one scope.
type locals struct {
	task   localsTask // with whose end the scope ends; nil outside of tasks
	parent *locals    // of an overlay: where reads go on

	// arrived is what traveled here with the task, by name; it never changes.
	arrived map[string]arrival

	mu     sync.Mutex
	values []localEntry // guarded by mu; in the order in which they were first set
}

// localEntry is one value, nil when it was cleared.
type localEntry struct {
	key localKey
	v   boxed
}

// WithLocals opens a new scope for local values, without any, where there is no
// task: in a web handler, in main, in a test. In a task the scope hides the
// task's own, and ends with it.
func WithLocals(ctx context.Context) context.Context {
	if ctx == nil {
		ctx = context.Background()
	}
	return context.WithValue(ctx, localsKey{}, &locals{task: taskOf(ctx)})
}

// scopeOf returns the table that ctx belongs to. It is nil, which reads as
// empty, when nothing has made the table of a task yet, unless create is set.
func scopeOf(ctx context.Context, create bool) (*locals, error) {
	if ctx == nil {
		return nil, ErrNoLocals
	}
	switch s := ctx.Value(localsKey{}).(type) {
	case *locals:
		if s.task != nil && s.task.Ended() {
			return nil, life.ErrDone
		}
		return s, nil
	case localsTask:
		if s.Ended() {
			return nil, life.ErrDone
		}
		return s.Locals(create), nil
	default:
		return nil, ErrNoLocals
	}
}

// get returns the value of a key, here or where an overlay reads on.
func (t *locals) get(key localKey) (boxed, error) {
	for ; t != nil; t = t.parent {
		if v, ok := t.own(key); ok {
			if v == nil {
				return nil, ErrLocalUnset
			}
			return v, nil
		}
		if a, ok := t.arrived[key.String()]; ok && key.options().travel {
			v, err := key.decode(a.V)
			if err != nil {
				return nil, err
			}
			if v = t.keep(key, v); v == nil {
				return nil, ErrLocalUnset
			}
			return v, nil
		}
	}
	return nil, ErrLocalUnset
}

func (t *locals) own(key localKey) (boxed, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.values {
		if t.values[i].key == key {
			return t.values[i].v, true
		}
	}
	return nil, false
}

// keep notes a value that arrived, unless it was set or cleared meanwhile.
func (t *locals) keep(key localKey, v boxed) boxed {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.values {
		if t.values[i].key == key {
			return t.values[i].v
		}
	}
	t.values = append(t.values, localEntry{key, v})
	return v
}

func (t *locals) put(key localKey, v boxed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.values {
		if t.values[i].key == key {
			t.values[i].v = v
			return
		}
	}
	t.values = append(t.values, localEntry{key, v})
}

// all returns a copy of everything that can be read in the scope, cleared
// values too, since they hide what arrived.
func (t *locals) all() (values []localEntry, arrived map[string]arrival) {
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
		i := slices.IndexFunc(values, func(o localEntry) bool { return o.key == e.key })
		if i < 0 {
			values = append(values, e)
		} else {
			values[i] = e
		}
	}
	return values, arrived
}

// unread returns the names of what arrived and is hidden by no value, sorted.
func unread(values []localEntry, arrived map[string]arrival) []string {
	if len(arrived) == 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(arrived))
	return slices.DeleteFunc(names, func(name string) bool {
		return slices.ContainsFunc(values, func(e localEntry) bool {
			return e.key.options().travel && e.key.String() == name
		})
	})
}

// logAttrs returns the values that are marked for logs.
func (t *locals) logAttrs() []slog.Attr {
	values, arrived := t.all()
	var attrs []slog.Attr
	for _, e := range values {
		if e.v != nil && e.key.options().inLogs {
			attrs = append(attrs, slog.Any(e.key.String(), e.v.value()))
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
func (a arrival) attr(name string) slog.Attr {
	var s string
	if json.Unmarshal(a.V, &s) == nil {
		return slog.String(name, s)
	}
	return slog.Any(name, a.V)
}
