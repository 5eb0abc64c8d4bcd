package sqlite

import (
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// claimOp takes due tasks for a worker, as many as it has room for. It is
// applied at the end of a transaction, after whatever made tasks due or slots
// free.
type claimOp struct {
	s   *server
	got []*delivery
	bad []badTask
}

// badTask is a due task that the worker cannot run.
type badTask struct {
	seq, due, keepFailed int64
	queue, name          string
	err                  error // nil if its name is not known
}

// maxParks bounds the tasks of unknown names that one transaction sets aside.
const maxParks = 1000

func (c *claimOp) apply(t *txn) error {
	s := c.s
	if time.Since(s.lastBeat) > t.lease/2 {
		// It may have been taken for dead meanwhile: look before taking more.
		if alive, err := s.beat(t); err != nil || !alive {
			t.plan.beat = time.Time{}
			return err
		}
	}
	room := s.w.Slots - s.taken()
	if err := c.collect(t, room); err != nil {
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
	st := t.db.claim
	for ds := range runsOf(c.got) {
		st.BindInt(1, ds[0].lease-ds[0].seq)
		st.BindInt(2, t.now)
		st.BindInt(3, ds[0].seq)
		st.BindInt(4, ds[len(ds)-1].seq)
		if err := st.Run(); err != nil {
			return err
		}
	}
	return nil
}

// runsOf splits deliveries where the tasks or the leases do not follow one
// another. One statement writes such a run, which costs less than one each:
// tasks of a queue are mostly claimed in the order in which they were enqueued.
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
		for _, src := range c.s.sources {
			src.more = true
		}
		return
	}
	for _, d := range c.got {
		c.s.dispatch(d)
	}
}

// cursor is a source that is being read.
type cursor struct {
	src      *source
	st       *lite.Stmt
	priority int
	due      int64
}

// step reads the next task of the source. It reports whether there is one.
func (c *cursor) step() (bool, error) {
	ok, err := c.st.Step()
	if !ok || err != nil {
		c.src.more = false
		return false, err
	}
	c.priority, c.due = int(c.st.Int(4)), c.st.Int(5)
	return true, nil
}

// collect reads due tasks in the order in which they are to run: of a queue by
// priority, and of several queues the one that has been due longest.
func (c *claimOp) collect(t *txn, room int) (err error) {
	var few [4]cursor
	cursors := few[:0]
	defer func() {
		for i := range cursors {
			cursors[i].st.Reset()
		}
	}()
	for _, src := range c.s.sources {
		if !src.more {
			continue
		}
		st, err := t.db.source(src.queue, src.name)
		if err != nil {
			return err
		}
		cursors = append(cursors, cursor{src: src, st: st})
	}
	for i := 0; i < len(cursors); {
		ok, err := cursors[i].step()
		if err != nil {
			return err
		}
		if !ok {
			cursors = drop(cursors, i)
			continue
		}
		i++
	}
	for len(c.got) < room && len(c.bad) < maxParks && len(cursors) > 0 {
		i := best(cursors)
		c.take(&cursors[i])
		ok, err := cursors[i].step()
		if err != nil {
			return err
		}
		if !ok {
			cursors = drop(cursors, i)
		}
	}
	return nil
}

func drop(cursors []cursor, i int) []cursor {
	cursors[i].st.Reset()
	last := len(cursors) - 1
	cursors[i] = cursors[last]
	return cursors[:last]
}

// best returns which cursor has the next task.
func best(cursors []cursor) int {
	first := 0
	for i := range cursors {
		if cursors[i].due < cursors[first].due {
			first = i
		}
	}
	queue := cursors[first].src.queue
	for i := range cursors {
		if cursors[i].src.queue == queue && cursors[i].priority > cursors[first].priority {
			first = i
		}
	}
	return first
}

// take reads the task under the cursor.
func (c *claimOp) take(cur *cursor) {
	s, st := c.s, cur.st
	if cur.src.name == "" {
		if name := s.names.get(st.View(10)); !s.w.Knows(name) {
			c.bad = append(c.bad, badTask{seq: st.Int(0), due: cur.due, queue: cur.src.queue, name: name})
			return
		}
	}
	d := &delivery{s: s}
	d.row.msg = &d.msg
	if err := scanRow(st, s.names, &d.row); err != nil {
		c.bad = append(c.bad, badTask{seq: st.Int(0), keepFailed: st.Int(21), err: err})
		return
	}
	d.Delivery.Message, d.Delivery.Attempt, d.Delivery.Memo = &d.msg, d.attempt, d
	c.got = append(c.got, d)
}

// setAside parks a task of an unknown name, where workers that know it find it
// and it is in nobody's way. A task whose row cannot be read has failed.
func (c *claimOp) setAside(t *txn, b badTask) error {
	if b.err != nil {
		t.aside = true
		return t.endWaiting(b.seq, failed, b.err.Error(), b.keepFailed)
	}
	t.db.park.BindText(1, fmt.Sprintf("no worker here knows the task %q", b.name))
	t.db.park.BindInt(2, b.seq)
	t.plan.park.min(add(b.due, c.s.w.ParkFor))
	known := false
	for _, s := range slices.Concat(t.servers, t.join) {
		if s.serves(b.queue) && s.w.Knows(b.name) {
			s.offerParked(b.queue, b.name)
			known = true
		}
	}
	if !known {
		if err := t.tellOfParked(c.s, b); err != nil {
			return err
		}
	}
	return t.db.park.Run()
}

// tellOfParked logs, once for each name, of a task that no worker knows.
func (t *txn) tellOfParked(s *server, b badTask) error {
	if s.told[b.name] {
		return nil
	}
	known, err := t.knownElsewhere(b.name)
	if err != nil || known {
		return err
	}
	if s.told == nil {
		s.told = make(map[string]bool)
	}
	s.told[b.name] = true
	t.warn("a task waits that no worker knows", "task", b.name, "queue", b.queue)
	return nil
}

// offerParked tells the worker that there is a parked task that it can run.
func (s *server) offerParked(queue, name string) {
	for _, src := range s.sources {
		if src.queue == queue && src.name == name {
			src.more = true
			return
		}
	}
	s.sources = append(s.sources, &source{queue: queue, name: name, more: true})
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
	return st.Run()
}

// surveyParked finds out which parked tasks the workers can run, and when the
// first of the others has waited for too long.
func (t *txn) surveyParked(servers []*server) error {
	t.plan.park = never
	for _, s := range servers {
		kept := s.sources[:0]
		for _, src := range s.sources {
			if src.name == "" {
				kept = append(kept, src)
			}
		}
		s.sources = kept
	}
	st := t.db.parkedKinds
	queue, name := "", ""
	for {
		st.BindText(1, queue)
		st.BindText(2, name)
		ok, err := st.Step()
		if ok {
			queue, name = st.Text(0), st.Text(1)
		}
		st.Reset()
		if err != nil || !ok {
			return err
		}
		if err := t.surveyKind(servers, queue, name); err != nil {
			return err
		}
	}
}

// surveyKind looks at the parked tasks of one name in one queue.
func (t *txn) surveyKind(servers []*server, queue, name string) error {
	var parkFor time.Duration
	known := false
	for _, s := range servers {
		if !s.serves(queue) {
			continue
		}
		if s.w.Knows(name) {
			s.offerParked(queue, name)
			known = true
		}
		parkFor = max(parkFor, s.w.ParkFor)
	}
	if known {
		return nil
	}
	if parkFor == 0 {
		return nil
	}
	if known, err := t.knownElsewhere(name); err != nil || known {
		return err
	}
	return t.failParked(queue, name, parkFor)
}

// failParked fails the parked tasks of a name that have waited for too long.
func (t *txn) failParked(queue, name string, parkFor time.Duration) error {
	st := t.db.parkedDue
	st.BindText(1, queue)
	st.BindText(2, name)
	var over []badTask
	if err := st.Each(func() bool {
		if end := add(st.Int(1), parkFor); end > t.now {
			t.plan.park.min(end)
		} else {
			over = append(over, badTask{seq: st.Int(0), keepFailed: st.Int(2)})
		}
		return len(over) < maxParks
	}); err != nil {
		return err
	}
	if len(over) == maxParks {
		t.plan.park.min(t.now)
	}
	if len(over) > 0 {
		t.aside = true
		t.warn("tasks have failed that no worker knew", "task", name, "queue", queue, "tasks", len(over), "waited", parkFor)
	}
	reason := fmt.Sprintf("no worker knew the task %q for %v", name, parkFor)
	for _, b := range over {
		if err := t.endWaiting(b.seq, failed, reason, b.keepFailed); err != nil {
			return err
		}
	}
	return nil
}

var _ runtime.Memo = (*delivery)(nil)
