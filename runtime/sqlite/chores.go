package sqlite

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// plan is the writer's tasks of its own, each with its time.
type plan struct {
	// By the monotonic clock.
	poll, beat, retry, rest, rates time.Time
	// By the clock of due times.
	due   moment // the first task that waits for its time
	purge moment // the first record whose time to be kept ends
	park  moment // the first parked task that has waited for too long

	version   int64  // the file's data version at the last poll
	lastKey   string // up to which the keys were looked at
	lastLimit string // up to which the keys of limits were looked at
	lastRate  string // the same of rates
	walk      parkWalk
	bereft    bool      // tasks have failed whose children are to be cancelled
	sleeper   int64     // up to which suspended tasks were looked at; negative: all were
	slept     time.Time // when that was begun
	told      time.Time // when the log last named tasks that no worker knows
}

// moment is a time in nanoseconds.
type moment int64

// min makes m the earlier of m and n.
func (m *moment) min(n int64) { *m = min(*m, moment(n)) }

// chores puts the writer's own due work before the operations.
func (e *Engine) chores(ops []op) []op {
	now := time.Now()
	var own []op
	if len(e.deferred) > 0 && !now.Before(e.plan.retry) {
		own, e.deferred = e.deferred, nil
	}
	if e.broken != nil || len(e.servers) == 0 && e.waiters.none() {
		return append(own, ops...)
	}
	changed := false
	if !now.Before(e.plan.poll) {
		e.plan.poll = now.Add(e.poll)
		if err := e.gone(); err != nil {
			e.fault(err)
			return append(own, ops...)
		}
		changed = e.changedElsewhere(now)
	}
	if len(e.servers) > 0 {
		own = e.ownChores(own, now, changed)
	}
	if own == nil {
		return ops
	}
	return append(own, ops...)
}

func (e *Engine) ownChores(own []op, now time.Time, changed bool) []op {
	if !now.Before(e.plan.beat) {
		e.plan.beat = now.Add(e.lease / beatsPerLease)
		own = append(own, &beatOp{e: e, at: now})
	}
	if !now.Before(e.plan.rest) {
		e.plan.rest = now.Add(restEvery)
		own = append(own, &chore{e: e, do: (*txn).sweepRest})
	}
	if !now.Before(e.plan.rates) {
		e.plan.rates = now.Add(restEvery)
		own = append(own, &chore{e: e, do: (*txn).sweepRates})
	}
	wall := moment(nanos(e.now()))
	e.tellOfStrangers(now)
	if changed {
		own = append(own, &chore{e: e, do: (*txn).surveyAll})
	}
	if e.plan.bereft {
		own = append(own, &chore{e: e, do: (*txn).cancelBereft})
	}
	if e.plan.park <= wall {
		own = append(own, &chore{e: e, do: (*txn).walkParked})
	}
	if e.plan.due <= wall {
		own = append(own, &chore{e: e, do: (*txn).promote})
	}
	if e.plan.purge <= wall {
		own = append(own, &chore{e: e, do: (*txn).sweep})
	}
	return own
}

// changedElsewhere reports whether another process changed the file since the
// last call. If so, it lets waiters look whether their task has ended.
func (e *Engine) changedElsewhere(now time.Time) bool {
	v, _, err := one(e.db.dataVersion)
	if err != nil {
		e.fault(e.explain(err))
		return false
	}
	if v == e.plan.version {
		return false
	}
	e.plan.version, e.foreign = v, now
	e.waiters.look(e)
	return true
}

// untilNext returns how long the writer may sleep.
func (e *Engine) untilNext() time.Duration {
	if e.broken != nil {
		return time.Hour
	}
	now := time.Now()
	d := time.Hour
	if len(e.deferred) > 0 {
		d = min(d, e.plan.retry.Sub(now))
	}
	if len(e.servers) > 0 || !e.waiters.none() {
		d = min(d, e.plan.poll.Sub(now))
	}
	if !e.checkpoint.due.IsZero() {
		d = min(d, e.checkpoint.due.Sub(now))
	}
	if len(e.servers) > 0 {
		if e.plan.bereft {
			return 0
		}
		wall := nanos(e.now())
		d = min(d, e.plan.beat.Sub(now), e.plan.rest.Sub(now), e.plan.rates.Sub(now))
		for _, m := range [...]moment{e.plan.due, e.plan.purge, e.plan.park} {
			if m < never {
				d = min(d, time.Duration(max(int64(m)-wall, math.MinInt32)))
			}
		}
	}
	return max(d, 0)
}

// choreRetry is how long to wait after a chore failed.
const choreRetry = 200 * time.Millisecond

// chore is work of the writer's own. A failure is logged, and the chore done
// again.
type chore struct {
	e  *Engine
	do func(t *txn) error
}

func (c *chore) apply(t *txn) error { return c.do(t) }

func (c *chore) settle(_ *txn, err error) {
	if err == nil || fatal(err) {
		return
	}
	c.e.complain("cannot do the housekeeping of the tasks' file, and try again", "error", err)
	// The failed chore may have set its next time, which was undone too.
	later := moment(add(nanos(c.e.now()), choreRetry))
	c.e.plan.due, c.e.plan.purge, c.e.plan.park = later, later, later
}

// surveyAll looks for work after another process changed the file.
func (t *txn) surveyAll() error {
	began := time.Now()
	err := t.survey(t.servers)
	// With very many queues a survey takes long; it must not take all of the
	// time.
	if next := time.Now().Add(4 * time.Since(began)); next.After(t.plan.poll) {
		t.plan.poll = next
	}
	// Another process may have parked tasks, and died.
	t.plan.park.min(add(t.now, foreignParks))
	return err
}

// foreignParks is for how long this process may overlook the end of a task
// that another process has parked.
const foreignParks = 10 * time.Second

func (t *txn) survey(servers []*server) error {
	version, _, err := one(t.db.readable)
	if err != nil {
		return err
	}
	if version > schemaVersion {
		return fmt.Errorf("sqlite %s: %w: another process brought it to version %d", t.path, ErrNewer, version)
	}
	if err := t.obeyStops(); err != nil {
		return err
	}
	if err := t.readPauses(); err != nil {
		return err
	}
	if err := t.readLimited(); err != nil {
		return err
	}
	if err := t.surveyParked(servers); err != nil {
		return err
	}
	if err := t.surveyReady(servers); err != nil {
		return err
	}
	t.plan.due.min(t.now)
	if _, t.plan.bereft, err = one(t.db.journal.anyBereft); err != nil {
		return err
	}
	next, ok, err := one(t.db.nextPurge)
	if ok {
		t.plan.purge.min(next)
	}
	return err
}

// maxSteps bounds the rows that one chore changes in a transaction.
const maxSteps = 1000

// promote makes tasks ready whose time has come.
func (t *txn) promote() error {
	type task struct {
		seq, due int64
		state    int
	}
	var tasks []task
	st := t.db.promotable
	t.plan.due = never
	if err := st.Each(func() bool {
		if due := st.Int(2); due > t.now || len(tasks) == maxSteps {
			t.plan.due = moment(due)
			return false
		}
		if t.distrusts(st.Int(0)) {
			return true
		}
		tasks = append(tasks, task{st.Int(0), st.Int(2), int(st.Int(1))})
		t.offer(st.Text(3))
		return true
	}); err != nil {
		return err
	}
	for _, p := range tasks {
		state := pending
		if p.state == retrying {
			state = dueAgain
		}
		t.db.setState.BindInt(1, int64(state))
		t.db.setState.BindInt(2, p.due)
		t.db.setState.BindInt(3, p.seq)
		if err := t.runFor(p.seq, t.db.setState); err != nil {
			return err
		}
	}
	if err := t.wakeDue(); err != nil {
		return err
	}
	if err := t.openRates(); err != nil {
		return err
	}
	if len(t.distrusted) > 0 {
		t.plan.due.min(add(t.now, distrustFor))
	}
	return nil
}

// sweep deletes the records of ended tasks whose time to be kept is over.
func (t *txn) sweep() error {
	type purge struct {
		at, n int64
		tasks []int64
	}
	var purges []purge
	st := t.db.duePurges
	st.BindInt(1, t.now)
	n := 0
	if err := st.Each(func() bool {
		p := purge{at: st.Int(0), n: st.Int(1)}
		if err := json.Unmarshal(st.View(2), &p.tasks); err != nil {
			t.warn("cannot read which tasks are kept no longer", "error", err)
		}
		purges = append(purges, p)
		n += len(p.tasks)
		return n < maxSteps
	}); err != nil {
		return err
	}
	for _, p := range purges {
		for _, seq := range p.tasks {
			t.db.purge.BindInt(1, t.now)
			t.db.purge.BindInt(2, seq)
			if err := t.runFor(seq, t.db.purge); err != nil {
				return err
			}
		}
		t.db.dropPurge.BindInt(1, p.at)
		t.db.dropPurge.BindInt(2, p.n)
		if err := t.db.dropPurge.Run(); err != nil {
			return err
		}
	}
	next, ok, err := one(t.db.nextPurge)
	t.plan.purge = never
	if ok {
		// Not for each record alone: records that end at about the same time
		// go together.
		t.plan.purge = moment(max(next, add(t.now, 100*time.Millisecond)))
		if next <= t.now {
			t.plan.purge = moment(t.now)
		}
	}
	return err
}

// restEvery is how often sweepRest and sweepRates are called.
const restEvery = 10 * time.Second

// sweepRest drops keys and workers without a use.
func (t *txn) sweepRest() error {
	if err := t.sweepKeys(); err != nil {
		return err
	}
	if err := t.sweepPlaces(); err != nil {
		return err
	}
	if err := t.lookAtSleepers(); err != nil {
		return err
	}
	t.db.dropWorkers.BindInt(1, t.now-int64(workerRecords))
	return t.db.dropWorkers.Run()
}

// workerRecords is how long the name of an ended worker can be looked up.
const workerRecords = 7 * 24 * time.Hour
