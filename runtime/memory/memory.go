// Package memory is the engine that keeps tasks in this process: for tests,
// for development, and for work that may be lost with the process. It is the
// reference for the contract of [engine.Engine].
//
// It is bounded: at most [Config].Capacity tasks wait or run, and at most
// Config.Records ended ones can still be looked up. Nothing polls: a task that
// is enqueued or becomes due starts at once on an idle worker. Several Apps
// may share one engine, as several workers.
package memory

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Config sets up an engine. Its zero value works; a number that is not positive
// is the default.
type Config struct {
	// Capacity bounds the tasks that have not ended: that are scheduled, wait, run
	// or retry. Beyond it Insert answers [engine.ErrQueueFull]. Durable tasks may
	// fill as much room again with their children, and as much again is for tasks
	// that are suspended: when it is full, only children can be enqueued. Defaults
	// to 100,000.
	Capacity int
	// Wait makes Insert wait for room when the engine is full, in the order of
	// arrival, until its context ends. A batch larger than the capacity is still
	// [engine.ErrQueueFull], and so is an insert from inside a running task: were
	// it to wait, tasks could fill every slot waiting for each other.
	Wait bool
	// Records bounds the ended tasks that can still be looked up: beyond it the
	// oldest are forgotten early, whatever their Keep. So they are when the
	// arguments and results of those that succeeded take more than 1 KiB each on
	// average. The journals of ended tasks have together as many entries: beyond it
	// the oldest are forgotten, and with them the records of tasks that have failed
	// or were cancelled, since a retry by hand needs them. Defaults to 100,000.
	Records int
	// Keys bounds the unique keys held at a time. Beyond it a message with a key is
	// answered with [engine.ErrQueueFull]. A succeeded task that still holds its
	// key stays beside the records that Records bounds. Defaults to 1,000,000.
	Keys int
	// KeepFor is how long a succeeded task can be looked up when its message does
	// not say. Defaults to 24 h.
	KeepFor time.Duration
	// KeepFailedFor is the same for a failed or cancelled task. Defaults to 7 days.
	KeepFailedFor time.Duration
	// JoinAtOnce makes what is enqueued in a transaction, by runtime.App.In, be
	// enqueued at once, whatever becomes of the transaction: a program that is made
	// for an engine on its own database runs in development, but a task may run
	// before the rows that it needs are committed. Without it, that is
	// [engine.ErrUnsupported].
	JoinAtOnce bool
}

func positive[T int | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

// Engine is a [engine.Engine] in memory. Make it with [New]. It implements
// [engine.Waiter], [engine.SingleInserter], [engine.Journaler] and
// [engine.Transactor] too.
type Engine struct {
	capacity, records int
	keepFor           time.Duration // succeeded tasks
	keepFailed        time.Duration // failed and cancelled tasks
	wait, joinAtOnce  bool

	// ready is how many tasks are due and wait: what an idle worker looks at
	// before it takes the lock. Changed under mu.
	ready atomic.Int64
	// live is how many tasks have not ended nor are suspended: at most capacity, but
	// for children, and for those that go on after they were suspended.
	live atomic.Int64
	// suspended is how many tasks are suspended. Changed under mu.
	suspended atomic.Int64
	// crowded is whether inserts wait for room. Changed under mu.
	crowded atomic.Bool
	inbox   inbox

	mu      sync.Mutex // guards all below; see lock and unlock
	closed  bool
	seq     uint64
	tasks   table      // all tasks by id, but for those in past
	spare   spareTasks // to make new tasks of
	lanes   laneIndex  // due tasks, by queue and by who can run them
	later   taskHeap   // tasks that are not due yet
	order   order      // all tasks, in the order of their insertion
	tallies tallySet   // how many tasks each queue has in each state
	expiry  expiryHeap // ended tasks but for those in past, by when they are to be forgotten
	ended   list       // ended tasks, in the order of their end, until they are forgotten,
	held    list       // but for succeeded ones that still hold a key,
	past    archive    // and the other succeeded ones, packed
	keys    keySet     // unique keys that are held
	room    roomQueue  // inserts that wait for room
	gates   gates      // of the limits of tasks that have not ended
	serves  []*serve   // the workers
	wakes   wakeList   // the hands to wake by unlock
	alarm   alarm      // fires when the next task is due

	kept   keptJournals // of ended tasks
	bereft []*task      // those that have failed or were cancelled, whose children are to be cancelled
	reaps  bool         // somebody is about it

	history map[tallied]int64 // what workers have counted
}

var (
	_ engine.Engine         = (*Engine)(nil)
	_ engine.Waiter         = (*Engine)(nil)
	_ engine.SingleInserter = (*Engine)(nil)
	_ engine.Journaler      = (*Engine)(nil)
	_ engine.Transactor     = (*Engine)(nil)
)

// New returns an empty engine. It needs no Close if no Serve runs.
func New(cfg Config) *Engine {
	e := &Engine{
		capacity:   positive(cfg.Capacity, 100_000),
		records:    positive(cfg.Records, 100_000),
		keepFor:    positive(cfg.KeepFor, 24*time.Hour),
		keepFailed: positive(cfg.KeepFailedFor, 7*24*time.Hour),
		wait:       cfg.Wait,
		joinAtOnce: cfg.JoinAtOnce,
	}
	e.keys.limit = positive(cfg.Keys, 1_000_000)
	e.past.resize(e.records)
	e.past.gone = e.gonePast
	return e
}

// Check implements [engine.Engine]. This engine can honour every option.
func (e *Engine) Check(m *engine.Message) error {
	return m.CheckPriority()
}

// Close forgets all tasks. Whatever still waits on the engine, an Insert, a
// Wait or a Serve, returns [engine.ErrClosed], and so does every later call.
// It does not wait for running tasks, whose outcomes are refused.
func (e *Engine) Close() error {
	e.lock()
	defer e.unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	e.room.wakeAll()
	for t := range e.tasks.all() {
		t.wake()
		t.owner = nil
	}
	for _, s := range e.serves {
		s.groups, s.ready.items = nil, nil
		close(s.closed)
	}
	e.alarm.stop()
	e.tasks, e.later, e.ended, e.held, e.past, e.keys = table{}, taskHeap{}, list{}, list{}, archive{}, keySet{}
	e.spare, e.order, e.tallies, e.expiry = spareTasks{}, order{}, tallySet{}, expiryHeap{}
	e.lanes = laneIndex{}
	e.kept, e.bereft, e.gates = keptJournals{}, nil, gates{}
	e.live.Store(0)
	e.suspended.Store(0)
	e.inbox.shut()
	e.ready.Store(0)
	return nil
}

// now is the clock by which tasks are due: that of a worker, if one serves.
func (e *Engine) now() time.Time {
	if len(e.serves) > 0 {
		return e.serves[0].now()
	}
	return time.Now()
}
