package memory

import (
	"time"

	"github.com/taskctx/taskctx/runtime"
)

// conclude records the outcome of a run. It returns false, and records
// nothing, when the task no longer belongs to the run.
func (e *Engine) conclude(r *run, o *runtime.Outcome, now time.Time, wakes *wakeList) bool {
	t := r.t
	if t.owner != r {
		return false
	}
	if o.Memo != nil {
		t.extra().memo = o.Memo
	}
	if o.Kind == runtime.OutcomeRelease {
		e.release(t, now, wakes)
		return true
	}
	t.owner = nil
	t.result = o.Result
	t.setReason(o.Reason)
	switch o.Kind {
	case runtime.OutcomeSucceed:
		e.end(t, succeeded, now)
	case runtime.OutcomeFail:
		e.end(t, failed, now)
	case runtime.OutcomeCancel:
		e.end(t, cancelled, now)
	default:
		if t.stopAsked() {
			e.end(t, cancelled, now)
			break
		}
		if o.Kind == runtime.OutcomeRetry {
			t.attempt++
		}
		t.state, t.due = retrying, now.Add(max(o.After, 0))
		e.queue(t, o.After <= 0, now, wakes)
	}
	return true
}

// release gives a running task back as it was. One that was to be cancelled is.
func (e *Engine) release(t *task, now time.Time, wakes *wakeList) {
	t.owner = nil
	if t.stopAsked() {
		e.end(t, cancelled, now)
		return
	}
	t.state = waiting
	e.queue(t, false, now, wakes)
}

// stopAsked reports whether a Cancel asked the running task to stop, and makes
// its reason the task's.
func (t *task) stopAsked() bool {
	if t.more == nil || !t.more.cancelled {
		return false
	}
	t.more.reason = t.more.why
	return true
}

// end makes a task, which neither waits nor runs any more, an ended one.
func (e *Engine) end(t *task, s state, now time.Time) {
	t.state, t.endedAt = s, now
	e.live--
	if len(e.room) > 0 {
		e.admitWaiting()
	}
	if t.more != nil {
		t.wake()
	}
	if t.msg.Keep > 0 && t.msg.Keep != e.keepFor {
		t.place = inKept
		e.ended.kept.push(t)
	} else {
		t.place = inEnded
		e.ended.list.push(t)
	}
	// One in, at least one out: so the ended tasks need no timer.
	for e.ended.len() > e.records {
		e.forgetEnded(e.ended.oldest())
	}
	for range 2 {
		if old := e.ended.expired(now, e.keepFor); old != nil {
			e.forgetEnded(old)
		}
	}
}

// leaveEnded takes an ended task out of the ended ones.
func (e *Engine) leaveEnded(t *task) {
	if t.place == inKept {
		e.ended.kept.remove(t)
	} else {
		e.ended.list.remove(t)
	}
	t.place = nowhere
}

func (e *Engine) forgetEnded(t *task) {
	e.leaveEnded(t)
	e.forget(t)
}

// forget takes a task out of all that finds it.
func (e *Engine) forget(t *task) {
	e.tasks.remove(t)
	e.all.remove(t)
}
