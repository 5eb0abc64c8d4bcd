package memory

import (
	"encoding/json"
	"time"

	"github.com/taskctx/taskctx/runtime"
)

// conclude records the outcome of a run. It returns false, and records
// nothing, when the task no longer belongs to the run.
func (e *Engine) conclude(r *run, o *runtime.Outcome, now time.Time) bool {
	t := r.t
	if t.owner != r {
		return false
	}
	if o.Memo != nil {
		t.extra().memo = o.Memo
	}
	if o.Kind == runtime.OutcomeRelease {
		e.release(t, now)
		return true
	}
	t.owner = nil
	t.setReason(o.Reason)
	switch o.Kind {
	case runtime.OutcomeSucceed:
		e.end(t, succeeded, now, o.Result)
	case runtime.OutcomeFail:
		e.end(t, failed, now, o.Result)
	case runtime.OutcomeCancel:
		e.end(t, cancelled, now, o.Result)
	default:
		if t.stopAsked() {
			e.end(t, cancelled, now, nil)
			break
		}
		if o.Kind == runtime.OutcomeRetry {
			t.attempt++
		}
		t.state, t.due = retrying, now.Add(max(o.After, 0))
		e.queue(t, o.After <= 0, now)
	}
	return true
}

// release gives a running task back as it was. One that was to be cancelled is.
func (e *Engine) release(t *task, now time.Time) {
	t.owner = nil
	if t.stopAsked() {
		e.end(t, cancelled, now, nil)
		return
	}
	t.state = waiting
	e.queue(t, false, now)
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
func (e *Engine) end(t *task, s state, at time.Time, result json.RawMessage) {
	now := stamp(at.UnixNano())
	t.state = s
	e.leave(1)
	if t.holds {
		e.letGo(t, s, false)
	}
	held := t.holds && t.msg.KeyHold != runtime.HoldTick && e.keys.holds(t, at)
	packed := s == succeeded && !held && e.past.add(t, result, now)
	if !packed || t.more != nil && t.more.done != nil { // those who wait look here
		m := t.extra()
		m.ended, m.result = now, result
	}
	if packed {
		e.forget(t)
		t.wake()
		e.spare.put(t)
	} else {
		if held {
			t.place = inHeld
			e.held.push(t)
		} else {
			t.place = inEnded
			e.ended.push(t)
		}
		t.wake()
	}
	for e.ended.n+e.past.n > e.records {
		e.forgetOldest()
	}
	// One in, two out: so what is kept no longer needs no timer.
	for range 2 {
		if t := e.ended.head; t != nil && e.overKept(t, now) {
			e.forgetEnded(t)
		}
		if r := e.past.oldest(); r != nil && e.overKeptPast(r, now) {
			e.past.forget(r)
		}
	}
}

// forgetOldest forgets the task that has ended first.
func (e *Engine) forgetOldest() {
	t, r := e.ended.head, e.past.oldest()
	if r == nil || t != nil && t.more.ended < r.ended {
		e.forgetEnded(t)
	} else {
		e.past.forget(r)
	}
}

func (e *Engine) forgetEnded(t *task) {
	if t.place == inHeld {
		e.held.remove(t)
	} else {
		e.ended.remove(t)
	}
	if t.holds {
		e.letGo(t, t.state, true)
	}
	t.place = nowhere
	e.forget(t)
}

// forget makes a task one that is not found.
func (e *Engine) forget(t *task) { e.tasks.remove(t) }

// overKept reports whether the task has ended, was kept for its time, and holds
// no key any more.
func (e *Engine) overKept(t *task, now stamp) bool {
	if !t.state.final() || time.Duration(now-t.more.ended) < e.keepOf(t) {
		return false
	}
	return t.place != inHeld || !e.keys.holds(t, now.time())
}

// keepOf is how long the record of the task, which has ended, stays.
func (e *Engine) keepOf(t *task) time.Duration {
	if t.state == succeeded {
		return positive(t.msg.Keep, e.keepFor)
	}
	return positive(t.msg.KeepFailed, e.keepFailed)
}

// overKeptPast is overKept for a record in the archive.
func (e *Engine) overKeptPast(r *packed, now stamp) bool {
	return time.Duration(now-r.ended) >= positive(e.past.keep(r), e.keepFor)
}
