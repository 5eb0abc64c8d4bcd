package runtime

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/guard"
)

// leastWait is the After of a task that waits for something until a time that is
// now: zero would be for ever.
const leastWait = time.Millisecond

// verdict says whether a run that waits for something is suspended.
type verdict uint8

const (
	verdictOpen    verdict = iota // the function has not returned
	verdictSuspend                // it is suspended
	verdictEnd                    // it ends as its error says, or waits for nothing
)

// suspend notes the wait of the branch of ctx, until a time if it is not zero.
// what describes it for people. The caller holds d.mu.
func (d *durable) suspend(ctx context.Context, w engine.Wait, until time.Time, what string) error {
	if err := d.flush(ctx); err != nil {
		return err
	}
	if !until.IsZero() {
		what += ", until " + until.UTC().Format(time.RFC3339)
	}
	d.waits = append(d.waits, what)
	if d.headers == nil {
		d.headers = d.r.app.headersOf(ctx)
	}
	d.branch(ctx).suspended = true
	if d.suspended {
		w = eitherOf(d.wait, w)
	} else {
		d.until = until
	}
	d.suspended, d.wait = true, w
	if !until.IsZero() && (d.until.IsZero() || until.Before(d.until)) {
		d.until = until
	}
	return ErrSuspended
}

// eitherOf is the wait of two branches: either is enough.
func eitherOf(w, o engine.Wait) engine.Wait {
	switch {
	case w.Need == 0:
		return o
	case o.Need == 0 || w == o:
		return w
	}
	return engine.Wait{Need: min(w.Need, o.Need), FailFast: w.FailFast || o.FailFast}
}

// leave is called when the function and its branches have returned, before its
// cleanups, and again after middleware. A suspended run gives them
// ErrSuspended, whatever was returned, so that they do not commit work that
// will be done again.
func (d *durable) leave(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	first := d.verdict == verdictOpen
	if first {
		d.verdict = d.judge(err)
	}
	switch {
	case !first:
	case err == nil || d.verdict == verdictSuspend:
		if ferr := d.finish(); ferr != nil {
			d.verdict, err = verdictEnd, ferr
		}
	case !endsRun(err) && d.r.root.Err() == nil:
		if ferr := d.flushOrphans(); ferr != nil {
			err = fmt.Errorf("%w; the task had returned: %s", ferr, guard.Text(err))
		}
	}
	switch {
	case d.verdict == verdictEnd:
	case endsRun(err):
		d.verdict = verdictEnd
	case !guard.Is(err, ErrSuspended):
		if first {
			d.logSwallowed(err)
		}
		err = ErrSuspended
	}
	return err
}

// finish enqueues the children that are pending when the function has returned. The
// caller holds d.mu.
func (d *durable) finish() error {
	if err := d.r.unspawned(); err != nil {
		return err
	}
	return d.flush(&d.r.root)
}

// judge decides about a run whose function has returned err. The caller holds
// d.mu.
func (d *durable) judge(err error) verdict {
	if !d.suspended || endsRun(err) || failedBeside(err) {
		return verdictEnd
	}
	return verdictSuspend
}

// endsRun reports whether the error is one that no suspension hides.
func endsRun(err error) bool {
	_, panicked := guard.As[*PanicError](err)
	return panicked || guard.Is(err, ErrGoexit)
}

// wrapsMany is the type of an error of fmt.Errorf with several %w: an error of the
// user's around ErrSuspended, and not the failure of another branch.
var wrapsMany = reflect.TypeOf(fmt.Errorf("%w%w", ErrSuspended, ErrNoTask))

// failedBeside reports whether joined errors contain both ErrSuspended and
// others: another branch has failed.
func failedBeside(err error) (failed bool) {
	defer func() {
		if recover() != nil { // an Unwrap of the user's
			failed = false
		}
	}()
	for err != nil {
		switch e := err.(type) {
		case interface{ Unwrap() []error }:
			if reflect.TypeOf(err) == wrapsMany {
				return slices.ContainsFunc(e.Unwrap(), failedBeside)
			}
			all := slices.DeleteFunc(slices.Clone(e.Unwrap()), func(err error) bool { return err == nil })
			with := 0
			for _, part := range all {
				if failedBeside(part) {
					return true
				}
				if guard.Is(part, ErrSuspended) {
					with++
				}
			}
			return with > 0 && with < len(all)
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		default:
			return false
		}
	}
	return false
}

// logSwallowed says that a suspended function has not returned ErrSuspended.
func (d *durable) logSwallowed(err error) {
	returned := "nil"
	if err != nil {
		returned = d.r.redactor().Clean(guard.Text(err))
	}
	d.r.app.log(slog.LevelError, "a durable task did not return runtime.ErrSuspended: it is suspended all the same, and runs again",
		append(d.r.logAttrs(), slog.String("returned", returned))...)
}

// suspendedOutcome is the outcome of a run that is suspended, false if it is not
// or its task must end all the same.
func (r *run) suspendedOutcome() (engine.Outcome, bool) {
	d := r.remembered()
	if d == nil || r.flags.broken {
		return engine.Outcome{}, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.verdict != verdictSuspend {
		return engine.Outcome{}, false
	}
	if cause := r.life.StopCause(); guard.Is(cause, ErrCancelled) || guard.Is(cause, ErrDeadline) {
		return engine.Outcome{}, false
	}
	w := d.wait
	w.Seen, w.Failed = d.came, d.failed
	o := engine.Outcome{Kind: engine.OutcomeSuspend, Wait: &w, Reason: "waits for " + strings.Join(d.waits, "; or for ")}
	until := d.until
	if end := r.msg.Meta.Deadline; !end.IsZero() && (until.IsZero() || end.Before(until)) {
		until = end
	}
	if !until.IsZero() {
		o.After = max(time.Until(until), leastWait)
	}
	if r.app.notesSuspensions() {
		r.noteSuspension(d.headers)
	}
	return o, true
}

// shownNames is how many children a reason names.
const shownNames = 5

// childrenText says for people which of n children have not ended: so many, of which it
// gets the names of some.
func childrenText(shown []string, open, n int) string {
	if n == 1 {
		return "child " + shown[0]
	}
	text := fmt.Sprintf("%d of %d children: ", open, n) + strings.Join(shown, ", ")
	if open > len(shown) {
		return text + ", ..."
	}
	return text
}
