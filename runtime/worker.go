package runtime

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/wire"
)

// worker is one start of an App: the slots, and the registered tasks, frozen.
type worker struct {
	app     *App
	id      string
	slots   *slots
	tasks   map[string]*registration // by name and alias
	handler Handler                  // the middleware around the task

	periodic []periodic // the calls of Every
}

// run runs a delivery on a goroutine of its own, which a handler may end.
func (w *worker) run(ctx context.Context, d *engine.Delivery) (o engine.Outcome) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.runInline(ctx, d, &o)
	}()
	<-done
	return o
}

// runInline runs a delivery: it takes a slot, decodes the arguments, calls the
// handler, and decides on the outcome. This is the path of every task.
func (w *worker) runInline(ctx context.Context, d *engine.Delivery, o *engine.Outcome) {
	reg, ok := w.tasks[d.Message.Name]
	if !ok { // engines hand out only known names
		*o = engine.Outcome{Kind: engine.OutcomeDelay, After: parkDelay, Reason: unknownTask(d.Message.Name)}
		return
	}
	slot := w.slots.take(ctx)
	if slot == nil {
		*o = engine.Outcome{Kind: engine.OutcomeRelease}
		return
	}
	r := reg.newRun()
	r.root.run, r.app, r.msg, r.d, r.slot, r.life.Parent, r.worker = r, w.app, d.Message, d, slot, ctx, w
	defer w.finish(r, o)
	slot.run.Store(r)
	if cause := cmp.Or(d.Bind(&r.life), w.slots.stopCause()); cause != nil {
		r.life.Cancel(cause) // stopped before it began: it does not begin
		r.err = cause
	} else if err := r.admit(); err != nil {
		r.err = err
	} else {
		if w.app.watched() {
			w.app.observe(Event{Kind: EventStart, run: r})
		}
		r.err = w.handler(&r.root) // middleware has the last word
	}
	r.flags.handled = true
}

// admit checks, before anything of the user's runs, that this worker can run
// the task, and decodes its arguments.
func (r *run) admit() error {
	m := &r.msg.Meta
	if m.Version > engine.WireVersion {
		return park("message has format %d, this worker reads up to %d", m.Version, engine.WireVersion)
	}
	if err := r.reg.def.accepts(m.Signature); err != nil {
		return err
	}
	if r.reg.def.Timeout > 0 || m.Timeout > 0 || !m.Deadline.IsZero() {
		now := time.Now()
		if !m.Deadline.IsZero() && !now.Before(m.Deadline) {
			return Permanent(ErrDeadline)
		}
		r.setLimit(now)
	}
	if r.d.Attempt > r.retries() && r.failures() > r.retries() {
		if err := r.checkCrashed(); err != nil {
			return err
		}
	}
	if n := len(r.msg.Args); n > r.app.cfg.MaxPayload { // another worker may allow more
		return &parkError{fmt.Sprintf("arguments are %d bytes, the limit here is %d (Config.MaxPayload)",
			n, r.app.cfg.MaxPayload), true}
	}
	args, err := r.app.decodeArgs(r.msg)
	if err != nil {
		return park("decode arguments: %s", guard.Text(err))
	}
	if r.msg.Meta.Signature != "" {
		err = wire.Unmarshal(args, r.listArgs, r.reg.def.Params)
	} else {
		err = wire.UnmarshalForeign(args, r.listArgs, r.reg.def.Params)
	}
	if err != nil {
		if _, refused := err.(*wire.InvalidError); refused {
			return Permanent(r.reg.def.hideSecrets(err))
		}
		return park("decode arguments: %s", guard.Text(err))
	}
	r.extract()
	r.markRetry()
	return nil
}

// hideSecrets keeps the text of Validate about a redacted parameter out of the
// error's text.
func (r *run) listArgs(f *wire.Fields) { r.reg.list(r.args, f) }

// hideSecrets keeps the text of Validate about a redacted parameter out of the
// error's text.
func (d *Definition) hideSecrets(err error) error {
	if e, ok := err.(*wire.InvalidError); ok && slices.Contains(d.derive().redact, e.Param) {
		e.HideText()
	}
	return err
}

// names returns the names that the worker can run, sorted.
func (w *worker) names() []string { return slices.Sorted(maps.Keys(w.tasks)) }

// call is the innermost Handler: the task itself, with the context from the
// middleware.
func call(ctx *Context) error {
	r := ctx.runOrNil()
	if r == nil {
		return ErrNoTask
	}
	return r.execute(ctx)
}

// execute builds the task's context, calls the function, encodes its result,
// and runs the cleanups of task scope, with the task's error. Middleware may
// call it on a goroutine of its own, and return before it does.
func (r *run) execute(ctx *Context) (err error) {
	if !r.task.CompareAndSwap(taskIdle, taskRunning) {
		return errCalledTwice
	}
	err = guard.ErrGoexit
	defer r.leave()
	defer func() {
		if p := recover(); p != nil {
			err = newPanicError(p)
			r.flags.broken = true
		} else if err == guard.ErrGoexit {
			r.flags.broken = true
		}
		err = r.settle(err)
	}()
	if ctx.ctx != nil {
		r.more().bound = ctx
	}
	return r.reg.call(r, ctx)
}

// settle ends the goroutines of the task and closes its values, and returns
// its error with theirs.
func (r *run) settle(err error) error {
	err = r.waitChildren(err)
	if d := r.remembered(); d != nil {
		err = d.leave(err)
	}
	if r.taskErr = err; err == nil {
		r.taskErr = guard.ErrGoexit // unless the cleanups return
	}
	if cerr := r.closeScoped(err); cerr != nil {
		if err == nil {
			err = cerr
		} else {
			err = fmt.Errorf("%w; then %w", err, cerr)
		}
	}
	r.taskErr = err
	return err
}
