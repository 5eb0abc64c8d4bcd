package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Insert implements [engine.Inserter]: all messages are stored, or none.
func (e *Engine) Insert(ctx context.Context, ms []*engine.Message) ([]engine.Inserted, error) {
	ms = slices.Clone(ms)
	for i, m := range ms {
		var err error
		if ms[i], err = e.identify(m); err != nil {
			return nil, err
		}
	}
	ins := make([]engine.Inserted, len(ms))
	ts := make([]*task, len(ms))
	e.lock()
	if err := e.admit(ctx, len(ms)); err != nil {
		e.unlock()
		return nil, err
	}
	existing := 0
	for i, m := range ms {
		ts[i] = e.newTask(m)
		in, err := e.store(ts[i])
		if err != nil {
			e.unstore(ts[:i], ins[:i])
			e.leave(len(ms))
			e.unlock()
			return nil, err
		}
		ins[i] = in
		if in.Existing {
			existing++
		}
	}
	e.leave(existing)
	for i, m := range ms {
		e.replaceHolder(m, ins[i])
	}
	e.unlock()
	return ins, nil
}

// InsertOne implements [engine.SingleInserter]. Most messages go through the
// inbox, without the lock.
func (e *Engine) InsertOne(ctx context.Context, m *engine.Message) (engine.Inserted, error) {
	m, err := e.identify(m)
	if err != nil {
		return engine.Inserted{}, err
	}
	if e.inbox.takes(m) && !e.crowded.Load() && e.reserve(1) {
		e.inbox.put(m)
		if e.inbox.summon.Load() {
			e.lockSoon() // which finds it there
			e.unlock()
		}
		return engine.Inserted{ID: m.Meta.ID}, nil
	}
	e.lockSoon()
	defer e.unlock()
	if err := e.admit(ctx, 1); err != nil {
		return engine.Inserted{}, err
	}
	t := e.newTask(m)
	in, err := e.store(t)
	if err != nil || in.Existing {
		e.leave(1)
		e.replaceHolder(m, in)
	} else if g := t.group; g != nil && len(g.serves) > 0 {
		e.inbox.open(laneKey{m.Queue, m.Name})
	}
	return in, err
}

// identify checks a message, and gives it an id if it has none.
func (e *Engine) identify(m *engine.Message) (*engine.Message, error) {
	if err := e.Check(m); err != nil {
		return nil, err
	}
	if m.Meta.ID != uuid.Nil {
		return m, nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make an id for %s: %w", m.Name, err)
	}
	own := *m
	own.Meta.ID = id
	return &own, nil
}

// newTask makes the task of a message.
func (e *Engine) newTask(m *engine.Message) *task {
	t := e.spare.get()
	t.msg, t.id, t.due, t.started = m, m.Meta.ID, m.Due, noTime
	if t.due.IsZero() {
		t.due = m.Meta.EnqueuedAt
	}
	return t
}

// store adds a task that is counted as live, unless its key is held or its id
// is known. It replaces none: what comes after it may yet fail.
func (e *Engine) store(t *task) (engine.Inserted, error) {
	keyed := keyed(t.msg)
	immediate := t.msg.Due.IsZero()
	var now time.Time
	if keyed || !immediate || t.due.IsZero() {
		now = e.now()
	}
	if t.due.IsZero() {
		t.due = now
	}
	if keyed {
		if h, free := e.keyFree(t.msg.Key, now); !free {
			return engine.Inserted{ID: h.id, Existing: true}, nil
		}
		if e.keys.full() {
			return engine.Inserted{}, fmt.Errorf("%d unique keys are held: %w", e.keys.limit, engine.ErrQueueFull)
		}
	}
	if e.tasks.put(t) != nil { // the same message again
		return engine.Inserted{ID: t.id, Existing: true}, nil
	}
	if keyed {
		e.take(t, now.Add(t.msg.KeyFor))
	}
	e.seq++
	t.seq = e.seq
	e.order.push(t.seq, t.id)
	e.queue(t, immediate, now)
	return engine.Inserted{ID: t.id}, nil
}

// unstore takes back the tasks of a batch that cannot be stored whole.
func (e *Engine) unstore(ts []*task, ins []engine.Inserted) {
	for i, t := range ts {
		if !ins[i].Existing {
			e.dequeue(t)
			e.leaveGates(t, true)
			e.gone(t)
			e.forget(t)
			e.keys.release(t.msg.Key, t.id)
		}
	}
}

// queue makes a task wait for its time, or for a worker. last says that it is
// due, and comes after all others of its kind.
func (e *Engine) queue(t *task, last bool, now time.Time) {
	if t.msg.Limits != nil {
		if !e.admitOrdered(t) {
			return
		}
		if last { // others of its priority may come after it
			e.enter(t, false, now)
			return
		}
	}
	if last || !t.due.After(now) {
		e.enter(t, last, now)
		return
	}
	t.place = inLater
	e.later.push(t)
	if t.state == retrying {
		e.show(t, showRetrying)
	} else {
		e.show(t, showScheduled)
	}
	if t.pos == 0 {
		e.setAlarm(t.due, now)
	}
}

// enter makes a task that is due wait for a worker.
func (e *Engine) enter(t *task, last bool, now time.Time) {
	g := e.lanes.group(t.msg.Queue, t.msg.Name, e.serves)
	if t.msg.Limits != nil && len(g.serves) > 0 && !e.admitAll(t) {
		return
	}
	if last {
		g.push(t)
	} else {
		g.insert(t)
	}
	e.ready.Add(1)
	if t.state == retrying {
		e.show(t, showRetrying)
	} else {
		e.show(t, showPending)
	}
	if g.parkFor > 0 {
		if now.IsZero() {
			now = e.now()
		}
		e.setAlarm(t.due.Add(g.parkFor), now)
	} else {
		e.wakes.add(g.summon())
	}
}

// dequeue takes a waiting task out of its place.
func (e *Engine) dequeue(t *task) {
	if t.place == inGate {
		t.more.gate.waiting.remove(int(t.pos))
		t.more.gate.settle(e)
		t.more.gate, t.place = nil, nowhere
		return
	}
	if t.place == inLater {
		e.later.remove(int(t.pos))
		t.place = nowhere
		return
	}
	t.group.remove(t)
	e.ready.Add(-1)
}
