package runtime

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// notes are a run's log lines and progress, to be kept with the task.
type notes struct {
	logs     []inspect.LogLine
	progress *inspect.Progress
	timer    *time.Timer // saves later; nil when nothing waits for it
}

func (r *run) hasNotes() bool {
	x := r.extras()
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
func (r *run) keepLog(rec slog.Record, logger string, locals []slog.Attr, steps []logStep) {
	if r.app.cfg.KeepLogs == 0 && len(r.app.watchers) == 0 || r.life.Ended.Load() {
		return
	}
	r = r.whole()
	if len(locals) > 0 {
		steps = append([]logStep{{attrs: locals}}, steps...)
	}
	line := inspect.LogLine{
		Time: rec.Time.Round(0).UTC(), Level: rec.Level, Attempt: r.d.Attempt, Logger: logger,
		Message: clip(rec.Message), Attrs: clip(attrText(steps, rec)),
	}
	r.keep(line)
	r.app.observe(event{Event: hook.Event{Kind: hook.EventLog, Log: line}, run: r})
}

// keep adds a line to the notes, and ensures that it is saved.
func (r *run) keep(line inspect.LogLine) {
	limit := r.app.cfg.KeepLogs
	if limit == 0 {
		return
	}
	x := r.more()
	x.mu.Lock()
	defer x.mu.Unlock()
	n := x.note()
	n.logs = append(n.logs, line)
	if len(n.logs) >= 2*limit { // not for every line
		n.logs = append(n.logs[:0], n.logs[len(n.logs)-limit:]...)
	}
	r.saveLater(x, saveEvery)
}

// markRetry notes in the kept log that a retry begins.
func (r *run) markRetry() {
	if r.d.Attempt == 0 || r.app.cfg.KeepLogs == 0 {
		return
	}
	text := fmt.Sprintf("retry %d of %d", r.d.Attempt, r.retries())
	if r.reg.def.Durable { // a durable task has such marks for each step
		text = fmt.Sprintf("retry %d", r.d.Attempt)
	}
	r.keep(inspect.LogLine{Time: time.Now().UTC(), Attempt: r.d.Attempt, Retry: true, Message: text})
}

// Bounds of saving. A run writes its notes beside its handler, which never
// waits for the store: one save at a time, at most one each saveEvery, each
// for saveTimeout at most. The run owns the saves. When it ends it waits for
// the last one, and ends that after saveGrace.
const (
	saveTimeout = 5 * time.Second
	saveGrace   = 250 * time.Millisecond
)

// saveLater saves the notes after d, unless a save is due before; the caller
// holds x.mu.
func (r *run) saveLater(x *extras, d time.Duration) {
	n := x.note()
	switch {
	case x.ending:
	case n.timer == nil:
		n.timer = time.AfterFunc(d, func() { r.saveNow(x) })
	case d == 0:
		n.timer.Reset(0)
	}
}

// saveNow saves the notes, later if a save is under way. The outcome carries
// them in any case, so an error loses nothing.
func (r *run) saveNow(x *extras) {
	locked := x.saving.TryLock()
	ctx, done := context.WithTimeout(context.WithoutCancel(r.life.Parent), saveTimeout)
	defer done()
	x.mu.Lock()
	if t := x.note().timer; t != nil {
		t.Stop()
		x.notes.timer = nil
	}
	if !locked { // an engine may log while it saves
		r.saveLater(x, saveEvery)
		x.mu.Unlock()
		return
	}
	defer x.saving.Unlock()
	ending := x.ending
	x.saved, x.endSave = time.Now(), done
	x.mu.Unlock()
	if ending || x.concluded {
		return
	}
	x.reading.Lock()
	memo := r.encodeMemo(x)
	x.reading.Unlock()
	_ = guard.Isolated(func() error { return r.d.Memo.SaveMemo(ctx, memo) })
	x.mu.Lock()
	x.endSave = nil
	x.mu.Unlock()
}

// lockSaving takes x.saving for good: no save begins any more, and a current
// one is ended after saveGrace.
func (x *extras) lockSaving() {
	x.mu.Lock()
	x.ending = true
	x.mu.Unlock()
	if x.saving.TryLock() {
		return
	}
	t := time.AfterFunc(saveGrace, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.endSave != nil {
			x.endSave()
		}
	})
	defer t.Stop()
	x.saving.Lock()
}

// stopSaving waits for the current save; none begins after it.
func (x *extras) stopSaving() {
	x.lockSaving()
	x.concluded = true
	x.saving.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.notes != nil && x.notes.timer != nil {
		x.notes.timer.Stop()
		x.notes.timer = nil
	}
}

// mergeNotes adds this run's notes to those of earlier ones.
func (r *run) mergeNotes(m *memo) {
	x := r.extras()
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.notes == nil && !x.byHand {
		return
	}
	var logs []inspect.LogLine
	if n := x.notes; n != nil {
		logs = n.logs
		if n.progress != nil {
			m.Progress = n.progress
		}
	}
	m.Logs = append(slices.Clip(m.Logs), r.marked(logs, m.Logs, x.byHand)...)
	if over := len(m.Logs) - r.app.cfg.KeepLogs; over > 0 {
		m.Logs = m.Logs[over:]
	}
}

// marked returns the lines of this run, with a mark of the retry if they
// follow earlier ones. It adds no mark if the retry has begun before, and was
// snoozed or given back.
func (r *run) marked(logs, earlier []inspect.LogLine, byHand bool) []inspect.LogLine {
	hasMark := len(logs) > 0 && logs[0].Retry
	if !byHand {
		if hasMark && slices.ContainsFunc(earlier, func(l inspect.LogLine) bool { return l.Retry && l.Attempt == r.d.Attempt }) {
			return logs[1:]
		}
		return logs
	}
	mark := inspect.LogLine{Time: time.Now().UTC(), Attempt: r.d.Attempt, Retry: true, Message: "retry by hand"}
	if len(logs) > 0 {
		mark.Time = logs[0].Time
	}
	if hasMark {
		logs = logs[1:]
	}
	return append([]inspect.LogLine{mark}, logs...)
}

// addNotes completes the record with the unsaved notes of the run itself.
func (r *run) addNotes(rec *Record) {
	if !r.hasNotes() {
		return
	}
	x := r.more()
	x.reading.Lock()
	m := *r.loadMemo(x)
	r.mergeNotes(&m)
	x.reading.Unlock()
	rec.Logs, rec.Progress = m.Logs, m.Progress
}

// attrText renders attributes as slog's text handler does.
func attrText(steps []logStep, rec slog.Record) string {
	if len(steps) == 0 && rec.NumAttrs() == 0 {
		return ""
	}
	var b strings.Builder
	var h slog.Handler = slog.NewTextHandler(&b, &slog.HandlerOptions{
		Level: slog.LevelDebug - 100,
		ReplaceAttr: func(g []string, a slog.Attr) slog.Attr {
			_, level := a.Value.Any().(slog.Level)
			if len(g) == 0 && (level && a.Key == slog.LevelKey || a.Key == slog.MessageKey && a.Value.String() == "") {
				return slog.Attr{} // the handler's own
			}
			return a
		},
	})
	for _, s := range steps {
		h = s.apply(h)
	}
	plain := slog.NewRecord(time.Time{}, rec.Level, "", 0)
	rec.Attrs(func(a slog.Attr) bool { plain.AddAttrs(a); return true })
	if h.Handle(context.Background(), plain) != nil {
		return ""
	}
	return strings.TrimSpace(b.String())
}

func (a *App) logObserver(text, key string, value any) {
	a.log(slog.LevelError, text, slog.Any(key, value))
}
