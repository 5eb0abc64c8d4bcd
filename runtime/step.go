package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/internal/life"
	"github.com/taskctx/taskctx/runtime/wire"
)

// Step runs fn once over all runs of the durable task, and remembers its
// result under a name: later runs get that, without a call of fn. A step that
// returned an error is not remembered, and runs again when the task is
// retried. Retries are counted from the last entry that a run has recorded, so
// that each step has all of the task's.
//
// fn gets a context of its own: context.Context, [*Context], or any context
// type that is registered. Its values of task scope are the step's. Their
// cleanups run before the result is remembered, so that a transaction has
// committed by then; if the worker dies in between, the step runs once more.
// With [Commit], on the engine's database, the result is remembered in the
// transaction itself. Use the context that fn gets, not that of the task around it, whose
// transaction is rolled back when the task is suspended. A step has no steps,
// children or waits in it.
//
// T must survive JSON, as the result of a task: of a type with unexported fields,
// `json:"-"`, an error or another interface the step fails the task, without a
// call of fn. In an any each run gets what encoding/json makes of it. When the
// type has changed the task is parked, as by a change of its arguments; give the
// step another name. Names must be unique within a run: put the index of a loop
// into them.
func Step[C context.Context, T any](ctx context.Context, name string, fn func(ctx C) (T, error)) (T, error) {
	var none T
	d, err := durableOf(ctx, "runtime.Step")
	if err != nil {
		return none, inEntry("step", name, err)
	}
	if err := checkType[T](); err != nil {
		return none, inEntry("step", name, err)
	}
	e, err := d.takeStep(ctx, name)
	if err != nil {
		return none, inEntry("step", name, err)
	}
	if e != nil {
		return recall[T](d.r, e)
	}
	var v T
	value, e, err := d.r.step(ctx, name, func(c *Context) (json.RawMessage, error) {
		own, err := buildStepContext[C](c)
		if err != nil {
			return nil, err
		}
		if v, err = fn(own); err != nil {
			return nil, err
		}
		raw, err := wire.EncodeResult(&v)
		if err == nil {
			raw, err = note[T](name, raw)
		}
		if err != nil {
			return nil, Permanent(fmt.Errorf("encode the result: %w", err))
		}
		return raw, nil
	})
	if err != nil {
		return none, err
	}
	if e == nil {
		e, err = d.recordStep(ctx, name, value)
	}
	if err != nil {
		return none, inEntry("step", name, err)
	}
	// A run before this one was first, the store has formatted it anew, or later runs
	// will read something else than the function has returned.
	if !bytes.Equal(e.Value, value) || wire.LossesOf(reflect.TypeFor[T]()).Altered {
		return recall[T](d.r, e)
	}
	return v, nil
}

// buildStepContext builds the context of a step. Nothing but the step itself says
// that the type is needed, so that App.Start cannot find it missing.
func buildStepContext[C context.Context](ctx *Context) (C, error) {
	t := reflect.TypeFor[C]()
	build, err := ctx.run.app.constructor(t)
	if err != nil {
		var none C
		return none, Permanent(fmt.Errorf("%w, and write //task:context above %s", err, t))
	}
	return build.(func(*Context) (C, error))(ctx)
}

// takeStep returns the entry of a step. Before one that is to run it enqueues the
// children that are pending.
func (d *durable) takeStep(ctx context.Context, name string) (*engine.JournalEntry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.take(name, engine.EntryStep)
	if err != nil || n.e != nil {
		return n.entry(), err
	}
	return nil, d.flush(ctx)
}

// recordStep records the result of a step, even if ctx has ended: its effects
// are done.
func (d *durable) recordStep(ctx context.Context, name string, value json.RawMessage) (*engine.JournalEntry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	bounded := life.Outlive(ctx, journalTimeout)
	defer bounded.End()
	out, err := d.write(bounded, []engine.NewEntry{{Name: name, Kind: engine.EntryStep, Value: value}}, d.j.Record)
	if err != nil {
		return nil, err
	}
	d.addAll(out)
	return &out[0], d.names[name].check(name, engine.EntryStep)
}

// recall reads the result of a step from an earlier run.
func recall[T any](r *run, e *engine.JournalEntry) (T, error) {
	plain, err := r.app.openNote(r.msg, hook.PartStep, e.Value)
	var v T
	if err == nil {
		v, err = readNote[T](e.Name, plain)
	}
	if err != nil {
		var none T
		return none, inEntry("step", e.Name, park("step %s: %s", e.Name, guard.Text(err)))
	}
	return v, nil
}

// stepRun is the run of a step, with what each needs, in one allocation.
type stepRun struct {
	run     run
	extras  extras
	lasting lasting
}

// newStep makes the run of a step of r.
func (r *run) newStep(ctx context.Context, name string) *run {
	s := &stepRun{
		run:     run{app: r.app, reg: r.reg, msg: r.msg, d: r.d, slot: r.slot, worker: r.worker},
		lasting: lasting{outer: r, step: name},
	}
	s.run.root.run, s.run.life.Parent = &s.run, ctx
	s.run.extra, s.extras.lasting = unsafe.Pointer(&s.extras), unsafe.Pointer(&s.lasting)
	return &s.run
}

// step runs fn with a context and a task scope of its own, and returns what is to
// be recorded once that scope has ended, or the entry if the step's transaction has
// recorded it.
func (r *run) step(
	ctx context.Context, name string, fn func(*Context) (json.RawMessage, error),
) (value json.RawMessage, e *engine.JournalEntry, err error) {
	s := r.newStep(ctx, name)
	returned := false
	defer func() {
		if returned {
			return
		}
		p := recover()
		err := ErrGoexit
		if p != nil {
			err = newPanicError(p)
		}
		s.flags.broken = true
		_ = s.settle(err)
		s.endStep()
		if p != nil {
			panic(p) // the task's
		}
	}()
	value, err = r.app.aroundStep(&s.root, name, fn)
	if err == nil {
		if value, err = r.app.sealNote(r.msg, hook.PartStep, value); err != nil {
			err = Permanent(err)
		}
	}
	s.result = value
	returned = true
	err = s.settle(err)
	s.endStep()
	if e = s.lasts().entry; e != nil && err != nil {
		r.logAfterEnd(err)
		err = nil
	}
	if err != nil {
		return nil, nil, inEntry("step", name, err)
	}
	return value, e, nil
}

// endStep closes the run of a step.
func (r *run) endStep() {
	if r.flags.broken {
		c := &r.outer().more().children
		c.mu.Lock()
		c.broken = true
		c.mu.Unlock()
	}
	r.end()
}

// outer is the run of the task, of a run that is a step's; else nil.
func (r *run) outer() *run {
	if x := r.extras(); x != nil {
		if l := x.lasts(); l != nil {
			return l.outer
		}
	}
	return nil
}

// whole is the run of the task, also of a step.
func (r *run) whole() *run {
	if o := r.outer(); o != nil {
		return o
	}
	return r
}
