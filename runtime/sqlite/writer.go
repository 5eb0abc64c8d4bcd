package sqlite

import (
	"errors"
	"fmt"
	"math/rand/v2"
	goruntime "runtime"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// op is an operation for the writer goroutine, which applies all that wait at
// the same moment in one transaction.
type op interface {
	// apply writes. It may be called again, in a later transaction, and has no
	// effect but on t. An error undoes the transaction, and then the op is
	// tried once more, alone.
	apply(t *txn) error
	// settle is called once: when the transaction is committed, or with the
	// reason why nothing was written.
	settle(t *txn, err error)
}

// txn is a transaction of the writer.
type txn struct {
	*Engine
	now    int64             // when it began, by the clock of due times
	ended  map[int64][]int64 // tasks that ended, by the end of their time to be kept
	aside  bool              // some ended without a run here: wake local waiters
	added  bool              // tasks were added; their callers learn it once they are safe
	undone bool              // nothing of it is in the file
	claims bool              // it took tasks for workers, or tried to
	sets   sets              // what it knows of SetLimit

	family    family          // the parent of the children whose ends it writes
	strangers strangers       // tasks that it parked and no worker knows
	others    map[string]bool // names that workers know; nil if it did not look
	join      []*server       // workers that it adds: afterwards they are in servers
}

// do hands an operation to the writer.
func (e *Engine) do(o op) {
	if !e.queue.push(o) {
		o.settle(nil, engine.ErrClosed)
	}
}

// write is the writer goroutine. The holder of e.turn uses e.db: mostly this
// goroutine, and sometimes a caller whose addition is the only operation.
func (e *Engine) write() {
	defer close(e.written)
	defer close(e.checkpoints)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var ops []op
	for {
		e.gather()
		e.turn.Lock()
		ops = e.queue.take(ops)
		e.crowded.Store(len(ops) > 1)
		for rest := e.chores(ops); len(rest) > 0 || e.hungry(); {
			n := lot(rest)
			e.commit(rest[:n:n], false)
			if rest = rest[n:]; n == 0 {
				break
			}
		}
		e.finishCheckpoint(time.Now())
		if len(ops) > 0 || !e.queue.empty() {
			e.turn.Unlock()
			continue
		}
		e.held = 0
		timer.Reset(e.untilNext())
		e.turn.Unlock()
		select {
		case <-e.queue.wake:
		case <-timer.C:
		}
		select {
		case <-e.closing:
			e.turn.Lock()
			e.shut()
			e.turn.Unlock()
			return
		default:
		}
	}
}

// gather yields to goroutines that are about to hand an operation to the
// writer, so that it shares a transaction.
func (e *Engine) gather() {
	if e.crowded.Load() || e.runs.Load() > 1 {
		goruntime.Gosched()
	}
}

// doNow does an operation that adds something small on the caller's goroutine, which
// saves the way to the writer and back, if no other waits. It reports whether it did.
func (e *Engine) doNow(o op) bool {
	if e.crowded.Load() || !e.turn.TryLock() {
		return false
	}
	defer e.turn.Unlock()
	if !e.queue.idle() || e.broken != nil || e.checkpoint.first || e.greedy() || e.db.begin.Run() != nil {
		return false // the writer waits for the lock, or reports the fault
	}
	due := e.plan.due
	e.commit([]op{o}, true)
	if e.plan.due != due {
		e.queue.ring() // it must wake earlier
	}
	return true
}

// shut answers all waiting operations.
func (e *Engine) shut() {
	for _, o := range append(e.queue.take(nil), e.deferred...) {
		o.settle(nil, engine.ErrClosed)
	}
	for _, s := range e.servers {
		s.fail(engine.ErrClosed)
	}
}

// commit applies the operations in one transaction, and hands out tasks to the
// workers that have room for them. If that fails, it tries each alone, so that
// one operation's failure is no other's. The transaction may have begun.
func (e *Engine) commit(ops []op, begun bool) {
	if e.broken != nil {
		settleAll(ops, nil, e.broken)
		return
	}
	t, all, err := e.attempt(ops, true, begun)
	if lite.Code(err) == lite.Full && t.undone {
		settleAll(all[len(ops):], t, err)
		e.wasFull()
		t, all, err = e.attempt(ops, true, false)
	}
	// Claims first: a worker is not drained while it gets more tasks.
	settleAll(all[len(ops):], t, err)
	if err == nil {
		settleAll(ops, t, nil)
		return
	}
	if t.claims && len(ops) > 0 && !fatal(err) && !errors.Is(err, ErrBusy) {
		// A fault of the claims does not concern the callers of the
		// operations.
		untakeAll(ops)
		if t, _, err = e.attempt(ops, false, false); err == nil {
			settleAll(ops, t, nil)
			return
		}
	}
	if len(ops) <= 1 || fatal(err) || errors.Is(err, ErrBusy) {
		e.fault(err)
		settleAll(ops, t, err)
		return
	}
	for _, o := range ops {
		one := []op{o}
		untakeAll(one)
		if e.broken == nil {
			t, _, err = e.attempt(one, false, false)
		}
		if err != nil {
			e.fault(err)
		}
		settleAll(one, t, err)
	}
}

// untakeAll gives operations of an undone transaction back to their callers,
// who may have given them up meanwhile.
func untakeAll(ops []op) {
	for _, o := range ops {
		if c, ok := o.(interface{ untake() }); ok {
			c.untake()
		}
	}
}

func settleAll(ops []op, t *txn, err error) {
	for _, o := range ops {
		o.settle(t, err)
	}
}

// attempt runs one transaction. It returns the operations with the claims that
// it added.
func (e *Engine) attempt(ops []op, claim, begun bool) (*txn, []op, error) {
	t := &txn{Engine: e}
	if !begun {
		if err := e.makeRoom(); err != nil {
			t.undone = true
			return t, ops, err
		}
		if err := e.begin(); err != nil {
			return t, ops, err
		}
	}
	start := time.Now()
	clear(e.successes)
	e.successes = e.successes[:0] // of a transaction that was undone
	t.now = nanos(e.now())
	ops, err := t.run(ops, claim)
	if err != nil {
		err = e.explain(err)
		if e.db.c.InTransaction() {
			_ = e.db.rollback.Run()
		}
		t.undone = true
		return t, ops, err
	}
	ended := time.Now()
	e.held += ended.Sub(start)
	if t.added {
		if err := e.gone(); err != nil {
			return t, ops, err
		}
	}
	e.askCheckpoint(ended)
	if n := t.strangers.tasks; n > 0 {
		e.strangers.add(n, t.strangers.name, t.strangers.queue)
		e.tellOfStrangers(ended)
	}
	if t.aside {
		e.waiters.look(e)
	}
	return t, ops, nil
}

// run applies the operations, claims for the servers if it may, and commits. It returns
// the operations with the claims.
func (t *txn) run(ops []op, claim bool) ([]op, error) {
	defer func() {
		for _, s := range t.servers {
			s.ending = 0
		}
	}()
	if err := t.applyAll(ops); err != nil {
		return ops, err
	}
	for _, s := range t.servers {
		if !claim || !s.hungry() {
			continue
		}
		t.claims = true
		c := &claimOp{s: s}
		ops = append(ops, c)
		if err := c.apply(t); err != nil {
			return ops, err
		}
	}
	if err := t.recordEnds(); err != nil {
		return ops, err
	}
	return ops, t.db.commit.Run()
}

// applyAll applies the operations in their order, but of outcomes between two
// operations of other kinds the successes together, and the counts of children.
func (t *txn) applyAll(ops []op) error {
	for _, o := range ops {
		if _, ok := o.(*delivery); !ok {
			if err := t.finishEnds(); err != nil {
				return err
			}
		}
		if err := o.apply(t); err != nil {
			return err
		}
	}
	return t.finishEnds()
}

// finishEnds writes what outcomes have left to be written together.
func (t *txn) finishEnds() error {
	if len(t.successes) > 0 {
		if err := t.succeed(); err != nil {
			return err
		}
	}
	return t.countEnds()
}

// The writer waits for another process's lock by itself, with jitter and short
// naps, since SQLite's own waits grow to 100 ms.
const (
	minNap = 50 * time.Microsecond
	maxNap = 5 * time.Millisecond
	// maxHold is how long this process may hold the lock again and again
	// before it lets others have it.
	maxHold = 10 * time.Millisecond
)

// greedy reports that this process held the lock for long while others may
// want it.
func (e *Engine) greedy() bool {
	return e.held > maxHold && time.Since(e.foreign) < time.Second
}

// hurriedBusy is how long to wait for the write lock while a worker must stop
// at once.
const hurriedBusy = 300 * time.Millisecond

// begin takes the write lock.
func (e *Engine) begin() error {
	if e.greedy() {
		time.Sleep(time.Millisecond) // unlocked: another process can take it now
		e.held = 0
	}
	start, nap := time.Time{}, minNap
	for {
		err := e.db.begin.Run()
		if err == nil {
			return nil
		}
		if code := lite.Code(err); code != lite.Busy && code != lite.Locked {
			return e.explain(err)
		}
		e.held, e.foreign = 0, time.Now()
		if start.IsZero() {
			start = e.foreign
		} else if waited := time.Since(start); waited > e.busy || waited > hurriedBusy && e.hurried.Load() > 0 {
			return fmt.Errorf("sqlite %s: %w for %v", e.path, ErrBusy, waited.Round(time.Millisecond))
		}
		select {
		case <-e.closing:
			return engine.ErrClosed
		case <-time.After(nap/2 + rand.N(nap)):
		}
		nap = min(nap*2, maxNap)
	}
}

// fault notes an error after which the engine cannot go on.
func (e *Engine) fault(err error) {
	if !fatal(err) || e.broken != nil {
		return
	}
	e.broken = err
	for _, s := range e.servers {
		s.fail(err)
	}
}
