package memory

import (
	"encoding/json"
	"math"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// conclude records the outcome of a run. When the run no longer owns the task,
// it records nothing and returns false.
func (e *Engine) conclude(r *run, o *engine.Outcome, now time.Time) bool {
	t := r.t
	if t.owner != r {
		return false
	}
	if o.Memo != nil {
		t.extra().memo = o.Memo
	}
	if o.Kind == engine.OutcomeRelease {
		e.release(t, now)
		return true
	}
	t.owner = nil
	t.setReason(o.Reason)
	switch o.Kind {
	case engine.OutcomeSucceed:
		e.end(t, succeeded, now, o.Result)
	case engine.OutcomeFail:
		e.end(t, failed, now, o.Result)
	case engine.OutcomeCancel:
		e.end(t, cancelled, now, o.Result)
	default:
		if t.stopAsked() {
			e.end(t, cancelled, now, nil)
			break
		}
		if o.Kind == engine.OutcomeSuspend {
			e.leaveGates(t, false)
			e.suspend(t, o, now)
			break
		}
		if o.Kind == engine.OutcomeRetry {
			t.attempt++
		}
		e.leaveGates(t, false)
		t.state, t.due = retrying, now.Add(max(o.After, 0))
		e.queue(t, o.After <= 0, now)
	}
	return true
}

// release gives a running task back as it was, or cancels it if a Cancel asked
// for that.
func (e *Engine) release(t *task, now time.Time) {
	t.owner = nil
	if t.stopAsked() {
		e.end(t, cancelled, now, nil)
		return
	}
	e.leaveGates(t, false)
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

// end makes an ended task of one that does not wait or run any more.
func (e *Engine) end(t *task, s state, at time.Time, result json.RawMessage) {
	now := stamp(at.UnixNano())
	t.state = s
	e.leave(1)
	e.leaveGates(t, true)
	if t.holds {
		e.letGo(t, s, false)
	}
	if t.msg.Meta.Entry != "" {
		e.tell(t, result, at)
	}
	if t.remembers() {
		e.endJournal(t)
	}
	held := t.holds && t.msg.KeyHold != engine.HoldTick && e.keys.holds(t, at)
	packed := s == succeeded && !held && !t.remembers() && e.past.add(t, result, now, after(now, positive(t.msg.Keep, e.keepFor)))
	if !packed || t.more != nil && t.more.done != nil { // waiters look here
		m := t.extra()
		m.ended, m.result = now, result
	}
	e.show(t, showSucceeded+shown(s-succeeded))
	if packed {
		t.tally = nil // the record is counted instead
		e.forget(t)
		t.wake()
		e.spare.put(t)
	} else {
		e.list(t, held)
		t.wake()
	}
	for e.ended.n+e.past.n > e.records {
		e.forgetOldest()
	}
	e.forgetJournals()
	// One in, two out: so forgetting needs no timer.
	for range 2 {
		if t := e.expiry.top(); t != nil && t.more.expires <= now {
			e.forgetEnded(t)
		}
		if r := e.past.oldest(); r != nil && e.overKeptPast(r, now) {
			e.past.forget(r)
		}
	}
}

// list makes an ended task one that can be looked up. held says that it still
// holds its key.
func (e *Engine) list(t *task, held bool) {
	m := t.more
	m.expires = after(m.ended, e.keepOf(t))
	if held {
		until, ok := stampOf(e.keys.held[t.msg.Key].until)
		if !ok {
			until = never
		}
		m.expires = max(m.expires, until)
		t.place = inHeld
		e.held.push(t)
	} else {
		t.place = inEnded
		e.ended.push(t)
	}
	e.expiry.push(t)
}

// unlist is the reverse of list.
func (e *Engine) unlist(t *task) {
	if t.place == inHeld {
		e.held.remove(t)
	} else {
		e.ended.remove(t)
	}
	e.expiry.remove(int(t.pos))
	t.place = nowhere
}

// forgetOldest forgets the task that ended first.
func (e *Engine) forgetOldest() {
	t, r := e.ended.head, e.past.oldest()
	if r == nil || t != nil && t.more.ended < r.ended {
		e.forgetEnded(t)
	} else {
		e.past.forget(r)
	}
}

func (e *Engine) forgetEnded(t *task) {
	e.unlist(t)
	if t.holds {
		e.letGo(t, t.state, true)
	}
	if t.remembers() {
		e.kept.remove(t.more.journal)
	}
	e.gone(t)
	e.forget(t)
}

// forget makes the task impossible to find.
func (e *Engine) forget(t *task) { e.tasks.remove(t) }

// never is a time that does not come.
const never stamp = math.MaxInt64

// after returns the time d after s.
func after(s stamp, d time.Duration) stamp {
	if d > time.Duration(never-s) {
		return never
	}
	return s + stamp(d)
}

// overKept reports whether the task has ended, outlived its time to be kept,
// and holds no key any more.
func (t *task) overKept(now stamp) bool { return t.state.final() && t.more.expires <= now }

// keepOf returns how long the record of the ended task stays.
func (e *Engine) keepOf(t *task) time.Duration {
	if t.state == succeeded {
		return positive(t.msg.Keep, e.keepFor)
	}
	return positive(t.msg.KeepFailed, e.keepFailed)
}

// overKeptPast is overKept for a record in the archive.
func (e *Engine) overKeptPast(r *packed, now stamp) bool { return e.expiresPast(r) <= now }

func (e *Engine) expiresPast(r *packed) stamp {
	return after(r.ended, positive(e.past.keep(r), e.keepFor))
}

const (
	// lotTasks is how many due or outlived tasks are handled with the lock
	// held.
	lotTasks = 512
	// scatterTasks is how many come to new groups at once: each worker that comes or
	// goes moves them, and those that stay for milliseconds must get to run some.
	scatterTasks = 32
	// lotChunks is the same for chunks of the archive.
	lotChunks = 16
)

// sweep forgets some of the tasks whose time to be kept is over, and reports
// whether there may be more.
func (e *Engine) sweep(now time.Time) (more bool) {
	at := stamp(now.UnixNano())
	for range lotTasks {
		t := e.expiry.top()
		if t == nil || t.more.expires > at {
			return e.sweepPast(at)
		}
		e.forgetEnded(t)
	}
	return true
}

func (e *Engine) sweepPast(at stamp) (more bool) {
	a := &e.past
	chunks := 0
	for pos := a.head; pos < a.tail; {
		_, c := a.record(pos)
		end := min(pos-pos%chunkSize+chunkSize, a.tail)
		if c.expires > at {
			pos = end
			continue
		}
		if chunks++; chunks > lotChunks {
			return true
		}
		c.expires = never
		for ; pos < end; pos++ {
			r := &c.records[pos%chunkSize]
			if r.dead {
				continue
			}
			if x := e.expiresPast(r); x > at {
				c.expires = min(c.expires, x)
			} else {
				a.forget(r)
			}
		}
	}
	return false
}
