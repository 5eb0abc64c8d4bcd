package sqlite

import (
	"fmt"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// The states as the file has them of tasks that wait for a limit.
const (
	aside      = 12
	asideAgain = 13
)

// placeStatements are those of limits.
type placeStatements struct {
	add, of, hold, drop            *lite.Stmt
	dropAll, free                  *lite.Stmt
	held, first, any, waits        *lite.Stmt
	most, set, clear, anySet       *lite.Stmt
	task, putAside, letIn, lastSeq *lite.Stmt
	some, stale, nextKey, ready    *lite.Stmt
}

func (p *placeStatements) texts() map[**lite.Stmt]string {
	return map[**lite.Stmt]string{
		&p.add: `INSERT OR REPLACE INTO @places(task, n, key, rule, most, ordered, held, priority, due, turn, per)
			VALUES(?,?,?,?,?,?,?,?,?,?,?)`,
		&p.of:      `SELECT n, key, ordered, held FROM @places WHERE task = ? ORDER BY n DESC`,
		&p.hold:    `UPDATE @places SET held = 1 WHERE task = ? AND n = ?`,
		&p.drop:    `DELETE FROM @places WHERE task = ? AND n = ?`,
		&p.dropAll: `DELETE FROM @places WHERE task = ?`,
		&p.free: `SELECT CASE WHEN EXISTS (SELECT 1 FROM @places INDEXED BY @places_wait WHERE held = 0 AND key = ?1) THEN -1
			ELSE (SELECT count(*) FROM @places INDEXED BY @places_held WHERE held = 1 AND key = ?1) END`,
		&p.held: `SELECT count(*) FROM @places INDEXED BY @places_held WHERE held = 1 AND key = ?`,
		&p.first: `SELECT task, n, rule, most, ordered, per FROM @places INDEXED BY @places_wait
			WHERE held = 0 AND key = ? ORDER BY priority DESC, due, turn LIMIT 1`,
		&p.waits: `SELECT 1 FROM @places INDEXED BY @places_wait WHERE held = 0 AND key = ? LIMIT 1`,
		&p.any: `SELECT 1 WHERE EXISTS (SELECT 1 FROM @places INDEXED BY @places_held WHERE held = 1 AND key = ?1)
			OR EXISTS (SELECT 1 FROM @places INDEXED BY @places_wait WHERE held = 0 AND key = ?1)`,
		&p.most:     `SELECT most FROM @limits WHERE rule = ?`,
		&p.set:      `INSERT OR REPLACE INTO @limits(rule, most) VALUES(?,?)`,
		&p.clear:    `DELETE FROM @limits WHERE rule = ?`,
		&p.anySet:   `SELECT 1 FROM @limits LIMIT 1`,
		&p.task:     `SELECT state, due, queue, name FROM @tasks WHERE seq = ?`,
		&p.putAside: `UPDATE @tasks SET state = ?, reason = ? WHERE seq = ?`,
		&p.letIn:    `UPDATE @tasks SET state = ?, reason = NULL WHERE seq = ?`,
		&p.lastSeq:  `SELECT max(seq) FROM @tasks`,
		&p.some:     `SELECT 1 FROM @places LIMIT 1`,
		&p.stale: `SELECT p.task FROM @places p INDEXED BY @places_held LEFT JOIN @tasks t ON t.seq = p.task
			WHERE p.held = 1 AND (t.seq IS NULL OR t.state BETWEEN 8 AND 10 OR p.ordered = 0 AND t.state IN (5, 6, 7, 11))
			LIMIT 1000`,
		&p.nextKey: `SELECT key, rule FROM @places INDEXED BY @places_wait WHERE held = 0 AND key > ? ORDER BY key LIMIT 1`,
		&p.ready: `SELECT p.task, t.queue, t.name FROM @places p INDEXED BY @places_held JOIN @tasks t ON t.seq = p.task
			WHERE p.held = 1 AND p.ordered = 0 AND t.state <= 3`,
	}
}

// readLimited learns whether the file has places, so that nothing is asked for them
// otherwise.
func (t *txn) readLimited() error {
	_, ok, err := one(t.db.places.some)
	t.limited = ok
	return err
}

// addPlace writes that a task holds a place under its limit n, or waits for it.
func (t *txn) addPlace(seq int64, m *engine.Message, n int, held bool, due, turn int64) error {
	t.limited = true
	l, st := &m.Limits[n], t.db.places.add
	priority := int64(m.Priority)
	if l.Ordered {
		priority, due = 0, 0
	}
	st.BindInt(1, seq)
	st.BindInt(2, int64(n))
	st.BindText(3, l.Key)
	st.BindText(4, l.Rule)
	st.BindInt(5, int64(l.Most))
	st.BindInt(6, flag(l.Ordered))
	st.BindInt(7, flag(held))
	st.BindInt(8, priority)
	st.BindInt(9, due)
	st.BindInt(10, turn)
	st.BindInt(11, int64(l.Per))
	return st.Run()
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// turnOf is the turn of a task that is enqueued; one that is retried by hand comes
// after all that were.
func turnOf(seq int64) int64 { return 2 * seq }

// enter finds the first limit whose place a new task has to wait for, of those that
// it enters with its enqueueing, and -1 if there is none: those that keep an order,
// and for a task that is due one for which others wait already.
func (t *txn) enter(m *engine.Message, due bool) (int, error) {
	for n, l := range m.Limits {
		st := t.db.places.any
		if !l.Ordered {
			if st = t.db.places.waits; !due {
				return -1, nil
			}
		}
		st.BindText(1, l.Key)
		_, taken, err := one(st)
		if err != nil || taken {
			return n, err
		}
		if !l.Ordered {
			return -1, nil
		}
	}
	return -1, nil
}

// entered writes the places of a new task, or of one that is retried by hand: wait
// is what enter returned.
func (t *txn) entered(seq int64, m *engine.Message, wait int, due, turn int64) error {
	for n := range m.Limits {
		if n == wait {
			if err := t.addPlace(seq, m, n, false, due, turn); err != nil {
				return err
			}
			return t.putAside(seq, aside, m.Limits[n].Rule)
		}
		if !m.Limits[n].Ordered {
			break
		}
		if err := t.addPlace(seq, m, n, true, due, turn); err != nil {
			return err
		}
	}
	return nil
}

func (t *txn) putAside(seq int64, state int, rule string) error {
	st := t.db.places.putAside
	st.BindInt(1, int64(state))
	st.BindText(2, "waits for "+clean(rule))
	st.BindInt(3, seq)
	return st.Run()
}

// enterAgain writes the places of a task that is retried by hand.
func (t *txn) enterAgain(r *row) error {
	if err := t.leavePlaces(r.seq); err != nil {
		return err
	}
	wait, err := t.enter(r.msg, true)
	if err != nil {
		return err
	}
	last, _, err := one(t.db.places.lastSeq)
	if err != nil {
		return err
	}
	return t.entered(r.seq, r.msg, wait, t.now, turnOf(last)+1)
}

// letIn gives the free places of a key to the first tasks that wait for them. Such a
// task is ready then, and gets the places that it still lacks when it is claimed.
func (t *txn) letIn(key string) error {
	held := int64(-1)
	for lot := 0; ; lot++ {
		st := t.db.places.first
		st.BindText(1, key)
		ok, err := st.Step()
		if err != nil || !ok {
			st.Reset()
			return err
		}
		seq, n := st.Int(0), st.Int(1)
		w := want{key: key, rule: st.Text(2), most: st.Int(3), ordered: st.Int(4) == 1, per: st.Int(5)}
		st.Reset()
		if w.per > 0 && lot == maxSteps { // the rest once others had the file
			return t.wakeRate(key, w.rule, w.per, t.now)
		}
		if held < 0 { // mostly none waits
			if held, err = t.heldOf(key); err != nil {
				return err
			}
		}
		if room, err := t.room(w, held); err != nil || !room {
			return err
		}
		holds, err := t.letInTask(seq, n, w.ordered)
		if err != nil {
			return err
		}
		if holds {
			held++
		}
	}
}

// letInTask lets in a task that waits for its limit n, and reports whether it holds the
// place.
func (t *txn) letInTask(seq, n int64, ordered bool) (holds bool, err error) {
	st := t.db.places.task
	st.BindInt(1, seq)
	ok, err := st.Step()
	if err != nil {
		st.Reset()
		return false, err
	}
	state, due := 0, int64(0)
	var queue, name string
	if ok {
		state, due, queue, name = int(st.Int(0)), st.Int(1), st.Text(2), st.Text(3)
	}
	st.Reset()
	next := t.db.places.hold
	paused := !ordered && (t.paused.queue(queue) || t.paused.name(name))
	if paused || state != aside && state != asideAgain {
		next = t.db.places.drop // it keeps nobody from the place meanwhile
	}
	next.BindInt(1, seq)
	next.BindInt(2, n)
	if err := next.Run(); err != nil {
		return false, err
	}
	holds = next == t.db.places.hold
	ready := pending
	switch {
	case state != aside && state != asideAgain:
		return false, nil
	case due > t.now && state == aside:
		ready = scheduled
	case due > t.now:
		ready = retrying
	case state == asideAgain:
		ready = dueAgain
	}
	t.db.places.letIn.BindInt(1, int64(ready))
	t.db.places.letIn.BindInt(2, seq)
	if err := t.db.places.letIn.Run(); err != nil {
		return holds, err
	}
	if ready == scheduled || ready == retrying {
		t.plan.due.min(due)
	} else {
		t.offer(queue)
	}
	if paused {
		return holds, t.leavePlaces(seq)
	}
	return holds, nil
}

// sweepPlaces gives up places that are not held any more: somebody changed the file,
// or a task has ended in a transaction of its own and its worker is lost.
func (t *txn) sweepPlaces() error {
	if err := t.readLimited(); err != nil || !t.limited {
		return err
	}
	var seqs []int64
	if err := t.db.places.stale.Each(func() bool {
		seqs = append(seqs, t.db.places.stale.Int(0))
		return true
	}); err != nil {
		return err
	}
	for _, seq := range seqs {
		if err := t.leavePlaces(seq); err != nil {
			return err
		}
	}
	for range keysPerSweep {
		key, _, ok, err := t.nextWaited(t.plan.lastLimit)
		if err != nil {
			return err
		}
		if t.plan.lastLimit = key; !ok { // from the first again, the next time
			return nil
		}
		if err := t.letIn(key); err != nil {
			return err
		}
	}
	return nil
}

// keysPerSweep bounds the keys whose waiting tasks a sweep looks at.
const keysPerSweep = 300

// letInAll lets in what waits under a rule.
func (t *txn) letInAll(rule string) error {
	for key := ""; ; {
		next, of, ok, err := t.nextWaited(key)
		if err != nil || !ok {
			return err
		}
		if key = next; of == rule {
			if err := t.letIn(key); err != nil {
				return err
			}
		}
	}
}

// nextWaited returns the next key after one under which tasks wait, and its rule.
func (t *txn) nextWaited(after string) (key, rule string, ok bool, err error) {
	st := t.db.places.nextKey
	st.BindText(1, after)
	defer st.Reset()
	if ok, err = st.Step(); ok && err == nil {
		key, rule = st.Text(0), st.Text(1)
	}
	return key, rule, ok && err == nil, err
}

// givePausedPlaces gives up the places of ready tasks that are paused.
func (t *txn) givePausedPlaces() error {
	if !t.limited || len(t.paused.queues)+len(t.paused.names) == 0 {
		return nil
	}
	var seqs []int64
	st := t.db.places.ready
	if err := st.Each(func() bool {
		if t.paused.queue(st.Text(1)) || t.paused.name(st.Text(2)) {
			seqs = append(seqs, st.Int(0))
		}
		return true
	}); err != nil {
		return err
	}
	for _, seq := range seqs {
		if err := t.leavePlaces(seq); err != nil {
			return err
		}
	}
	return nil
}

// asideFor is the state of a ready or parked task once it is put aside.
func asideFor(state, attempt int) int {
	if state == dueAgain || state == parked && attempt > 0 {
		return asideAgain
	}
	return aside
}

// errLimitsJoined is the error of enqueueing a task with limits within a transaction
// of the caller's.
var errLimitsJoined = fmt.Errorf("limits within a transaction: %w", engine.ErrUnsupported)
