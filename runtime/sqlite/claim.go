package sqlite

import (
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// claimOp takes due tasks for a worker, up to its free slots. It is applied at
// the end of a transaction, after the operations that made tasks due or slots
// free.
type claimOp struct {
	s   *server
	got []*delivery
	bad []badTask
	err error // of a look at the limits of a task
}

// badTask is a due task that the worker cannot run.
type badTask struct {
	seq, due, keepFailed int64
	queue, name          string
	limit                string // the rule that has no place for it
	aside                int    // the state in which it waits for one
	err                  error  // nil if its name is not known
}

// maxParks bounds the tasks of unknown names that one transaction sets aside.
const maxParks = 1000

func (c *claimOp) apply(t *txn) error {
	s := c.s
	if time.Since(s.lastBeat) > t.lease/2 {
		// The worker may be lost to the others meanwhile: look before taking
		// more.
		if alive, err := s.beat(t); err != nil || !alive {
			t.plan.beat = time.Time{}
			return err
		}
	}
	room := s.w.Slots - s.taken()
	if err := errors.Join(c.collect(t, room), c.err); err != nil {
		return err
	}
	for _, b := range c.bad {
		if err := c.setAside(t, b); err != nil {
			return err
		}
	}
	for _, d := range c.got {
		s.claims++
		d.lease, d.started = s.id<<leaseBits|s.claims, t.now
	}
	single := s.single
	for ds := range runsOf(c.got) {
		for n := len(ds); len(ds) > 0; ds = ds[n:] {
			if single {
				n = 1
			}
			if err := c.claimRun(t, ds[:n]); err != nil {
				return err
			}
		}
	}
	if s.single {
		c.got = slices.DeleteFunc(c.got, func(d *delivery) bool { return d.refused })
		s.single = false
	}
	return nil
}

// runsOf splits deliveries into rows of consecutive tasks with consecutive
// leases. One statement writes such a row, which costs less than one each:
// tasks of a queue are mostly claimed in the order in which they were
// enqueued.
func runsOf(ds []*delivery) iter.Seq[[]*delivery] {
	return func(yield func([]*delivery) bool) {
		for len(ds) > 0 {
			n := 1
			for n < len(ds) && ds[n].seq == ds[n-1].seq+1 && ds[n].lease == ds[n-1].lease+1 {
				n++
			}
			if !yield(ds[:n]) {
				return
			}
			ds = ds[n:]
		}
	}
}

func (c *claimOp) settle(_ *txn, err error) {
	if err != nil {
		c.s.offerAll()
		return
	}
	for _, d := range c.got {
		c.s.dispatch(d)
	}
}

// take reads the first task of an open source.
func (c *claimOp) take(t *txn, src *source) {
	s, st := c.s, src.st
	if t.distrusts(st.Int(0)) {
		return
	}
	if src.name == "" {
		if name := s.names.get(st.View(10)); !s.w.Knows(name) || t.paused.name(name) {
			c.bad = append(c.bad, badTask{seq: st.Int(0), due: src.due, queue: src.queue, name: name})
			return
		}
	}
	d := &delivery{s: s}
	d.row.msg = &d.msg
	if err := scanRow(st, s.names, &d.row); err != nil {
		c.bad = append(c.bad, badTask{seq: st.Int(0), keepFailed: st.Int(21), err: err})
		return
	}
	if d.msg.Limits != nil {
		n, err := t.admit(&d.row)
		if err != nil {
			c.err = err
			return
		}
		if n >= 0 {
			c.bad = append(c.bad, badTask{seq: d.seq, limit: d.msg.Limits[n].Rule, aside: asideFor(d.state, d.attempt)})
			return
		}
	}
	d.Delivery.Message, d.Delivery.Attempt, d.Delivery.Memo = &d.msg, d.attempt, d
	c.got = append(c.got, d)
}

// endWaiting ends a task that does not run as failed or cancelled.
func (t *txn) endWaiting(seq int64, state int, reason string, keepFailed int64) error {
	keepFailed = t.keepBadFor(keepFailed)
	st := t.db.endWaiting
	st.BindInt(1, int64(state))
	st.BindInt(2, t.now)
	st.BindText(3, clean(reason))
	st.BindInt(4, keepFailed)
	st.BindInt(5, seq)
	t.end(seq, keepFailed)
	if err := t.runFor(seq, st); err != nil {
		return err
	}
	return t.leavePlaces(seq)
}

var _ engine.Memo = (*delivery)(nil)
