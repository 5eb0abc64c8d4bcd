package runtime

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/internal/redact"
)

// memo is the App's data kept with a task from run to run.
type memo struct {
	// Concluded is one more than the attempt that last failed or was cancelled.
	Concluded int `json:"concluded,omitempty"`
	// ByHand: since then a retry by hand has begun. It has the same attempt.
	ByHand   bool      `json:"by_hand,omitempty"`
	ParkedAt time.Time `json:"parked_at,omitzero"`
	// ParkedSeen is the size of a durable task's journal at ParkedAt.
	ParkedSeen int64 `json:"parked_seen,omitempty"`
	// Suspended is of the last run that was suspended, if the app has somebody to
	// tell of it.
	Suspended *suspension `json:"suspended,omitempty"`
	kept
	// Sealed are the fields of kept that the codec has encoded.
	Sealed json.RawMessage `json:"sealed,omitempty"`
}

// kept is the part of a memo that a record shows.
type kept struct {
	Errors []inspect.AttemptError `json:"errors,omitempty"`
	Logs   []inspect.LogLine      `json:"logs,omitempty"`
	// Packed are the log lines, compressed when there are many; Dropped is how
	// many are missing even so.
	Packed   []byte            `json:"logs_packed,omitempty"`
	Dropped  int               `json:"logs_dropped,omitempty"`
	Progress *inspect.Progress `json:"progress,omitempty"`
}

// keptErrors is how many errors a memo holds, the last ones.
const keptErrors = 10

// loadMemo reads the memo once in a run; the caller holds x.reading. An
// unreadable memo counts as empty.
func (r *run) loadMemo(x *extras) *memo {
	if x.memo != nil {
		return x.memo
	}
	x.memo = new(memo)
	ctx, done := context.WithTimeout(context.WithoutCancel(r.life.Parent), saveTimeout)
	raw, err := r.d.Memo.LoadMemo(ctx)
	done()
	if err == nil && len(raw) > 0 {
		var m *memo
		if m, err = r.app.readMemo(r.msg, raw); m != nil {
			x.memo = m
		}
	}
	if err != nil {
		r.app.logMemo(r, "read what is kept with the task", err)
	}
	if m := x.memo; m.Concluded == r.d.Attempt+1 && !m.ByHand {
		m.ByHand, x.byHand = true, r.app.cfg.KeepLogs > 0
	}
	return x.memo
}

func (a *App) logMemo(r *run, text string, err error) {
	a.log(slog.LevelError, text, append(r.logAttrs(), slog.String("error", r.redactor().Clean(guard.Text(err))))...)
}

// concludeMemo returns the memo at the end of the run.
func (r *run) concludeMemo(o *engine.Outcome, failed, parked bool) json.RawMessage {
	x := r.more()
	x.lockSaving()
	defer x.saving.Unlock()
	x.concluded = true
	x.reading.Lock()
	defer x.reading.Unlock()
	m := r.loadMemo(x)
	if failed || o.Kind == engine.OutcomeCancel {
		m.Concluded, m.ByHand = r.d.Attempt+1, false
	}
	if failed {
		m.addError(r, o.Reason)
	}
	if !parked {
		m.ParkedAt = time.Time{}
	}
	return r.encodeMemo(x)
}

func (m *memo) addError(r *run, reason string) {
	e := inspect.AttemptError{Attempt: r.d.Attempt, At: time.Now().UTC(), Error: clip(reason)}
	if p, ok := guard.As[*PanicError](r.err); ok {
		e.Stack = clip(r.redactor().Clean(string(p.Stack)))
	}
	m.Errors = append(m.Errors, e)
	if n := len(m.Errors) - keptErrors; n > 0 {
		m.Errors = m.Errors[n:]
	}
}

// clip makes s storable everywhere: valid UTF-8 without NUL bytes, at most
// MaxReason bytes.
func clip(s string) string {
	const more = "…"
	cut := len(s) > engine.MaxReason
	if cut { // the rest need not be looked at
		s = redact.Cut(s, engine.MaxReason)
	}
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
	if !cut && len(s) <= engine.MaxReason {
		return s
	}
	return redact.Cut(s, engine.MaxReason-len(more)) + more
}
