package runtime

import (
	"context"
	"log/slog"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// finish is deferred by runInline, so that it runs however the task ends: by a
// return, a panic of a hook, or Goexit.
func (w *worker) finish(r *run, o *engine.Outcome) {
	p := recover()
	defer w.release(r)
	decided := false
	defer func() { // the methods of a user's error can panic and call Goexit as well
		if decided {
			return
		}
		if p := recover(); p != nil {
			r.err = newPanicError(guard.Print(p))
		} else {
			r.err = guard.ErrGoexit
		}
		r.flags.broken = true
		w.decide(r, o)
	}()
	r.join()
	switch {
	case p != nil:
		r.err, r.flags.broken = newPanicError(p), true
	case !r.flags.handled: // Goexit
		if r.err, r.flags.broken = r.taskErr, true; r.err == nil {
			r.err = guard.ErrGoexit
		}
	}
	r.err = r.settle(r.err) // of middleware: the task's are settled
	w.decide(r, o)
	decided = true
}

// release ends the run and gives its slot back.
func (w *worker) release(r *run) {
	r.end()
	_ = r.d.Bind(nil) // nothing to stop any more
	if err := w.slots.put(r.slot, r.flags.broken); err != nil {
		w.app.log(slog.LevelError, "close worker storage", slog.String("error", r.redactor().Clean(guard.Text(err))))
	}
}

// conclude completes the outcome with the memo, logs it and shows it to
// observers.
func (w *worker) conclude(r *run, o *engine.Outcome) {
	o.Durable = r.reg.def.Durable
	if o.Reason != "" {
		if !inOwnWords(r.err) {
			o.Reason = r.redactor().Clean(o.Reason)
		}
		o.Reason = clip(o.Reason)
	}
	failed := o.Kind == engine.OutcomeFail || o.Kind == engine.OutcomeRetry
	if failed || r.flags.memoChanged || r.hasNotes() {
		_, parked := guard.As[*parkError](r.err) // a durable task returns it with its own words around it
		o.Memo = r.concludeMemo(o, failed, parked)
	}
	w.logOutcome(r, o)
	if w.history != nil {
		w.history.count(r.d, o.Kind, r.slot.began)
	}
	if w.app.watched() {
		w.app.observe(event{Event: hook.Event{Kind: hook.EventEnd}, run: r, outcome: *o})
	}
	if _, parked := r.err.(*parkError); !parked && !inOwnWords(r.err) && o.Kind != engine.OutcomeSuspend {
		w.app.sealReason(r.msg, o)
	}
}

// logOutcome logs failures and retries.
func (w *worker) logOutcome(r *run, o *engine.Outcome) {
	level, text := slog.LevelWarn, "task will be retried"
	switch o.Kind {
	case engine.OutcomeFail:
		level, text = slog.LevelError, "task failed"
	case engine.OutcomeRetry:
	case engine.OutcomeDelay:
		if o.Reason == "" {
			return
		}
		text = "task is parked"
	default:
		return
	}
	attrs := append(append(r.logAttrs(), r.shownLocals()...), slog.String("error", o.Reason))
	if o.Kind != engine.OutcomeFail {
		attrs = append(attrs, slog.String("after", o.After.String()))
	}
	w.app.log(level, text, attrs...)
}

// shownLocals returns the run's local values marked local.InLogs, without
// secrets. Their own methods give their text, and can panic and call Goexit.
func (r *run) shownLocals() (attrs []slog.Attr) {
	locals, d := localAttrs(&r.root, r), r.redactor()
	if len(locals) == 0 || d == nil {
		return locals
	}
	_ = guard.Isolated(func() error { attrs = d.Attrs(locals); return nil })
	return attrs
}

// log writes to the app's logger, which may panic or end its goroutine.
func (a *App) log(level slog.Level, text string, attrs ...slog.Attr) {
	_ = guard.Isolated(func() error {
		a.cfg.Logger.LogAttrs(context.Background(), level, text, attrs...)
		return nil
	})
}

// refused logs that a run's outcome came too late; the engine calls it.
func (w *worker) refused(d *engine.Delivery, o engine.Outcome) {
	w.app.log(slog.LevelWarn, "outcome of a task came too late and was refused: it no longer belongs to this worker",
		slog.String("task", d.Message.Name), slog.String("task_id", d.Message.Meta.ID.String()),
		slog.Int("attempt", d.Attempt))
}
