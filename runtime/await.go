package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/wire"
)

// Await returns the child's result, or suspends the task until the child has
// ended. If the child did not succeed, the error wraps a [*TaskError], and is
// [Permanent], since another run would read the same.
func (f *Future[R]) Await(ctx context.Context) (R, error) {
	rs, err := awaitAll[R](ctx, "Future.Await", []*Future[R]{f})
	if err != nil {
		var none R
		return none, err
	}
	return rs[0], nil
}

// AwaitAll returns the results of the children in their order, or suspends the
// task until all have ended or one has not succeeded. Then the error is that
// of [Future.Await] for the first of those in time; the others go on.
func AwaitAll[R any](ctx context.Context, fs ...*Future[R]) ([]R, error) {
	return awaitAll[R](ctx, "runtime.AwaitAll", fs)
}

// All spawns the calls as children, named name/0 and so on, and awaits all.
func All[R any](ctx context.Context, name string, calls ...Call[R]) ([]R, error) {
	return awaitAll[R](ctx, "runtime.All", spawnAll(ctx, name, calls))
}

func awaitAll[R any](ctx context.Context, what string, fs []*Future[R]) ([]R, error) {
	entries, err := awaitEntries(ctx, what, futures(fs), awaitSuccess)
	if err != nil {
		return nil, err
	}
	rs := make([]R, len(fs))
	for i, f := range fs {
		if rs[i], err = endOf[R]((*future)(f), entries[i]); err != nil {
			return nil, err
		}
	}
	return rs, nil
}

// AwaitAny returns the index and the result of the child that ended first, or
// suspends the task until one has. Every run gets the same child. If it did
// not succeed, the error is that of [Future.Await]. The others go on, and can
// be awaited.
func AwaitAny[R any](ctx context.Context, fs ...*Future[R]) (int, R, error) {
	var none R
	if len(fs) == 0 {
		return -1, none, Permanent(errors.New("runtime.AwaitAny of no children"))
	}
	entries, err := awaitEntries(ctx, "runtime.AwaitAny", futures(fs), awaitFirst)
	if err != nil {
		return -1, none, err
	}
	first := -1
	for i, e := range entries {
		if e != nil && (first < 0 || e.Came < entries[first].Came) {
			first = i
		}
	}
	r, err := endOf[R]((*future)(fs[first]), entries[first])
	return first, r, err
}

// End is the end of a child.
type End[R any] struct {
	Result R
	Err    error // that of Future.Await, nil if the child succeeded
}

// AwaitEnds returns the ends of the children, in their order, or suspends the
// task until all have ended.
func AwaitEnds[R any](ctx context.Context, fs ...*Future[R]) ([]End[R], error) {
	entries, err := awaitEntries(ctx, "runtime.AwaitEnds", futures(fs), awaitEnd)
	if err != nil {
		return nil, err
	}
	ends := make([]End[R], len(fs))
	for i, f := range fs {
		ends[i].Result, ends[i].Err = endOf[R]((*future)(f), entries[i])
		if _, parked := guard.As[*parkError](ends[i].Err); parked {
			return nil, ends[i].Err
		}
	}
	return ends, nil
}

func futures[R any](fs []*Future[R]) []*future {
	out := make([]*future, len(fs))
	for i, f := range fs {
		out[i] = (*future)(f)
	}
	return out
}

// awaitMode says when a wait for children is over.
type awaitMode uint8

const (
	awaitEnd     awaitMode = iota // all have ended
	awaitSuccess                  // all have, or one has not succeeded
	awaitFirst                    // one has
)

// refusedOf returns the error of the first child that was refused, nil if none was.
func refusedOf(ctx context.Context, fs []*future) error {
	for _, f := range fs {
		if f != nil && f.err != nil {
			if r := current(ctx); r != nil {
				r.heard(fs)
			}
			return f.err
		}
	}
	return nil
}

// awaitEntries returns the entries of the children, nil for each that has not
// ended, or suspends the task.
func awaitEntries(ctx context.Context, what string, fs []*future, mode awaitMode) ([]*engine.JournalEntry, error) {
	if err := refusedOf(ctx, fs); err != nil {
		return nil, err
	}
	d, err := durableOf(ctx, what)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	a, err := d.look(what, fs)
	if err != nil {
		return nil, err
	}
	w := engine.Wait{Need: int64(a.open)}
	switch mode {
	case awaitSuccess:
		if a.failed != nil {
			return nil, a.failed.failure(a.failure)
		}
		w.FailFast = true
	case awaitFirst:
		if a.open < a.n {
			return a.entries, nil
		}
		w.Need = 1
	}
	if a.open == 0 {
		return a.entries, nil
	}
	if f := neverEnds(fs, a.entries, mode); f != nil {
		return nil, Permanent(fmt.Errorf("%s of child %s, which would wait for this task to end: orderby=%s lets one go at a time",
			what, f.name, d.r.reg.def.OrderBy))
	}
	if a.n == 1 {
		w = engine.Wait{Need: 1, Name: fs[0].name}
	}
	return nil, d.suspend(ctx, w, time.Time{}, childrenText(a.shown, a.open, a.n))
}

// awaitedChildren is what the journal knows of children that are awaited.
type awaitedChildren struct {
	entries []*engine.JournalEntry // nil for each that has not ended
	n       int                    // how many they are: one may be given twice
	open    int                    // how many of them have not ended
	shown   []string               // the names of some of those
	failed  *future                // the first in time that has not succeeded, nil if all have,
	failure *engine.JournalEntry   // and its entry
}

// look looks the children up. The caller holds d.mu.
func (d *durable) look(what string, fs []*future) (a awaitedChildren, err error) {
	a.entries, a.shown = make([]*engine.JournalEntry, len(fs)), make([]string, 0, shownNames)
	d.asked++
	for i, f := range fs {
		switch {
		case f == nil:
			return a, Permanent(fmt.Errorf("%s of a nil future", what))
		case f.d != d:
			return a, Permanent(fmt.Errorf("%s: the future %s is of another run", what, f.name))
		}
		again := f.n.wait == d.asked
		if f.n.wait = d.asked; !again {
			a.n++
		}
		e := f.n.e
		if e == nil || e.Came == 0 {
			if again {
				continue
			}
			if a.open++; len(a.shown) < shownNames {
				a.shown = append(a.shown, f.name)
			}
			continue
		}
		a.entries[i] = e
		if e.Failed() && (a.failure == nil || e.Came < a.failure.Came) {
			a.failed, a.failure = f, e
		}
	}
	return a, nil
}

// neverEnds returns a child that begins when its parent has ended, and without which the
// wait is not over, nil if there is none.
func neverEnds(fs []*future, entries []*engine.JournalEntry, mode awaitMode) (never *future) {
	for i, f := range fs {
		switch {
		case entries[i] != nil:
		case !f.after && mode == awaitFirst:
			return nil
		case f.after:
			never = f
		}
	}
	return never
}

// endOf reads the end of a child.
func endOf[R any](f *future, e *engine.JournalEntry) (R, error) {
	var r R
	if e.Failed() {
		return r, f.failure(e)
	}
	if len(e.Result) == 0 {
		return r, nil
	}
	raw, err := e.Result, error(nil)
	if isSealed(raw) {
		raw, err = f.d.r.app.openResult(childMessage(e), raw)
	}
	if err == nil {
		r, err = wire.DecodeAs[R](raw)
	}
	if err != nil {
		err = inEntry("child", f.name, park("read the result of %s: %s", f.task, guard.Text(err)))
	}
	return r, err
}

// failure returns the error of a child that did not succeed.
func (f *future) failure(e *engine.JournalEntry) error {
	m := childMessage(e)
	if m.Name == "" {
		m.Name = f.task
	}
	reason := f.d.r.app.openText(m, hook.PartReason, e.Reason)
	return Permanent(fmt.Errorf("child %s: %w", f.name, &TaskError{ID: e.Child, Name: m.Name, State: e.State, Reason: reason}))
}
