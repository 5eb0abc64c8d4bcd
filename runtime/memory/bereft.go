package memory

import (
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// keptJournals are the journals of ended tasks. They are bounded by their
// entries, since one may have very many.
type keptJournals struct {
	entries int
	n       int     // how many journals
	tasks   []*task // in the order of their end; some have no journal any more
}

// keepsJournal reports whether the task has ended, can be looked up, and has a
// journal.
func (t *task) keepsJournal() bool { return t.remembers() && (t.place == inEnded || t.place == inHeld) }

func (k *keptJournals) add(t *task) {
	k.entries += len(t.more.journal.entries)
	k.n++
	if len(k.tasks) >= 2*k.n+64 {
		k.tasks = slices.DeleteFunc(k.tasks, func(t *task) bool { return !t.keepsJournal() })
	}
	k.tasks = append(k.tasks, t)
}

func (k *keptJournals) remove(j *journal) {
	k.entries -= len(j.entries)
	k.n--
}

// endJournal looks after the journal of a task that has ended.
func (e *Engine) endJournal(t *task) {
	j := t.more.journal
	e.kept.add(t)
	if t.state != succeeded && j.open > 0 {
		j.bereft, j.next = true, 0
		e.bereft = append(e.bereft, t)
		if !e.reaps {
			e.reaps = true
			time.AfterFunc(0, e.reap)
		}
	}
}

// forgetJournals forgets the oldest journals, except the last one, while they
// have more entries than there may be records. With a journal goes a task that
// could be retried by hand.
func (e *Engine) forgetJournals() {
	for e.kept.entries > e.records && e.kept.n > 1 && len(e.kept.tasks) > 0 {
		t := e.kept.tasks[0]
		e.kept.tasks[0] = nil
		e.kept.tasks = e.kept.tasks[1:]
		switch {
		case !t.keepsJournal(): // retried by hand, or forgotten
		case t.state == succeeded:
			e.kept.remove(t.more.journal)
			t.more.journal = nil
		default:
			e.forgetEnded(t)
		}
	}
}

// forgetFailed drops from the journal of a task that is to run again the
// children that did not succeed, are gone, or will be cancelled. A child that
// was retried by hand has its current state.
func (e *Engine) forgetFailed(j *journal, now time.Time) {
	j.bereft = false
	old, last := j.entries, j.came
	j.entries, j.byName = make([]*engine.JournalEntry, 0, len(old)), make(map[string]int, len(old))
	j.came, j.failed, j.open, j.others, j.bytes = 0, 0, 0, 0, 0
	for _, en := range old {
		if en.Kind == engine.EntryChild && en.State != engine.StateSucceeded {
			if en = e.childNow(en, now); en == nil {
				continue
			}
			if en.Came > 0 {
				last++
				en.Came = last
			}
		}
		j.add(en)
	}
}

// childNow returns the current entry of a child that had not succeeded, nil if
// it will not succeed any more. Came only says whether it has ended.
func (e *Engine) childNow(en *engine.JournalEntry, now time.Time) *engine.JournalEntry {
	f, err := e.find(en.Child, now)
	if err != nil || f.t != nil && !e.goesOn(f.t) && f.t.state != succeeded {
		return nil
	}
	c := *en
	c.Came, c.State, c.Result, c.Reason = 0, "", nil, ""
	if f.t == nil || f.t.state == succeeded {
		child := e.entry(f, now)
		c.Came, c.State, c.Result, c.Reason = 1, child.State, child.Result, child.Reason
	}
	return &c
}

// goesOn reports whether a child that has not ended may still succeed.
func (e *Engine) goesOn(t *task) bool {
	return !t.state.final() && (t.state != running || t.more == nil || !t.more.cancelled)
}

// reap cancels the children of tasks that have failed or were cancelled. Others
// take the lock in between.
func (e *Engine) reap() {
	for {
		e.lock()
		stop := e.reapLot(e.now())
		e.reaps = len(e.bereft) > 0
		more := e.reaps
		e.unlock()
		for _, s := range stop {
			s.run.Stop(engine.CancelCause(s.reason))
		}
		if !more {
			return
		}
	}
}

// stopping is a run to stop once the lock is free.
type stopping struct {
	run    *run
	reason string
}

// reapLot looks at some of the children. It returns the runs to stop.
func (e *Engine) reapLot(now time.Time) (stop []stopping) {
	for n := 0; n < lotTasks && len(e.bereft) > 0; {
		p := e.bereft[0]
		j := p.more.journal
		if j == nil || !j.bereft || j.next >= len(j.entries) { // retried by hand, or done
			e.bereft[0] = nil
			e.bereft = e.bereft[1:]
			continue
		}
		reason := engine.ParentEnded(p.id, p.publicState(now))
		for ; j.next < len(j.entries) && n < lotTasks; n++ {
			en := j.entries[j.next]
			j.next++
			if en.Kind != engine.EntryChild || en.Came > 0 {
				continue
			}
			t := e.tasks.get(en.Child)
			if t == nil || t.msg.Meta.Orphan {
				continue
			}
			if r := e.cancelTask(t, reason, now); r != nil {
				stop = append(stop, stopping{r, reason})
			}
		}
	}
	return stop
}
