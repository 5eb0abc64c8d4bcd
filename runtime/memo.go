package runtime

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// memo is what the App keeps with a task from run to run.
type memo struct {
	// Concluded is one more than the attempt that last failed or was cancelled.
	Concluded int `json:"concluded,omitempty"`
	// ByHand: since then a retry by hand has begun. It has the same attempt.
	ByHand   bool           `json:"by_hand,omitempty"`
	ParkedAt time.Time      `json:"parked_at,omitzero"`
	Errors   []AttemptError `json:"errors,omitempty"`
	Logs     []LogLine      `json:"logs,omitempty"`
	Progress *Progress      `json:"progress,omitempty"`
}

// AttemptError is the error of one attempt, as a record shows it.
type AttemptError struct {
	Attempt int       `json:"attempt"`
	At      time.Time `json:"at"`
	Error   string    `json:"error"`
	// Stack is where the attempt panicked, empty if it did not.
	Stack string `json:"stack,omitempty"`
}

// LogLine is one log record that was kept with its task.
type LogLine struct {
	Time    time.Time  `json:"time"`
	Level   slog.Level `json:"level"`
	Attempt int        `json:"attempt"`
	// Retry marks where a retry begins: nobody logged the line itself.
	Retry   bool   `json:"retry,omitempty"`
	Logger  string `json:"logger,omitempty"`
	Message string `json:"message"`
	// Attrs are the attributes as text, "key=value" with spaces between.
	Attrs string `json:"attrs,omitempty"`
}

// Progress is how far a task has come, as it said itself.
type Progress struct {
	Done  int64     `json:"done"`
	Total int64     `json:"total"`
	Note  string    `json:"note,omitempty"`
	At    time.Time `json:"at"`
}

// keptErrors is how many errors a memo holds, the last ones.
const keptErrors = 10

// loadMemo reads the memo once in a run; the caller holds x.saving. What cannot
// be read counts as empty.
func (r *run) loadMemo(x *extras) *memo {
	if x.memo != nil {
		return x.memo
	}
	x.memo = new(memo)
	raw, err := r.d.Memo.LoadMemo(context.WithoutCancel(r.life.Parent))
	if err == nil && len(raw) > 0 {
		err = json.Unmarshal(raw, x.memo)
	}
	if err != nil {
		r.app.log(slog.LevelError, "read what is kept with the task",
			append(r.logAttrs(), slog.String("error", message(err)))...)
	}
	if m := x.memo; m.Concluded == r.d.Attempt+1 && !m.ByHand {
		m.ByHand, x.byHand = true, r.app.cfg.KeepLogs > 0
	}
	return x.memo
}

// concludeMemo returns the memo as the run leaves it.
func (r *run) concludeMemo(o *Outcome, failed, parked bool) json.RawMessage {
	x := r.more()
	x.saving.Lock()
	defer x.saving.Unlock()
	x.concluded = true
	m := r.loadMemo(x)
	if failed || o.Kind == OutcomeCancel {
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
	e := AttemptError{Attempt: r.d.Attempt, At: time.Now().UTC(), Error: clip(reason)}
	if p, ok := as[*PanicError](r.err); ok {
		e.Stack = clip(r.redactor().clean(string(p.Stack)))
	}
	m.Errors = append(m.Errors, e)
	if n := len(m.Errors) - keptErrors; n > 0 {
		m.Errors = m.Errors[n:]
	}
}

// encodeMemo merges what this run noted into the memo and encodes it. When it
// is too large the oldest log lines go first, then the oldest errors. The
// caller holds x.saving.
func (r *run) encodeMemo(x *extras) json.RawMessage {
	m := *r.loadMemo(x)
	r.mergeNotes(&m)
	m.Logs = lastThatFit(m.Logs, MaxMemo)
	for {
		b, err := json.Marshal(m)
		switch {
		case err != nil:
			return nil // every field can be encoded: it cannot be
		case len(b) <= MaxMemo:
			return b
		case len(m.Logs) > 0:
			m.Logs = m.Logs[(len(m.Logs)+1)/2:]
		case len(m.Errors) > 1:
			m.Errors = m.Errors[(len(m.Errors)+1)/2:]
		default:
			m.Errors, m.Progress = nil, nil
		}
	}
}

// lastThatFit returns the last lines whose text is of at most n bytes. As JSON
// they may still be too large.
func lastThatFit(lines []LogLine, n int) []LogLine {
	for i, l := range slices.Backward(lines) {
		if n -= len(l.Message) + len(l.Attrs); n < 0 {
			return lines[i+1:]
		}
	}
	return lines
}

// clip makes s storable everywhere: valid UTF-8 without NUL bytes, at most
// MaxReason bytes.
func clip(s string) string {
	const more = "…"
	cut := len(s) > MaxReason
	if cut { // what follows need not be looked at
		s = cutRune(s, MaxReason)
	}
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
	if !cut && len(s) <= MaxReason {
		return s
	}
	return cutRune(s, MaxReason-len(more)) + more
}

// cutRune returns at most n bytes of s, and no part of a rune.
func cutRune(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
