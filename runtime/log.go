package runtime

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Logger returns a logger with the task's attributes: task_id, task, attempt,
// and logger, which is the task's name or the name given. A new name replaces
// the one before. Each line goes to the app's logger, and is kept on the task's
// record if Config.KeepLogs says so. Outside a task it is slog.Default(), with
// the attribute logger if a name is given.
func (c *Context) Logger(name ...string) *slog.Logger {
	r := c.runOrNil()
	if r == nil {
		if len(name) == 0 {
			return slog.Default()
		}
		return slog.Default().With(slog.String("logger", name[0]))
	}
	logger := r.msg.Name
	if len(name) > 0 {
		logger = name[0]
	}
	h := &taskHandler{next: r.app.cfg.Logger.Handler(), run: r, logger: logger}
	return slog.New(h)
}

// logAttrs are the attributes that tell tasks apart in a log.
func (r *run) logAttrs() []slog.Attr {
	return []slog.Attr{
		slog.String("task_id", r.id().String()), slog.String("task", r.msg.Name), slog.Int("attempt", r.d.Attempt),
	}
}

// NewLogHandler returns a handler that adds the attributes of the task to every
// record logged with a task's context, keeps it on the task's record if
// Config.KeepLogs says so, and passes it on to next. Outside a task it only
// passes on.
func NewLogHandler(next slog.Handler) slog.Handler {
	if h, ok := next.(*taskHandler); ok && h.run == nil {
		return h
	}
	return &taskHandler{next: next}
}

// taskHandler adds a task's attributes: of the run it was made for, or else of
// the run that the record's context belongs to.
type taskHandler struct {
	next   slog.Handler
	run    *run   // nil: from the context
	logger string // the logger's name, empty for none
	groups []groupOrAttrs
}

// groupOrAttrs is one call of WithGroup or WithAttrs. They are applied after
// the task's attributes, which belong to no group.
type groupOrAttrs struct {
	group string
	attrs []slog.Attr
}

func (h *taskHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *taskHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	c := *h
	c.groups = append(slices.Clip(h.groups), groupOrAttrs{attrs: attrs})
	return &c
}

func (h *taskHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.groups = append(slices.Clip(h.groups), groupOrAttrs{group: name})
	return &c
}

func (h *taskHandler) Handle(ctx context.Context, rec slog.Record) error {
	r := h.run
	if r == nil {
		r = current(ctx)
	}
	if r != nil {
		rec = r.redactor().record(rec)
		r.keepLog(rec, h)
	}
	next := h.next
	if r != nil {
		if wrapped, ok := next.(*taskHandler); ok && wrapped.run == nil {
			next = wrapped.next // it would add the same again
		}
		next = next.WithAttrs(r.logAttrs())
		if h.logger != "" {
			next = next.WithAttrs([]slog.Attr{slog.String("logger", h.logger)})
		}
	}
	for _, g := range h.groups {
		if g.group != "" {
			next = next.WithGroup(g.group)
		} else {
			next = next.WithAttrs(g.attrs)
		}
	}
	return next.Handle(ctx, rec)
}

// record removes secrets from a log record.
func (d *redactor) record(rec slog.Record) slog.Record {
	if d == nil {
		return rec
	}
	clean := slog.NewRecord(rec.Time, rec.Level, d.clean(rec.Message), rec.PC)
	rec.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(d.attr(a))
		return true
	})
	return clean
}

func (d *redactor) attr(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		group := slices.Clone(v.Group())
		for i := range group {
			group[i] = d.attr(group[i])
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(group...)}
	}
	if text := v.String(); d.clean(text) != text {
		return slog.String(a.Key, d.clean(text))
	}
	return slog.Attr{Key: a.Key, Value: v}
}

// notes are what a run keeps beside its outcome.
type notes struct {
	logs     []LogLine
	progress *Progress
}

func (r *run) hasNotes() bool {
	x := r.extra.Load()
	if x == nil {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.notes != nil
}

// note returns the notes; the caller holds x.mu.
func (x *extras) note() *notes {
	if x.notes == nil {
		x.notes = new(notes)
	}
	return x.notes
}

// keepLog keeps a log line for the record and shows it to the observers.
func (r *run) keepLog(rec slog.Record, h *taskHandler) {
	if r.app.cfg.KeepLogs == 0 && len(r.app.watchers) == 0 || r.ended.Load() {
		return
	}
	line := LogLine{
		Time: rec.Time.Round(0).UTC(), Level: rec.Level, Attempt: r.d.Attempt, Logger: h.logger,
		Message: clip(rec.Message, MaxReason), Attrs: clip(attrText(h.groups, rec), MaxReason),
	}
	if keep := r.app.cfg.KeepLogs; keep > 0 {
		x := r.more()
		x.mu.Lock()
		n := x.note()
		n.logs = append(n.logs, line)
		if over := len(n.logs) - keep; over > 0 {
			n.logs = slices.Delete(n.logs, 0, over)
		}
		x.mu.Unlock()
	}
	r.app.observe(Event{Kind: EventLog, run: r, Log: line})
}

// attrText renders attributes as slog's text handler does.
func attrText(groups []groupOrAttrs, rec slog.Record) string {
	if len(groups) == 0 && rec.NumAttrs() == 0 {
		return ""
	}
	var b strings.Builder
	var h slog.Handler = slog.NewTextHandler(&b, &slog.HandlerOptions{
		Level: slog.LevelDebug - 100,
		ReplaceAttr: func(g []string, a slog.Attr) slog.Attr {
			if len(g) == 0 && (a.Key == slog.LevelKey || a.Key == slog.MessageKey && a.Value.String() == "") {
				return slog.Attr{}
			}
			return a
		},
	})
	for _, g := range groups {
		if g.group != "" {
			h = h.WithGroup(g.group)
		} else {
			h = h.WithAttrs(g.attrs)
		}
	}
	plain := slog.NewRecord(time.Time{}, rec.Level, "", 0)
	rec.Attrs(func(a slog.Attr) bool { plain.AddAttrs(a); return true })
	if h.Handle(context.Background(), plain) != nil {
		return ""
	}
	return strings.TrimSpace(b.String())
}

// mergeNotes adds what this run noted to what earlier ones did.
func (r *run) mergeNotes(m *memo) {
	x := r.extra.Load()
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.notes == nil {
		return
	}
	m.Logs = append(slices.Clip(m.Logs), x.notes.logs...)
	if over := len(m.Logs) - r.app.cfg.KeepLogs; over > 0 {
		m.Logs = m.Logs[over:]
	}
	if x.notes.progress != nil {
		m.Progress = x.notes.progress
	}
}

func (a *App) logObserver(text, key string, value any) {
	a.log(slog.LevelError, text, slog.Any(key, value))
}
