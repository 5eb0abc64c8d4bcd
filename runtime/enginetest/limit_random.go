package enginetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// mixed is a test that does anything to tasks with limits, in any order.
type mixed struct {
	*bench
	name  string
	rules []string
	most  map[string]int

	mu      sync.Mutex
	running map[string]int
	over    []string
	ids     []uuid.UUID
}

// testLimitRandom: whatever is done to tasks with limits and in order while they wait and
// run, never more of a key run than may, each ends, and nothing is left of their places.
func testLimitRandom(b *bench) {
	l := b.limiter(b.e)
	m := &mixed{bench: b, name: b.own("task.mixed"), most: make(map[string]int), running: make(map[string]int)}
	for range 2 {
		b.auto([]string{m.name}, m.run, slots(5))
	}
	seed := uint64(time.Now().UnixNano())
	b.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range b.o.Tasks {
		m.step(r, l)
	}
	for _, rule := range m.rules {
		if err := l.SetLimit(b.ctx(), rule, -1); err != nil {
			b.Fatalf("SetLimit: %v", err)
		}
	}
	b.poll("all tasks have ended", func() bool {
		for i, id := range m.ids {
			if en, err := b.e.Get(b.ctx(), id); err == nil && !en.State.Final() {
				m.ids = m.ids[i:]
				return false
			}
		}
		return true
	})
	b.poll("nothing is left of their places", func() bool {
		cs, err := l.Limits(b.ctx())
		if err != nil {
			b.Fatalf("Limits: %v", err)
		}
		for _, c := range cs {
			if m.most[c.Rule] > 0 {
				return false
			}
		}
		return true
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range m.over {
		b.Errorf("%s", o)
	}
}

// run is a task of any end.
func (m *mixed) run(_ context.Context, d *engine.Delivery) engine.Outcome {
	m.count(d, 1)
	defer m.count(d, -1)
	time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
	switch n := rand.IntN(10); {
	case n < 2 && d.Attempt < 3:
		return engine.Outcome{Kind: engine.OutcomeRetry, Reason: "again", After: time.Duration(rand.IntN(20)) * time.Millisecond}
	case n == 2:
		return engine.Outcome{Kind: engine.OutcomeDelay, After: time.Duration(rand.IntN(20)) * time.Millisecond}
	case n == 3:
		return engine.Outcome{Kind: engine.OutcomeFail, Reason: "no"}
	}
	return engine.Outcome{Kind: engine.OutcomeSucceed}
}

func (m *mixed) count(d *engine.Delivery, by int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range d.Message.Limits {
		if m.running[l.Key] += by; by > 0 && m.running[l.Key] > m.most[l.Key] {
			m.over = append(m.over, fmt.Sprintf("%d tasks of %q ran, of at most %d", m.running[l.Key], l.Key, m.most[l.Key]))
		}
	}
}

// rule is a limit by one of some keys.
func (m *mixed) rule(r *rand.Rand, kind string, most int) func(*engine.Message) {
	edit := m.limit(fmt.Sprint(kind, r.IntN(3)), most)
	if kind == "order" {
		edit = m.inOrder(fmt.Sprint(kind, r.IntN(3)))
	}
	var made engine.Message
	edit(&made)
	key := made.Limits[0].Key
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.most[key] == 0 {
		m.most[key], m.rules = most, append(m.rules, key)
	}
	return edit
}

// step enqueues a task, or does something to one or to all.
func (m *mixed) step(r *rand.Rand, l engine.Limiter) {
	m.Helper()
	var err error
	some := func() uuid.UUID { return m.ids[r.IntN(len(m.ids))] }
	switch n := r.IntN(20); {
	case n < 12 || len(m.ids) == 0:
		var edits []func(*engine.Message)
		if r.IntN(3) == 0 {
			edits = append(edits, m.rule(r, "order", 1))
		}
		edits = append(edits, m.rule(r, "narrow", 1), m.rule(r, "wide", 3))
		if r.IntN(4) == 0 {
			edits = append(edits, dueIn(time.Duration(r.IntN(30))*time.Millisecond))
		}
		m.ids = append(m.ids, m.insert(m.name, edits...))
	case n < 14:
		err = m.e.Cancel(m.ctx(), some(), "by hand")
	case n < 15:
		err = m.e.Delete(m.ctx(), some())
	case n < 17:
		err = m.e.Retry(m.ctx(), some())
	case n < 19:
		rule := m.rules[r.IntN(len(m.rules))]
		err = l.SetLimit(m.ctx(), rule, r.IntN(m.most[rule]+2)-1)
	default:
		if p, ok := engine.As[engine.Pauser](m.e); ok {
			pause := engine.Pause{Name: m.name}
			if r.IntN(2) == 0 {
				pause = engine.Pause{Queue: m.queue}
			}
			err = errors.Join(p.Pause(m.ctx(), pause), p.Resume(m.ctx(), pause))
		}
	}
	if err != nil && !errors.Is(err, engine.ErrNotFound) && !errors.Is(err, engine.ErrState) && !errors.Is(err, engine.ErrRunning) {
		m.Fatalf("an operation on tasks with limits: %v", err)
	}
}
