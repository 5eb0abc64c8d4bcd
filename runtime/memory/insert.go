package memory

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
)

// Insert implements [runtime.Inserter]: all messages are stored, or none.
func (e *Engine) Insert(ctx context.Context, ms []*runtime.Message) ([]runtime.Inserted, error) {
	ts := make([]*task, len(ms))
	for i, m := range ms {
		t, err := e.newTask(m)
		if err != nil {
			return nil, err
		}
		ts[i] = t
	}
	ins := make([]runtime.Inserted, len(ms))
	e.mu.Lock()
	if err := e.admit(ctx, len(ts)); err != nil {
		e.mu.Unlock()
		return nil, err
	}
	var wakes wakeList
	for i, t := range ts {
		in, err := e.store(t, &wakes)
		if err != nil {
			e.unstore(ts[:i], ins[:i])
			e.mu.Unlock()
			return nil, err
		}
		ins[i] = in
	}
	e.admitWaiting() // there is room left if a key was held
	e.mu.Unlock()
	wakes.do()
	return ins, nil
}

// InsertOne implements [runtime.SingleInserter].
func (e *Engine) InsertOne(ctx context.Context, m *runtime.Message) (runtime.Inserted, error) {
	t, err := e.newTask(m)
	if err != nil {
		return runtime.Inserted{}, err
	}
	e.mu.Lock()
	if err := e.admit(ctx, 1); err != nil {
		e.mu.Unlock()
		return runtime.Inserted{}, err
	}
	var wakes wakeList
	in, err := e.store(t, &wakes)
	e.admitWaiting() // there is room left if a key was held
	e.mu.Unlock()
	wakes.do()
	return in, err
}

// newTask makes the task of a message, with an id if the message has none.
func (e *Engine) newTask(m *runtime.Message) (*task, error) {
	if err := e.Check(m); err != nil {
		return nil, err
	}
	if m.Meta.ID == uuid.Nil {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("make an id for %s: %w", m.Name, err)
		}
		own := *m
		own.Meta.ID = id
		m = &own
	}
	t := &task{e: e, msg: m, id: m.Meta.ID, due: m.Due, started: noTime}
	if t.due.IsZero() {
		t.due = m.Meta.EnqueuedAt
	}
	return t, nil
}

// store adds the task, unless its key is held or its id is known.
func (e *Engine) store(t *task, wakes *wakeList) (runtime.Inserted, error) {
	keyed := t.msg.Key != "" && t.msg.KeyFor > 0
	immediate := t.msg.Due.IsZero()
	var now time.Time
	if keyed || !immediate || t.due.IsZero() {
		now = e.now()
	}
	if t.due.IsZero() {
		t.due = now
	}
	if keyed {
		if id, held := e.keys.holder(t.msg.Key, now); held {
			return runtime.Inserted{ID: id, Existing: true}, nil
		}
		if e.keys.full() {
			return runtime.Inserted{}, fmt.Errorf("%d unique keys are held: %w", e.keys.limit, runtime.ErrQueueFull)
		}
	}
	if e.tasks.put(t) != nil { // the same message again
		return runtime.Inserted{ID: t.id, Existing: true}, nil
	}
	if keyed {
		e.keys.hold(t.msg.Key, t.id, now.Add(t.msg.KeyFor))
	}
	e.seq++
	t.seq = e.seq
	e.live++
	e.queue(t, immediate, now, wakes)
	return runtime.Inserted{ID: t.id}, nil
}

// unstore takes back the tasks of a batch that cannot be stored whole.
func (e *Engine) unstore(ts []*task, ins []runtime.Inserted) {
	for i, t := range ts {
		if !ins[i].Existing {
			e.dequeue(t)
			e.live--
			e.forget(t)
			e.keys.release(t.msg.Key, t.id)
		}
	}
	e.admitWaiting()
}

// queue makes a task wait for its time, or for a worker. With last, it is due,
// and comes after all others of its kind.
func (e *Engine) queue(t *task, last bool, now time.Time, wakes *wakeList) {
	if last || !t.due.After(now) {
		e.enter(t, last, now, wakes)
		return
	}
	t.place = inLater
	e.later.push(t)
	if t.pos == 0 {
		e.setAlarm(t.due, now)
	}
}

// enter makes a task that is due wait for a worker.
func (e *Engine) enter(t *task, last bool, now time.Time, wakes *wakeList) {
	g := e.lanes.group(t.msg.Queue, t.msg.Name, e.serves)
	if last {
		g.push(t)
	} else {
		g.insert(t)
	}
	e.ready.Add(1)
	if g.parkFor > 0 {
		if now.IsZero() {
			now = e.now()
		}
		e.setAlarm(t.due.Add(g.parkFor), now)
	} else {
		wakes.add(g.summon())
	}
}

// dequeue takes a waiting task out of where it waits.
func (e *Engine) dequeue(t *task) {
	if t.place == inLater {
		e.later.remove(t)
		t.place = nowhere
		return
	}
	t.group.remove(t)
	e.ready.Add(-1)
}

// admit waits until there is room for n more tasks, if it may. It is called
// with the lock held and returns with it.
func (e *Engine) admit(ctx context.Context, n int) error {
	switch {
	case e.closed:
		return runtime.ErrClosed
	case e.live+n <= e.capacity && len(e.room) == 0:
		return nil
	case !e.wait || n > e.capacity:
		return fmt.Errorf("%d tasks wait or run, at most %d may: %w", e.live, e.capacity, runtime.ErrQueueFull)
	}
	if _, inside := runtime.FromContext(ctx); inside {
		return fmt.Errorf("waiting for room inside a task: %w", runtime.ErrQueueFull)
	}
	c := &claim{n: n, ready: make(chan struct{})}
	e.room = append(e.room, c)
	e.mu.Unlock()
	select {
	case <-c.ready:
	case <-ctx.Done():
	}
	e.mu.Lock()
	switch {
	case e.closed:
		return runtime.ErrClosed
	case c.granted:
		e.live -= n // it was counted when it was granted
		return nil
	}
	e.room.drop(c)
	e.admitWaiting() // it may have stood in the way of a smaller one
	return fmt.Errorf("wait for room: %w", context.Cause(ctx))
}

// claim is an insert that waits for room.
type claim struct {
	n       int
	granted bool
	ready   chan struct{}
}

// roomQueue are the claims in order of arrival.
type roomQueue []*claim

func (q *roomQueue) drop(c *claim) {
	for i, o := range *q {
		if o == c {
			*q = append((*q)[:i], (*q)[i+1:]...)
			return
		}
	}
}

func (q *roomQueue) wakeAll() {
	for _, c := range *q {
		close(c.ready)
	}
	*q = nil
}

// admitWaiting grants the room that there is to those who wait for it.
func (e *Engine) admitWaiting() {
	for len(e.room) > 0 && e.live+e.room[0].n <= e.capacity {
		c := e.room[0]
		e.room[0] = nil
		e.room = e.room[1:]
		e.live += c.n
		c.granted = true
		close(c.ready)
	}
}
