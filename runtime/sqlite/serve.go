package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// server is one call of Serve.
type server struct {
	e    *Engine
	w    *engine.Worker
	ctx  context.Context // of all runs
	work chan *delivery  // from the writer to the runners
	busy atomic.Int64    // runs that were handed out and have not returned

	failed   chan error    // has room for one: why the engine cannot go on
	stopping atomic.Bool   // no more tasks are taken
	drained  chan struct{} // closed when stopping and nothing runs any more
	refusals calls
	memos    sync.Mutex // guards the memo of every delivery

	// Owned by the writer.
	id       int64               // of the row in workers; a new one after a lost lease
	claims   int64               // claims made with this id
	lastBeat time.Time           // when the row was last changed
	running  map[int64]*delivery // by lease
	ending   int                 // how many of the running the current transaction ends
	runners  int
	sources
	names    names
	single   bool // claims are written one by one, to find a row that cannot be changed
	finished bool // drained is closed
}

// Serve implements [engine.Engine]. It may be called again, at the same time
// or later, on the same engine.
func (e *Engine) Serve(ctx context.Context, w *engine.Worker) error {
	s := &server{
		e: e, w: w,
		ctx:     context.WithoutCancel(ctx),
		work:    make(chan *delivery, w.Slots),
		failed:  make(chan error, 1),
		drained: make(chan struct{}),
		running: make(map[int64]*delivery),
		names:   make(names),
		sources: newSources(w.Queues),
	}
	if w.Now != nil {
		e.clock.Store(&w.Now)
	}
	switch err := e.run(ctx, s.register, s.start); {
	case err != nil && ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
		return nil // it was stopped before it began
	case err != nil:
		return err
	}
	defer s.refusals.Wait()
	defer close(s.work)
	var err error
	select {
	case <-ctx.Done():
	case err = <-s.failed:
	}
	if err != nil {
		return err
	}
	s.stopping.Store(true)
	e.do(notice(s.checkDrained))
	select {
	case <-s.drained:
	case err := <-s.failed:
		return err
	case <-w.Abandon:
		return s.abandon()
	}
	return s.retire()
}

// register adds the worker to the file, and looks for work.
func (s *server) register(t *txn) error {
	if err := s.addRow(t); err != nil {
		return err
	}
	if err := t.takeOverStrays(); err != nil {
		return err
	}
	t.join = append(t.join, s)
	t.plan.park.min(t.now)
	return t.survey(slices.Concat(t.servers, t.join))
}

// maxWorkers bounds the numbers of workers, so that they fit into leases.
const maxWorkers = 1 << (62 - leaseBits)

// addRow makes the worker's row in workers.
func (s *server) addRow(t *txn) error {
	known, err := json.Marshal(s.w.Names)
	if err != nil {
		return err
	}
	queues, err := json.Marshal(s.w.Queues)
	if err != nil {
		return err
	}
	id, ok, err := one(t.db.nextWorker)
	if err != nil {
		return err
	}
	st := t.db.addWorker
	st.BindText(1, s.w.ID)
	st.BindText(2, t.host)
	st.BindInt(3, int64(os.Getpid()))
	st.BindText(4, string(known))
	st.BindInt(5, int64(t.lease))
	st.BindInt(6, t.now)
	if st.BindNull(7); ok && (id < 0 || id >= maxWorkers/2) {
		// Somebody has made the numbers too large. A random one is as good.
		st.BindInt(7, maxWorkers/2+rand.Int64N(maxWorkers/2))
	}
	st.BindInt(8, int64(s.w.Slots))
	st.BindText(9, string(queues))
	if err := st.Run(); err != nil {
		return err
	}
	s.id, s.claims, s.lastBeat = t.db.c.LastID(), 0, time.Now()
	return nil
}

// start adds the worker to those that get tasks.
func (s *server) start(t *txn) {
	e := s.e
	e.servers = append(e.servers, s)
	if len(e.servers) == 1 {
		e.plan.beat = time.Now().Add(e.lease / beatsPerLease)
	}
}

// retire ends the worker's row. If that fails, the others will take the worker
// for lost, which does no harm: it runs nothing.
func (s *server) retire() error {
	s.e.hurried.Add(1)
	defer s.e.hurried.Add(-1)
	err := s.e.run(context.Background(), func(t *txn) error {
		t.db.endWorker.BindInt(1, t.now)
		t.db.endWorker.BindInt(2, s.id)
		return t.db.endWorker.Run()
	}, nil)
	left := make(chan struct{})
	s.e.do(notice(func() { s.leave(); close(left) }))
	<-left
	if err != nil && !fatal(err) {
		s.e.warn("cannot record that a worker has stopped", "worker", s.w.ID, "error", err)
		return nil
	}
	return err
}

// leave removes the worker from those that get tasks.
func (s *server) leave() {
	s.e.servers = slices.DeleteFunc(s.e.servers, func(o *server) bool { return o == s })
	if len(s.e.servers) == 0 {
		clear(s.e.peers)
	}
}

// abandonTries is how often to try to give tasks back, before others take them
// over at the end of the lease.
const abandonTries = 2

// abandon gives the running tasks back, and names them.
func (s *server) abandon() error {
	s.e.hurried.Add(1)
	defer s.e.hurried.Add(-1)
	a := &abandonOp{s: s, done: make(chan error, 1)}
	var err error
	for range abandonTries {
		s.e.do(a)
		if err = <-a.done; err == nil || fatal(err) {
			break
		}
	}
	if err != nil {
		left := make(chan struct{})
		s.e.do(notice(func() { a.letGo(); s.leave(); close(left) }))
		<-left
	} else {
		err = s.retire()
	}
	if fatal(err) || a.unfinished == nil {
		return err
	}
	return a.unfinished
}

// fail ends Serve with an error, and stops the runs, since their outcomes
// cannot be recorded.
func (s *server) fail(err error) {
	for _, d := range s.running {
		d.Stop(engine.ErrLeaseLost)
	}
	select {
	case s.failed <- err:
	default:
	}
}

// checkDrained lets Serve return once the last run has ended.
func (s *server) checkDrained() {
	if s.stopping.Load() && !s.finished && len(s.running) == 0 {
		s.finished = true
		close(s.drained)
	}
}

// taken returns how many slots are not free: those of runs that have not
// returned, and those whose outcome is not written yet. So a crash repeats no
// more runs than there are slots.
func (s *server) taken() int { return max(int(s.busy.Load()), len(s.running)-s.ending) }

// hungry reports whether the worker has room for a task, and there may be one.
func (s *server) hungry() bool {
	return len(s.active) > 0 && !s.stopping.Load() && s.taken() < s.w.Slots
}

func (e *Engine) hungry() bool {
	if e.broken != nil {
		return false
	}
	for _, s := range e.servers {
		if s.hungry() {
			return true
		}
	}
	return false
}

// offer notes for the workers that a queue has a due task.
func (t *txn) offer(queue string) {
	for _, s := range t.servers {
		s.offer(queue)
	}
}

// dispatch hands a claimed task to a runner.
func (s *server) dispatch(d *delivery) {
	s.running[d.lease] = d
	s.e.runs.Add(1)
	s.work <- d // has room for every slot
	if busy := s.busy.Add(1); s.runners < int(busy) {
		s.runners++
		go s.runner()
	}
}

// runner runs tasks, one at a time. A handler may end its goroutine.
func (s *server) runner() {
	var d *delivery
	defer func() {
		if d != nil { // the handler called Goexit; the outcome is written
			s.conclude(d)
			go s.runner()
		}
	}()
	for d = range s.work {
		s.w.RunInto(s.ctx, &d.Delivery, &d.outcome)
		ran := d
		d = nil
		s.conclude(ran)
	}
}

// conclude hands the outcome to the writer.
func (s *server) conclude(d *delivery) {
	s.busy.Add(-1)
	s.e.runs.Add(-1)
	if d.abandoned.Load() {
		if s.w.Refused != nil && !d.recorded.Load() {
			s.w.Refused(&d.Delivery, d.outcome)
		}
		return
	}
	s.e.do(d)
}

// abandonOp gives back a worker's running tasks.
type abandonOp struct {
	s          *server
	unfinished *engine.UnfinishedError
	done       chan error
}

func (a *abandonOp) apply(t *txn) error {
	for _, d := range a.s.running {
		d.final, d.refused = 0, false
		if _, err := t.giveBack(d, nil); err != nil {
			return err
		}
	}
	return nil
}

func (a *abandonOp) settle(_ *txn, err error) {
	if err == nil {
		a.letGo()
	}
	a.done <- err
}

// letGo stops the runs, since their outcomes are not recorded any more.
func (a *abandonOp) letGo() {
	if len(a.s.running) == 0 {
		return
	}
	a.unfinished = new(engine.UnfinishedError)
	for _, d := range a.s.running {
		d.abandoned.Store(true)
		d.Stop(engine.ErrShutdown)
		if d.final != 0 {
			a.s.e.waiters.tell(d.msg.Meta.ID, nil)
		}
		a.unfinished.Tasks = append(a.unfinished.Tasks, engine.Unfinished{ID: d.msg.Meta.ID, Name: d.msg.Name})
	}
	clear(a.s.running)
}
