package memory

import (
	goruntime "runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/taskctx/taskctx/runtime/engine"
)

// inbox takes new tasks that may run at once without the engine's lock, so
// that enqueuers and workers do not wait for each other. The next holder of
// that lock takes them in, in the order of their arrival.
type inbox struct {
	lanes  atomic.Pointer[[]laneKey] // lanes whose tasks it takes; changed under Engine.mu
	summon atomic.Bool               // a sleeping worker should look; changed under Engine.mu
	n      atomic.Int32              // messages in it; changed under mu

	mu    sync.Mutex // guards fresh
	fresh []*engine.Message

	empty []*engine.Message // to take the place of fresh; guarded by Engine.mu
}

// maxInboxLanes bounds the lanes of the inbox, which are looked at one by one.
const maxInboxLanes = 16

// open makes the inbox take the tasks of a lane that some worker can run.
func (b *inbox) open(l laneKey) {
	var lanes []laneKey
	if p := b.lanes.Load(); p != nil {
		lanes = *p
	}
	if len(lanes) < maxInboxLanes && !slices.Contains(lanes, l) {
		lanes = append(slices.Clip(lanes), l)
		b.lanes.Store(&lanes)
	}
}

// shut makes the inbox take nothing until it is opened again.
func (b *inbox) shut() { b.lanes.Store(nil) }

// takes reports whether the message may go through the inbox.
func (b *inbox) takes(m *engine.Message) bool {
	p := b.lanes.Load()
	if p == nil || m.Key != "" || !m.Due.IsZero() || m.Limits != nil {
		return false
	}
	for i := range *p {
		if l := &(*p)[i]; l.name == m.Name && l.queue == m.Queue {
			return true
		}
	}
	return false
}

func (b *inbox) put(m *engine.Message) {
	b.mu.Lock()
	b.fresh = append(b.fresh, m)
	b.n.Store(int32(len(b.fresh)))
	b.mu.Unlock()
}

// maxInboxKept bounds the memory of an empty inbox, in messages.
const maxInboxKept = 4096

// take empties the inbox. The slice is valid until the next call.
func (b *inbox) take() []*engine.Message {
	b.mu.Lock()
	ms := b.fresh
	b.fresh = b.empty[:0]
	b.n.Store(0)
	b.mu.Unlock()
	b.empty = ms
	if cap(ms) > maxInboxKept {
		b.empty = nil
	}
	return ms
}

// lock takes the engine's lock, and takes in the tasks of the inbox.
func (e *Engine) lock() {
	e.mu.Lock()
	if e.inbox.n.Load() > 0 {
		e.takeIn()
	}
}

// lockSoon is lock for frequent callers: they yield to others rather than
// sleep and be woken, which costs more than a task.
func (e *Engine) lockSoon() {
	for range spins {
		if e.mu.TryLock() {
			if e.inbox.n.Load() > 0 {
				e.takeIn()
			}
			return
		}
		goruntime.Gosched()
	}
	e.lock()
}

// unlock frees the lock, and wakes the workers that should be woken.
func (e *Engine) unlock() {
	// A caller that puts a message into the inbox looks at summon afterwards.
	// So once summon is set, this finds any earlier message.
	for {
		summon := e.sleepy()
		if e.inbox.summon.Load() != summon {
			e.inbox.summon.Store(summon)
		}
		if !summon || e.inbox.n.Load() == 0 {
			break
		}
		e.takeIn()
	}
	wakes := e.wakes
	if wakes.one != nil {
		e.wakes = wakeList{}
	}
	e.mu.Unlock()
	wakes.do()
}

// sleepy reports whether a worker could run one more task but is not looking
// for one: it must then be woken.
func (e *Engine) sleepy() bool {
	for _, s := range e.serves {
		if !s.stopping && s.searching == 0 && (len(s.idle) > 0 || len(s.hands) < s.w.Slots) {
			return true
		}
	}
	return false
}

// takeIn stores the messages of the inbox.
func (e *Engine) takeIn() {
	ms := e.inbox.take()
	if !e.closed {
		for _, m := range ms {
			if in, err := e.store(e.newTask(m)); err != nil || in.Existing {
				e.leave(1) // it was counted when it came
			}
		}
	}
	clear(ms)
}
