package memory

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.Journal = (*run)(nil)

// journal is the memory of a durable task. Guarded by Engine.mu.
type journal struct {
	entries []*engine.JournalEntry // in order; each is replaced, never changed
	spare   []engine.JournalEntry  // for those to come
	byName  map[string]int         // places of entries other than signals
	signals map[string]int64       // the greatest Came of each signal's name
	keys    map[signalKey]struct{} // those of signals
	came    int64                  // the greatest Came
	failed  int64                  // how many entries are Failed
	open    int                    // how many children have not ended
	others  int                    // how many entries are not children
	bytes   int

	wait   engine.Wait // of a suspended task,
	due    time.Time   // and when it was due before
	bereft bool        // it is in Engine.bereft, and next is where its children
	next   int         // are in entries that were not looked at
}

type signalKey struct{ name, key string }

// remembers reports whether the task has a journal.
func (t *task) remembers() bool { return t.more != nil && t.more.journal != nil }

// remember returns the task's journal, made when it is first needed.
func (t *task) remember() *journal {
	m := t.extra()
	if m.journal == nil {
		m.journal = &journal{byName: make(map[string]int)}
	}
	return m.journal
}

// read returns the entries, for a caller that has freed the lock.
func (j *journal) read() []*engine.JournalEntry {
	if j == nil {
		return nil
	}
	return slices.Clone(j.entries)
}

// copied returns the entries as values, which share what they hold.
func copied(entries []*engine.JournalEntry) []engine.JournalEntry {
	if len(entries) == 0 {
		return nil
	}
	out := make([]engine.JournalEntry, len(entries))
	for i, e := range entries {
		out[i] = *e
	}
	return out
}

// sizeOf returns the bytes of an entry that count towards
// engine.MaxJournalBytes.
func sizeOf(e *engine.JournalEntry) int {
	return len(e.Name) + len(e.Value) + len(e.Result) + len(e.Reason)
}

// newEntry returns an empty entry. So many are needed: some are made at a time.
func (j *journal) newEntry(needed int) *engine.JournalEntry {
	if len(j.spare) == 0 {
		j.spare = make([]engine.JournalEntry, min(needed, 32))
	}
	e := &j.spare[0]
	j.spare = j.spare[1:]
	return e
}

// add adds an entry.
func (j *journal) add(e *engine.JournalEntry) {
	if e.Kind == engine.EntrySignal {
		if j.signals == nil {
			j.signals = make(map[string]int64)
		}
		j.signals[e.Name] = e.Came
	} else {
		j.byName[e.Name] = len(j.entries)
	}
	j.count(e)
	j.entries = append(j.entries, e)
}

// count counts a new entry, or one that has now come.
func (j *journal) count(e *engine.JournalEntry) {
	j.came = max(j.came, e.Came)
	j.bytes += sizeOf(e)
	if e.Failed() {
		j.failed++
	}
	switch {
	case e.Kind != engine.EntryChild:
		j.others++
	case e.Came == 0:
		j.open++
	}
}

// named returns the greatest Came of a child and of signals of the name.
func (j *journal) named(name string) int64 {
	came := j.signals[name]
	if at, ok := j.byName[name]; ok {
		came = max(came, j.entries[at].Came)
	}
	return came
}

func (j *journal) met() bool { return j.wait.Met(j.came, j.failed, j.named(j.wait.Name)) }

// ReadJournal implements [engine.Journal].
func (r *run) ReadJournal(context.Context) ([]engine.JournalEntry, error) {
	e := r.e
	e.lock()
	if r.t.owner != r {
		e.unlock()
		return nil, engine.ErrLeaseLost
	}
	var entries []*engine.JournalEntry
	if r.t.remembers() {
		entries = r.t.more.journal.read()
	}
	e.unlock()
	return copied(entries), nil
}

// Record implements [engine.Journal].
func (r *run) Record(_ context.Context, entries []engine.NewEntry) ([]engine.JournalEntry, error) {
	e := r.e
	for i := range entries {
		m := entries[i].Spawn
		if m == nil {
			continue
		}
		own, err := e.identify(m)
		if err != nil {
			return nil, fmt.Errorf("child %s: %w", entries[i].Name, err)
		}
		if own != m { // it had no id
			entries = slices.Clone(entries)
			entries[i].Spawn = own
		}
	}
	e.lock()
	defer e.unlock()
	if r.t.owner != r {
		return nil, engine.ErrLeaseLost
	}
	j := r.t.remember()
	before := len(j.entries)
	j.entries = slices.Grow(j.entries, len(entries))
	out := make([]engine.JournalEntry, len(entries))
	var children []*engine.Message
	for i := range entries {
		n := &entries[i]
		at, ok := j.byName[n.Name]
		if !ok {
			at = len(j.entries)
			en := j.newEntry(len(entries) - i)
			*en = engine.JournalEntry{Name: n.Name, Kind: n.Kind, Value: n.Value, Attempt: r.Attempt}
			if n.Spawn != nil {
				en.Child = n.Spawn.Meta.ID
				children = append(children, n.Spawn)
			}
			j.add(en)
		}
		out[i] = *j.entries[at]
	}
	if err := e.spawn(children); err != nil {
		j.cut(before)
		return nil, err
	}
	return out, nil
}

// cut takes back the entries from a place on, which nobody has seen.
func (j *journal) cut(from int) {
	for _, en := range j.entries[from:] {
		delete(j.byName, en.Name)
		j.bytes -= sizeOf(en)
		if en.Kind == engine.EntryChild {
			j.open--
		} else {
			j.others--
		}
	}
	j.entries = slices.Delete(j.entries, from, len(j.entries))
}

// spawn stores children: all or none.
func (e *Engine) spawn(children []*engine.Message) error {
	if len(children) == 0 {
		return nil
	}
	if !e.reserveChildren(len(children)) {
		return fmt.Errorf("%d children beside %d tasks that wait or run, with them at most %d may: %w",
			len(children), e.live.Load(), 2*e.capacity, engine.ErrQueueFull)
	}
	ts := make([]*task, len(children))
	ins := make([]engine.Inserted, len(children))
	for i, m := range children {
		ts[i] = e.newTask(m)
		in, err := e.store(ts[i])
		if err == nil && in.Existing {
			err = &engine.KeyHeldError{Entry: m.Meta.Entry, Holder: in.ID}
		}
		if err != nil {
			e.unstore(ts[:i], ins[:i])
			e.leave(len(children))
			return err
		}
		ins[i] = in
	}
	return nil
}

// suspend makes a task wait after its run, unless its wait is over already.
func (e *Engine) suspend(t *task, o *engine.Outcome, now time.Time) {
	j := t.remember()
	j.wait = engine.Wait{}
	if o.Wait != nil {
		j.wait = *o.Wait
	}
	if j.met() || o.After <= 0 && j.wait.Need <= 0 {
		t.state = waiting
		e.queue(t, false, now)
		return
	}
	j.due = t.due
	t.state = suspended
	e.suspended.Add(1)
	if o.After > 0 {
		t.due = now.Add(o.After)
		t.place = inLater
		e.later.push(t)
		if t.pos == 0 {
			e.setAlarm(t.due, now)
		}
	} else {
		t.place = inWait
	}
	e.show(t, showWaiting)
	e.leave(1)
}

// unsuspend takes a suspended task out of its place of waiting, and counts it
// as live.
func (e *Engine) unsuspend(t *task) {
	if t.place == inLater {
		e.later.remove(int(t.pos))
	}
	t.place = nowhere
	t.due = t.more.journal.due
	e.suspended.Add(-1)
	e.live.Add(1)
}

// resume makes a suspended task due, as it was before.
func (e *Engine) resume(t *task, now time.Time) {
	e.unsuspend(t)
	t.state = waiting
	e.queue(t, false, now)
	e.admitWaiting() // inserts that waited for fewer suspended tasks
}

// arrived wakes the task if its wait is over.
func (e *Engine) arrived(t *task, now time.Time) {
	if t.state == suspended && t.more.journal.met() {
		e.resume(t, now)
	}
}

// tell writes the end of a child into the journal of its parent.
func (e *Engine) tell(t *task, result json.RawMessage, now time.Time) {
	reason := ""
	if t.more != nil {
		reason = t.more.reason
	}
	e.tellEnd(t, t.publicState(now), result, reason, now)
}

// tellDeleted is tell for a child that was deleted before its end.
func (e *Engine) tellDeleted(t *task, now time.Time) {
	e.tellEnd(t, engine.StateDeleted, nil, engine.ReasonDeleted, now)
}

func (e *Engine) tellEnd(t *task, s engine.State, result json.RawMessage, reason string, now time.Time) {
	p := e.tasks.get(t.msg.Meta.Parent)
	if p == nil || !p.remembers() {
		return
	}
	j := p.more.journal
	at, ok := j.byName[t.msg.Meta.Entry]
	if !ok {
		return
	}
	old := j.entries[at]
	if old.Child != t.id || old.Came > 0 {
		return
	}
	en := j.newEntry(j.open)
	*en = *old
	en.Came, en.State, en.Result, en.Reason = j.came+1, s, result, reason
	j.entries[at] = en
	j.bytes -= sizeOf(old)
	j.open--
	j.count(en)
	e.arrived(p, now)
}

// Signal implements [engine.Journaler].
func (e *Engine) Signal(_ context.Context, id uuid.UUID, name, key string, value json.RawMessage) error {
	e.lock()
	defer e.unlock()
	now := e.now()
	f, err := e.find(id, now)
	if err != nil {
		return err
	}
	if f.t == nil || f.t.state.final() {
		return fmt.Errorf("%w: it is %s", engine.ErrState, e.entry(f, now).State)
	}
	j := f.t.remember()
	k := signalKey{name, key}
	if _, sent := j.keys[k]; sent {
		return nil
	}
	en := &engine.JournalEntry{Name: name, Kind: engine.EntrySignal, Value: value, Came: j.came + 1}
	if j.others >= engine.MaxJournalEntries || j.bytes+sizeOf(en) > engine.MaxJournalBytes {
		return engine.ErrJournalFull
	}
	if key != "" {
		if j.keys == nil {
			j.keys = make(map[signalKey]struct{})
		}
		j.keys[k] = struct{}{}
	}
	j.add(en)
	e.arrived(f.t, now)
	return nil
}

// Journal implements [engine.Journaler].
func (e *Engine) Journal(_ context.Context, id uuid.UUID) ([]engine.JournalEntry, error) {
	e.lock()
	f, err := e.find(id, e.now())
	var entries []*engine.JournalEntry
	if err == nil && f.t != nil && f.t.remembers() {
		entries = f.t.more.journal.read()
	}
	e.unlock()
	return copied(entries), err
}
