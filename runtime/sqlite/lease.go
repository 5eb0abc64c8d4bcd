package sqlite

import (
	"fmt"
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// beatsPerLease is how often in a lease a worker beats and looks at its peers.
const beatsPerLease = 5

// peer is a worker of another process, as seen from this one. No clock is
// compared between processes: a peer is lost when its beat does not change
// while this process makes beats of its own for as long as the peer's lease.
// So neither a step of the clock nor a lock that keeps all processes waiting
// takes a task from a worker that lives.
type peer struct {
	name   string
	lease  time.Duration
	beat   int64
	silent time.Duration // how long the beat was seen unchanged
	seen   time.Time
}

// beatOp beats for this process's workers, and looks at their peers.
type beatOp struct {
	e    *Engine
	at   time.Time
	lost []*server // workers whose tasks were taken over by others
	seen map[int64]*peer
}

func (b *beatOp) apply(t *txn) error {
	b.lost, b.seen = nil, make(map[int64]*peer)
	for _, s := range t.servers {
		alive, err := s.beat(t)
		if err != nil {
			return err
		}
		if !alive {
			b.lost = append(b.lost, s)
			if err := s.addRow(t); err != nil {
				return err
			}
		}
	}
	if err := b.observe(t); err != nil {
		return err
	}
	for id, p := range b.seen {
		if p.silent >= p.lease {
			if err := t.takeOver(id, p.name); err != nil {
				return err
			}
			delete(b.seen, id)
		}
	}
	return nil
}

func (b *beatOp) settle(_ *txn, err error) {
	if err != nil {
		if !fatal(err) {
			b.e.plan.beat = time.Now().Add(b.e.lease / beatsPerLease / 4)
		}
		return
	}
	b.e.peers = b.seen
	for _, s := range b.lost {
		for lease, d := range s.running {
			if lease>>leaseBits == s.id {
				continue // claimed since, under the new row
			}
			d.Stop(engine.ErrLeaseLost)
			delete(s.running, lease)
		}
		s.offerAll()
		s.checkDrained()
	}
}

// beat changes the worker's row. It reports whether the worker still has it.
func (s *server) beat(t *txn) (bool, error) {
	t.db.beat.BindInt(1, s.id)
	t.db.beat.BindInt(2, t.now)
	if err := t.db.beat.Run(); err != nil {
		return false, err
	}
	if t.db.c.Changes() == 0 {
		return false, nil
	}
	s.lastBeat = time.Now()
	return true, nil
}

// observe reads the beats of peers into b.seen.
func (b *beatOp) observe(t *txn) error {
	st := t.db.otherWorkers
	return st.Each(func() bool {
		id, beat := st.Int(0), st.Int(1)
		if slices.ContainsFunc(t.servers, func(s *server) bool { return s.id == id }) {
			return true
		}
		p := &peer{beat: beat, lease: time.Duration(st.Int(2)), name: st.Text(3), seen: b.at}
		if old := t.peers[id]; old != nil {
			if old.beat == beat {
				// A pause of this process is not one of the peer's.
				p.silent = old.silent + min(b.at.Sub(old.seen), 2*t.lease/beatsPerLease)
			}
		}
		b.seen[id] = p
		return true
	})
}

// takeOver makes a lost worker's tasks due again, for one attempt more.
func (t *txn) takeOver(id int64, name string) error {
	type task struct {
		seq, attempt, keepFailed int64
		lease                    int64
	}
	var tasks []task
	st := t.db.running
	st.BindInt(1, id<<leaseBits)
	st.BindInt(2, (id+1)<<leaseBits)
	if err := st.Each(func() bool {
		tasks = append(tasks, task{seq: st.Int(0), lease: st.Int(1), attempt: st.Int(2), keepFailed: st.Int(3)})
		return true
	}); err != nil {
		return err
	}
	for _, k := range tasks {
		stop, err := t.stopOf(k.seq)
		if err != nil {
			return err
		}
		st := t.db.lost
		st.BindInt(1, dueAgain)
		st.BindInt(2, 1)
		st.BindInt(3, never)
		st.BindText(4, fmt.Sprintf("worker %s was lost while it ran the task", name))
		st.BindInt(5, k.keepFailed)
		if stop != nil {
			k.keepFailed = t.keepBadFor(k.keepFailed)
			st.BindInt(1, cancelled)
			st.BindInt(2, 0)
			st.BindInt(3, t.now)
			st.BindText(4, *stop)
			st.BindInt(5, k.keepFailed)
			t.end(k.seq, k.keepFailed)
			t.aside = true
			if err := t.dropStop(k.seq); err != nil {
				return err
			}
		}
		st.BindInt(6, k.seq)
		if err := t.runFor(k.seq, st); err != nil {
			return err
		}
		if err := t.leavePlaces(k.seq); err != nil {
			return err
		}
		if stop != nil {
			if err := t.endedAt(k.seq, cancelled, *stop); err != nil {
				return err
			}
		}
	}
	t.offerAll()
	if len(tasks) > 0 {
		t.warn("a worker was lost, and its tasks run again", "worker", name, "tasks", len(tasks))
	}
	t.db.endWorker.BindInt(1, t.now)
	t.db.endWorker.BindInt(2, id)
	return t.db.endWorker.Run()
}

func (t *txn) offerAll() {
	for _, s := range t.servers {
		s.offerAll()
	}
}

// takeOverStrays takes over running tasks whose worker is unknown: somebody
// changed the file by hand.
func (t *txn) takeOverStrays() error {
	var ids []int64
	st := t.db.strays
	if err := st.Each(func() bool {
		ids = append(ids, st.Int(0))
		return true
	}); err != nil {
		return err
	}
	for _, id := range ids {
		if err := t.takeOver(id, "unknown"); err != nil {
			return err
		}
	}
	return nil
}

// obeyStops stops running tasks that another process cancelled, and drops
// requests that came too late.
func (t *txn) obeyStops() error {
	type stop struct {
		seq, lease int64
		state      int
		reason     string
	}
	var stops []stop
	st := t.db.stops
	if err := st.Each(func() bool {
		stops = append(stops, stop{seq: st.Int(0), reason: st.Text(1), state: int(st.Int(2)), lease: st.Int(3)})
		return true
	}); err != nil {
		return err
	}
	for _, p := range stops {
		if p.state != running {
			if err := t.dropStop(p.seq); err != nil {
				return err
			}
			continue
		}
		t.stop(p.lease, p.reason)
	}
	return nil
}

// stop stops the run with the lease, if this process runs it.
func (e *Engine) stop(lease int64, reason string) {
	for _, s := range e.servers {
		if d := s.running[lease]; d != nil {
			d.stopped = true
			d.Stop(engine.CancelCause(reason))
		}
	}
}
