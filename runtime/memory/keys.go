package memory

import (
	"container/heap"
	"time"

	"github.com/google/uuid"
)

// keySet are the unique keys that are held, until their time ends.
type keySet struct {
	limit int
	held  map[string]*keyHold
	byEnd keyHeap
}

type keyHold struct {
	key   string
	id    uuid.UUID
	until time.Time
	pos   int
}

// holder returns the id of the task that holds the key.
func (s *keySet) holder(key string, now time.Time) (uuid.UUID, bool) {
	for len(s.byEnd) > 0 && !s.byEnd[0].until.After(now) {
		s.drop(s.byEnd[0])
	}
	if h := s.held[key]; h != nil {
		return h.id, true
	}
	return uuid.Nil, false
}

func (s *keySet) full() bool { return len(s.byEnd) >= s.limit }

func (s *keySet) hold(key string, id uuid.UUID, until time.Time) {
	if s.held == nil {
		s.held = make(map[string]*keyHold)
	}
	h := &keyHold{key: key, id: id, until: until}
	s.held[key] = h
	heap.Push(&s.byEnd, h)
}

// release lets go of the key if the task with the id holds it.
func (s *keySet) release(key string, id uuid.UUID) {
	if h := s.held[key]; h != nil && h.id == id {
		s.drop(h)
	}
}

func (s *keySet) drop(h *keyHold) {
	heap.Remove(&s.byEnd, h.pos)
	delete(s.held, h.key)
}

// keyHeap implements heap.Interface by the end of the holds.
type keyHeap []*keyHold

func (h keyHeap) Len() int           { return len(h) }
func (h keyHeap) Less(i, j int) bool { return h[i].until.Before(h[j].until) }
func (h keyHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}

// Push implements heap.Interface.
func (h *keyHeap) Push(x any) {
	k := x.(*keyHold)
	k.pos = len(*h)
	*h = append(*h, k)
}

// Pop implements heap.Interface.
func (h *keyHeap) Pop() any {
	old := *h
	k := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return k
}
