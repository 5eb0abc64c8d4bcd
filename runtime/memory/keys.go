package memory

import (
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// keySet is the unique keys that are held. A task lets go of its key as it
// begins, ends or is forgotten, by its KeyHold; see Engine.letGo. A key whose
// time ends is let go of later, in lots.
type keySet struct {
	limit int
	held  map[string]*keyHold
	byEnd keyHeap // those that are held for a time
}

type keyHold struct {
	key   string
	id    uuid.UUID
	until time.Time // zero for one that is not held for a time
	pos   int       // in byEnd
}

// keyed reports whether the task of the message is to hold its key.
func keyed(m *engine.Message) bool {
	return m.Key != "" && (m.KeyFor > 0 || m.KeyHold == engine.HoldActive || m.KeyHold == engine.HoldWaiting)
}

// timed reports whether a key is held for a time.
func timed(h engine.KeyHold) bool { return h != engine.HoldActive && h != engine.HoldWaiting }

// holder returns the hold of the key, nil if it is free.
func (s *keySet) holder(key string, now time.Time) *keyHold {
	h := s.held[key]
	if h == nil || !h.until.IsZero() && !h.until.After(now) {
		return nil
	}
	return h
}

// holds reports whether the task holds its key.
func (s *keySet) holds(t *task, now time.Time) bool {
	h := s.holder(t.msg.Key, now)
	return h != nil && h.id == t.id
}

func (s *keySet) full() bool { return len(s.held) >= s.limit }

// hold gives a free key to the task with the id.
func (s *keySet) hold(key string, id uuid.UUID, until time.Time) {
	if s.held == nil {
		s.held = make(map[string]*keyHold)
	}
	h := &keyHold{key: key, id: id, until: until}
	s.held[key] = h
	if !until.IsZero() {
		s.byEnd.push(h)
	}
}

// release lets go of the key if the task with the id holds it.
func (s *keySet) release(key string, id uuid.UUID) {
	if h := s.held[key]; h != nil && h.id == id {
		s.drop(h)
	}
}

func (s *keySet) drop(h *keyHold) {
	if !h.until.IsZero() {
		s.byEnd.remove(h.pos)
	}
	delete(s.held, h.key)
}

// over returns a hold whose time has ended, nil if there is none.
func (s *keySet) over(now time.Time) *keyHold {
	if h := s.byEnd.top(); h != nil && !h.until.After(now) {
		return h
	}
	return nil
}

// maxKeysOver is how many keys are let go of at once when their time has
// ended.
const maxKeysOver = 64

// keyFree reports whether no task holds the key, and lets go of some keys
// whose time has ended. Otherwise it returns the hold.
func (e *Engine) keyFree(key string, now time.Time) (*keyHold, bool) {
	for range maxKeysOver {
		h := e.keys.over(now)
		if h == nil {
			break
		}
		e.keyOver(h)
	}
	if h := e.keys.holder(key, now); h != nil {
		return h, false
	}
	if h := e.keys.held[key]; h != nil {
		e.keyOver(h)
	}
	return nil, true
}

// keyOver lets go of a key whose time has ended. The record of its task now
// stays as long as any other.
func (e *Engine) keyOver(h *keyHold) {
	e.keys.drop(h)
	if t := e.tasks.get(h.id); t != nil && t.place == inHeld {
		e.held.remove(t)
		t.place = inEnded
		e.ended.push(t)
	}
}

// take gives the task its key, which is free. until is the end of the key's
// time, if it is held for one.
func (e *Engine) take(t *task, until time.Time) {
	if !timed(t.msg.KeyHold) {
		until = time.Time{}
	}
	e.keys.hold(t.msg.Key, t.id, until)
	t.holds = true
}

// letGo lets go of the key of a task that changes to the state, or is to be
// forgotten.
func (e *Engine) letGo(t *task, s state, forgotten bool) {
	var free bool
	switch t.msg.KeyHold {
	case engine.HoldActive:
		free = s.final() || forgotten
	case engine.HoldWaiting:
		free = s == running || s.final() || forgotten
	case engine.HoldTick:
	default:
		free = s == failed || s == cancelled || forgotten
	}
	if free {
		e.dropKey(t)
	}
}

// dropKey takes the task's key from it.
func (e *Engine) dropKey(t *task) {
	t.holds = false
	if h := e.keys.held[t.msg.Key]; h != nil && h.id == t.id {
		if timed(t.msg.KeyHold) {
			t.extra().keyUntil = h.until // for a retry by hand
		}
		e.keys.drop(h)
	}
}

// takeAgain gives a task that is to be retried its key again, if it would
// still hold it. If another task has the key by now, it returns that hold.
func (e *Engine) takeAgain(t *task, now time.Time) *keyHold {
	m := t.msg
	if m.KeyHold == engine.HoldTick || !keyed(m) || m.KeyHold.Free(engine.StatePending, t.begun, t.more.keyUntil, now) {
		return nil
	}
	h, free := e.keyFree(m.Key, now)
	if free {
		e.take(t, t.more.keyUntil)
	}
	return h
}

// keyHeap is a heap by the end of the holds.
type keyHeap = heap[*keyHold, byEnd]

type byEnd struct{}

func (byEnd) before(h, o *keyHold) bool { return h.until.Before(o.until) }
func (byEnd) at(h *keyHold, pos int)    { h.pos = pos }
