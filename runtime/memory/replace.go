package memory

import (
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// replaceHolder gives the task that holds the message's key its content, if the message
// says so. Only what is stored for sure replaces: a batch as a whole, and no children,
// whose parent fails.
func (e *Engine) replaceHolder(m *engine.Message, in engine.Inserted) {
	if m.Replace && in.Existing {
		e.replace(e.tasks.get(in.ID), m, e.now())
	}
}

// replace gives a task that has never begun the content of the message, if it holds
// its key until it begins.
func (e *Engine) replace(t *task, m *engine.Message, now time.Time) {
	if t == nil || t.begun || t.state != waiting || t.msg.KeyHold != engine.HoldWaiting || t.msg.Name != m.Name {
		return
	}
	e.dequeue(t)
	e.leaveGates(t, true)
	if t.tally != nil { // the queue may be another
		t.tally.n[t.shown]--
		t.tally = nil
	}
	t.msg = m.Replacing(t.msg)
	if t.due = t.msg.Due; t.due.IsZero() {
		t.due = now
	}
	if len(t.msg.Limits) > 0 && t.msg.Limits[0].Ordered { // enqueued last
		e.seq++
		t.extra().turn = e.seq
	}
	e.queue(t, false, now)
}
