package runtime

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// parkDelay is how long a parked task waits before a worker looks at it again.
const parkDelay = time.Minute

// parkError says that this worker cannot run the task; another version may.
type parkError struct {
	reason string
	own    bool // reason is in words of ours alone, and shows no value
}

func (e *parkError) Error() string { return e.reason }

func park(format string, args ...any) error {
	return &parkError{reason: fmt.Sprintf(format, args...)}
}

// inOwnWords reports whether an error shows no values of the task. Then no
// redactor need read the values, which may be the cause of the failure.
func inOwnWords(err error) bool {
	switch e := err.(type) {
	case *parkError:
		return e.own
	case *PermanentError:
		return e.Err == errCrashed || e.Err == ErrDeadline
	}
	return false
}

func unknownTask(name string) string { return fmt.Sprintf("no task %q is registered here", name) }

// decide decides on the outcome of the run, and logs it and shows it to
// observers.
func (w *worker) decide(r *run, o *engine.Outcome) {
	if w.concluded(r, o) {
		return
	}
	*o = w.decideOutcome(r)
	o.After = max(o.After, 0)
	w.conclude(r, o)
}

// decideOutcome makes the outcome of the run.
func (w *worker) decideOutcome(r *run) engine.Outcome {
	if o, ok := r.suspendedOutcome(); ok {
		return o
	}
	if r.err == nil {
		return engine.Outcome{Kind: engine.OutcomeSucceed, Result: r.result}
	}
	if p, ok := guard.As[*parkError](r.err); ok {
		return w.decideParked(r, p)
	}
	if c, ok := guard.As[*CancelledError](r.err); ok {
		reason := c.Reason
		if reason == "" {
			reason = r.msg.Name + ".cancel"
		}
		return engine.Outcome{Kind: engine.OutcomeCancel, Reason: reason}
	}
	cause := r.life.StopCause()
	if x := r.extras(); x != nil && x.lost {
		cause = engine.ErrLeaseLost
	}
	if reason, ok := engine.CancelReason(cause); ok {
		return engine.Outcome{Kind: engine.OutcomeCancel, Reason: reason}
	}
	if guard.Is(cause, engine.ErrCancelled) {
		return engine.Outcome{Kind: engine.OutcomeCancel}
	}
	if s, ok := guard.As[*SnoozeError](r.err); ok {
		r.flags.memoChanged = true // it is no longer parked, if it was
		return engine.Outcome{Kind: engine.OutcomeDelay, After: s.After}
	}
	if p, ok := guard.As[*PermanentError](r.err); ok {
		return engine.Outcome{Kind: engine.OutcomeFail, Reason: p.Error()}
	}
	if guard.Is(cause, engine.ErrShutdown) || guard.Is(cause, engine.ErrLeaseLost) {
		return engine.Outcome{Kind: engine.OutcomeRelease, Reason: guard.Text(cause)}
	}
	if guard.Is(cause, engine.ErrTimeout) && !guard.Is(r.err, cause) {
		r.err = fmt.Errorf("%w: %w", cause, r.err)
	}
	if guard.Is(cause, ErrDeadline) || r.failures() >= r.retries() || !w.retryable(r) {
		return engine.Outcome{Kind: engine.OutcomeFail, Reason: guard.Text(r.err)}
	}
	return engine.Outcome{Kind: engine.OutcomeRetry, After: w.retryDelay(r), Reason: guard.Text(r.err)}
}

// retryable asks Config.RetryIf.
func (w *worker) retryable(r *run) bool {
	f := w.app.cfg.RetryIf
	if f == nil {
		return true
	}
	ok := true
	if err := guard.Isolated(func() error { ok = f(r.metadata(), r.err); return nil }); err != nil {
		w.app.log(slog.LevelError, "RetryIf failed; the task is retried", slog.String("error", r.redactor().Clean(guard.Text(err))))
		return true
	}
	return ok
}

// retryDelay returns how long to wait for the next attempt.
func (w *worker) retryDelay(r *run) time.Duration {
	if e, ok := guard.As[*RetryAfterError](r.err); ok {
		return e.After
	}
	if f := w.app.cfg.RetryPolicy; f != nil {
		var d time.Duration
		err := guard.Isolated(func() error { d = f(r.metadata(), r.err); return nil })
		if err == nil {
			return d
		}
		w.app.log(slog.LevelError, "RetryPolicy failed; the task's own backoff is used",
			slog.String("error", r.redactor().Clean(guard.Text(err))))
	}
	return r.backoff()
}

// decideParked delays a task that this worker cannot run, and fails it once it
// has waited for Config.ParkFor.
func (w *worker) decideParked(r *run, p *parkError) engine.Outcome {
	x := r.more()
	seen := r.journalSeen()
	x.reading.Lock()
	m := r.loadMemo(x)
	now := time.Now()
	if m.ParkedAt.IsZero() {
		m.ParkedAt = now.UTC()
		r.flags.memoChanged = true
	}
	if seen != m.ParkedSeen { // it went on in between
		m.ParkedAt, m.ParkedSeen = now.UTC(), seen
		r.flags.memoChanged = true
	}
	since := m.ParkedAt
	x.reading.Unlock()
	if now.Sub(since) >= w.app.cfg.ParkFor {
		return engine.Outcome{Kind: engine.OutcomeFail, Reason: p.reason}
	}
	return engine.Outcome{Kind: engine.OutcomeDelay, After: min(parkDelay, w.app.cfg.ParkFor), Reason: p.reason}
}
