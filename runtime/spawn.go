package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// Orphan makes a task that is spawned with it go on when its parent fails or
// is cancelled. Other children are then cancelled.
func Orphan() Option { return func(s *settings) { s.m.Meta.Orphan = true } }

// Future is a child's result once it has ended. Its methods may be called
// concurrently.
type Future[R any] future

// future is a Future, whatever the type of the result.
type future struct {
	name string
	task string // the child's name on the wire
	d    *durable
	n    *named
	err  error // why there is no child

	heard bool // the function has got err; guarded by lasting.refusing
	after bool // it begins when its parent has ended
}

// Spawn enqueues the call as a child of the durable task, under a name: once
// over all runs of the task, whoever dies in between. The child is stored when
// the task next waits, begins a step or returns, together with others, so that
// many cost little; errors of that are errors of that call. A thousand that are
// not stored yet are stored at once, so that workers begin with them while the
// task spawns more. Spawn's own errors are those of Await, and of the task if it
// does not Await. A step has no children.
//
// The result and the end of the child are kept with the parent, so the child's
// record may be gone by then. When the parent fails or is cancelled, its
// children that have not ended are cancelled, except those with [Orphan].
//
// A child with a key, of unique= or [WithKey], takes the key as any task does.
// If another task holds it the parent fails, with a [*engine.KeyHeldError]. A
// child that orderby= puts after its parent begins when that has ended: a wait for
// it is an error.
func Spawn[R any](ctx context.Context, name string, c Call[R]) *Future[R] {
	return (*Future[R])(spawnChild(ctx, name, c.AnyCall))
}

// Name is the name under which the child was spawned.
func (f *Future[R]) Name() string { return f.name }

func spawnChild(ctx context.Context, name string, c AnyCall) *future {
	f := &future{name: name, task: c.Name()}
	d, err := durableOf(ctx, "runtime.Spawn")
	if err != nil {
		f.unspawned(ctx, err)
		return f
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.spawn(ctx, f, c)
	return f
}

// unspawned notes that there is no child, since the task has no journal now.
func (f *future) unspawned(ctx context.Context, err error) {
	f.err = err
	if r := current(ctx); r != nil && !guard.Is(err, ErrSuspended) {
		f.err = inEntry("child", f.name, err)
		r.refuse(f)
	}
}

// spawn spawns the child of a future. The caller holds d.mu.
func (d *durable) spawn(ctx context.Context, f *future, c AnyCall) {
	f.d = d
	n, err := d.take(f.name, engine.EntryChild)
	switch {
	case err != nil || n.e != nil:
	case c.def == nil:
		err = Permanent(errors.New("the call is the zero value"))
	case c.more().err != nil:
		err = Permanent(fmt.Errorf("enqueue %s: %w", c.Name(), c.more().err))
	}
	if err != nil {
		f.err = inEntry("child", f.name, err)
		d.r.refuse(f)
		return
	}
	f.after = d.r.goesBefore(c)
	if f.n = n; n.e == nil {
		d.pending = append(d.pending, spawn{ctx, f.name, c})
		d.flushMany(ctx)
	}
}

// goesBefore reports whether the call is of a task that begins when this one has ended,
// since both are in one order.
func (r *run) goesBefore(c AnyCall) bool {
	own := r.msg.Limits
	if len(own) == 0 || !own[0].Ordered || c.def == nil || c.def.OrderBy == "" {
		return false
	}
	ls, err := r.app.ownLimits(&engine.Message{Name: c.def.Name, Args: c.Args()}, c.def)
	return err == nil && ls[0].Key == own[0].Key
}

// spawnAll spawns children that are named by their places.
func spawnAll[R any](ctx context.Context, name string, calls []Call[R]) []*Future[R] {
	all, fs := make([]Future[R], len(calls)), make([]*Future[R], len(calls))
	d, err := durableOf(ctx, "runtime.Spawn")
	if err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
	}
	names := placeNames{name: name, n: len(calls)}
	for i, c := range calls {
		f := (*future)(&all[i])
		f.name, f.task = names.of(i), c.AnyCall.Name()
		if fs[i] = &all[i]; err != nil {
			f.unspawned(ctx, err)
		} else {
			d.spawn(ctx, f, c.AnyCall)
		}
	}
	return fs
}

// placeNames makes n names, name/0 and so on, some at a time.
type placeNames struct {
	name string
	n    int
	text string
	next int // the place of the next name in text
}

// of returns the name of a place. The places are asked for in order.
func (p *placeNames) of(place int) string {
	const lot = 64
	if place%lot == 0 {
		some := min(lot, p.n-place)
		text := make([]byte, 0, some*(len(p.name)+8))
		for i := range some {
			text = append(append(text, p.name...), '/')
			text = strconv.AppendInt(text, int64(place+i), 10)
		}
		p.text, p.next = string(text), 0
	}
	at := p.next
	p.next += len(p.name) + 1
	for n := place; ; n /= 10 {
		if p.next++; n < 10 {
			return p.text[at:p.next]
		}
	}
}

// refuse notes a child that could not be spawned: the run fails unless its error
// is returned by a wait for it.
func (r *run) refuse(f *future) {
	l := r.lasts()
	l.refusing.Lock()
	defer l.refusing.Unlock()
	l.refused = append(l.refused, f)
}

// unspawned is the error of the first child that could not be spawned, and that
// the function has not heard. It is said once: middleware has the last word.
func (r *run) unspawned() error {
	x := r.extras()
	if x == nil || x.lasts() == nil {
		return nil
	}
	l := x.lasts()
	l.refusing.Lock()
	defer l.refusing.Unlock()
	i := slices.IndexFunc(l.refused, func(f *future) bool { return !f.heard })
	if i < 0 {
		return nil
	}
	err := l.refused[i].err
	l.refused = nil
	return err
}

// heard notes that the function gets the error of a child that could not be
// spawned, by a wait for these.
func (r *run) heard(fs []*future) {
	l := r.lasts()
	l.refusing.Lock()
	defer l.refusing.Unlock()
	for _, f := range fs {
		if f != nil {
			f.heard = true
		}
	}
}

// spawn is a child that is to be enqueued.
type spawn struct {
	ctx  context.Context
	name string
	call AnyCall
}

// spawnChunk is how many children are stored at once.
const spawnChunk = 1000

// flushMany enqueues the children that are pending if they are many. If it cannot,
// the next call that flushes says why. The caller holds d.mu.
func (d *durable) flushMany(ctx context.Context) {
	if len(d.pending) >= spawnChunk && !d.unflushed {
		d.unflushed = d.flush(ctx) != nil
	}
}

// flush enqueues the children that are pending. The caller holds d.mu.
func (d *durable) flush(ctx context.Context) error {
	all := d.pending
	for len(d.pending) > 0 {
		n := 1
		for n < min(len(d.pending), spawnChunk) && sameContext(d.pending[n].ctx, d.pending[0].ctx) {
			n++
		}
		calls, names := make([]AnyCall, n), make([]string, n)
		for i, s := range d.pending[:n] {
			calls[i], names[i] = s.call, s.name
		}
		p := d.r.app.Via(&spawner{d: d, names: names}).enqueuer()
		if _, err := p.enqueue(spawnContext{ctx, d.pending[0].ctx}, calls); err != nil {
			return spawnError(err)
		}
		clear(d.pending[:n])
		d.pending = d.pending[n:]
	}
	d.pending, d.unflushed = all[:0], false // the room is for those to come
	return nil
}

// flushOrphans enqueues those of the pending children that go on when their parent
// fails, as it may now. The caller holds d.mu.
func (d *durable) flushOrphans() error {
	d.pending = slices.DeleteFunc(d.pending, func(s spawn) bool { return !s.call.orphan() })
	return d.flush(&d.r.root)
}

// orphan reports whether the call has the option [Orphan].
func (c AnyCall) orphan() bool {
	s := settings{m: new(engine.Message), now: time.Now()}
	err := guard.Call(func() error {
		for _, opt := range c.more().opts {
			if opt != nil {
				opt(&s)
			}
		}
		return nil
	})
	return err == nil && s.m.Meta.Orphan
}

// spawnError makes errors permanent that no further run can mend.
func spawnError(err error) error {
	if _, held := guard.As[*engine.KeyHeldError](err); held || guard.Is(err, ErrUnsupported) || guard.Is(err, ErrPayloadTooLarge) {
		return Permanent(err)
	}
	return err
}

// spawnContext has the values of the context that Spawn was called with, which
// may have ended since.
type spawnContext struct {
	context.Context
	values context.Context
}

// Value implements context.Context.
func (c spawnContext) Value(key any) any { return c.values.Value(key) }

func sameContext(a, b context.Context) bool {
	t := reflect.TypeOf(a)
	return t == reflect.TypeOf(b) && t.Comparable() && a == b
}

// spawner is the Inserter of a run's children.
type spawner struct {
	d     *durable
	names []string
}

// childValue is the value of a child's entry: the data to read its end, and to
// show operators when the child is gone.
type childValue struct {
	Task    string `json:"task"`
	Binding string `json:"binding,omitempty"`
}

// childValues encodes the values of children, many of which are alike.
type childValues struct {
	last childValue
	json json.RawMessage
}

func (c *childValues) of(m *engine.Message) json.RawMessage {
	v := childValue{m.Name, m.Meta.Headers[bindingHeader]}
	if c.json == nil || v != c.last {
		c.json, _ = json.Marshal(v) // two strings
		c.last = v
	}
	return c.json
}

// Insert implements Inserter.
func (s *spawner) Insert(ctx context.Context, ms []*engine.Message) ([]engine.Inserted, error) {
	if len(ms) != len(s.names) {
		return nil, errors.New("Config.EnqueueMiddleware did not pass on all children")
	}
	es := make([]engine.NewEntry, len(ms))
	var values childValues
	for i, m := range ms {
		m.Meta.Version, m.Meta.Entry = engine.WireDurable, s.names[i]
		es[i] = engine.NewEntry{Name: s.names[i], Kind: engine.EntryChild, Value: values.of(m), Spawn: m}
	}
	out, err := s.d.record(ctx, es)
	if err != nil {
		return nil, err
	}
	ins := make([]engine.Inserted, len(out))
	for i, e := range out {
		ins[i] = engine.Inserted{ID: e.Child}
	}
	return ins, nil
}
