package runtime

import (
	"context"
	"log/slog"
	"slices"

	"github.com/taskctx/taskctx/runtime/internal/locals"
	"github.com/taskctx/taskctx/runtime/internal/redact"
)

// Logger returns a logger with the task's attributes: task_id, task, attempt,
// and logger, which is the task's name or the name given. A new name replaces
// the previous one. Each line goes to the app's logger, with the local values
// marked local.InLogs. With Config.KeepLogs it is also kept on the task's
// record. Outside a task it is slog.Default(), with the attribute logger if a
// name is given.
func (c *Context) Logger(name ...string) *slog.Logger {
	r := c.runOrNil()
	if r == nil {
		if len(name) == 0 || name[0] == "" {
			return slog.Default()
		}
		return slog.Default().With(slog.String("logger", name[0]))
	}
	logger := r.msg.Name
	if len(name) > 0 && name[0] != "" {
		logger = r.redactor().Clean(name[0])
	}
	next := r.app.cfg.Logger.Handler().WithAttrs(append(r.logAttrs(), slog.String("logger", logger)))
	return slog.New(&taskHandler{next: next, flat: next, run: r, logger: logger})
}

// logAttrs returns the attributes that identify the task in a log.
func (r *run) logAttrs() []slog.Attr {
	return []slog.Attr{
		slog.String("task_id", r.id().String()), slog.String("task", r.msg.Name), slog.Int("attempt", r.d.Attempt),
	}
}

// mute logs nothing, as slog.DiscardHandler does, but passes lines on to
// observers and records.
type mute struct{}

func (mute) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (mute) Handle(context.Context, slog.Record) error    { return nil }
func (m mute) WithAttrs([]slog.Attr) slog.Handler         { return m }
func (m mute) WithGroup(string) slog.Handler              { return m }

// NewLogHandler returns a handler for records that are logged with a task's
// context. It adds the attributes of the task and the local values marked
// local.InLogs, keeps the record with the task if Config.KeepLogs says so,
// and passes it on to next. Outside a task and a scope of local values it only
// passes records on.
func NewLogHandler(next slog.Handler) slog.Handler {
	return &taskHandler{next: next, flat: next}
}

// taskHandler adds a task's attributes: those of the run it was made for, or
// else of the run of the record's context.
type taskHandler struct {
	next   slog.Handler // with the attributes of run, if there is one
	flat   slog.Handler // next with all steps
	run    *run         // nil: from the context
	logger string       // the logger's name, empty for none
	steps  []logStep
}

// logStep is one call of WithGroup or WithAttrs. Steps come after the task's
// attributes, which belong to no group.
type logStep struct {
	group string
	attrs []slog.Attr
}

func (s logStep) apply(h slog.Handler) slog.Handler {
	if s.group != "" {
		return h.WithGroup(s.group)
	}
	return h.WithAttrs(s.attrs)
}

func (h *taskHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.flat.Enabled(ctx, level)
}

func (h *taskHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	return h.with(logStep{attrs: attrs})
}

func (h *taskHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.with(logStep{group: name})
}

func (h *taskHandler) with(s logStep) *taskHandler {
	c := *h
	if h.run != nil {
		s = cleanStep(h.run.redactor(), s)
	}
	c.steps = append(slices.Clip(h.steps), s)
	c.flat = s.apply(h.flat)
	return &c
}

// handledKey marks the context of a record that one handler has completed, so
// that another one behind it only passes it on.
type handledKey struct{}

func (h *taskHandler) Handle(ctx context.Context, rec slog.Record) error {
	if ctx == nil {
		ctx = context.Background()
	}
	if ctx.Value(handledKey{}) != nil {
		return h.flat.Handle(ctx, rec)
	}
	r := h.run
	if r == nil {
		r = current(ctx)
	}
	locals := localAttrs(ctx, r)
	if r == nil && len(locals) == 0 {
		return h.flat.Handle(ctx, rec)
	}
	next, steps := h.flat, h.steps
	if r != nil {
		d := r.redactor()
		rec, locals = d.Record(rec), d.Attrs(locals)
		if h.run == nil {
			steps = cleanSteps(d, steps)
		}
	}
	if h.run == nil || len(locals) > 0 {
		next = h.chain(r, locals, steps)
	}
	if r != nil {
		r.keepLog(rec, h.logger, locals, steps)
	}
	return next.Handle(context.WithValue(ctx, handledKey{}, true), rec)
}

// chain applies everything before the record's own attributes, anew.
func (h *taskHandler) chain(r *run, locals []slog.Attr, steps []logStep) slog.Handler {
	next := h.next
	if h.run == nil && r != nil {
		next = next.WithAttrs(r.logAttrs())
	}
	if len(locals) > 0 {
		next = next.WithAttrs(locals)
	}
	for _, s := range steps {
		next = s.apply(next)
	}
	return next
}

// localAttrs returns the local values to show: of the scope of ctx, or else of
// the logger's run.
func localAttrs(ctx context.Context, r *run) []slog.Attr {
	t, err := locals.ScopeOf(ctx, false)
	if r != nil && (err != nil || !t.Of(r)) {
		if r.life.Ended.Load() {
			return nil
		}
		t = r.Locals(false)
	}
	if t == nil {
		return nil
	}
	return t.LogAttrs()
}

func cleanStep(d *redact.Redactor, s logStep) logStep {
	if d == nil {
		return s
	}
	return logStep{group: d.Clean(s.group), attrs: d.Attrs(s.attrs)}
}

func cleanSteps(d *redact.Redactor, steps []logStep) []logStep {
	if d == nil {
		return steps
	}
	clean := make([]logStep, len(steps))
	for i, s := range steps {
		clean[i] = cleanStep(d, s)
	}
	return clean
}
