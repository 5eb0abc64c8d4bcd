package remote

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Time bounds of requests, for a server that accepted one and does not answer.
const (
	stepTimeout = 10 * time.Second
	memoTimeout = 5 * time.Second
	// abandonGrace is how long a worker goes on writing after it was
	// abandoned: the shutdown has little time left then.
	abandonGrace = 700 * time.Millisecond
	leaveTimeout = time.Second
)

// ErrWorkerLost is the reason of a task whose worker was lost, until it has run
// again.
const ErrWorkerLost = "the worker that ran the task was lost"

// Store is the set of requests that a worker sends through its engine. C
// identifies a claim: a run owns its task while the server has the same C for
// it. T is the engine's other knowledge of a run. Step and Upkeep are each
// called by one goroutine at a time, the other methods by several.
type Store[C comparable, T any] interface {
	// Join makes the worker known, and changes its beat.
	Join(ctx context.Context) error
	// Leave makes the worker unknown.
	Leave(ctx context.Context) error
	// Step writes outcomes, gives orphans back, claims up to Want tasks, and
	// calls Start with them. It calls PutBack with outcomes that it could not
	// write. It reports whether more tasks may wait.
	Step(ctx context.Context, s *Step[C, T]) (more bool, err error)
	// Release gives running tasks back, as if they had not been claimed.
	Release(ctx context.Context, claims []C) error
	// Running returns the tasks that the server lists as running.
	Running(ctx context.Context) (*Running[C], error)
	// Beats returns the beat of each other worker. others lists their running
	// tasks, if Running returned them.
	Beats(ctx context.Context, others map[string][]C) (map[string]string, error)
	// TakeOver makes the tasks of a worker available to others, if its beat is
	// still the same. It returns how many, and whether the worker is lost.
	TakeOver(ctx context.Context, worker, beat string, claims []C) (tasks int, lost bool, err error)
	// SaveMemo writes the memo of a task that runs here. It reports whether
	// the run still owns the task.
	SaveMemo(ctx context.Context, claim C, memo json.RawMessage) (bool, error)
	// Upkeep makes due tasks available, and does the other periodic work. It
	// returns how long until the next round is due, negative if none is.
	Upkeep(ctx context.Context) (next time.Duration, err error)
	// Listen turns notifications into News, Check and Due until ctx ends or
	// its connection fails; it calls Listening once subscribed.
	Listen(ctx context.Context) error
}

// Step is the work of one step.
type Step[C comparable, T any] struct {
	Outcomes []*Outcome[C, T]
	// Orphans are tasks that the server lists as claimed by this worker,
	// without a run here: the answer to the claim was lost.
	Orphans []C
	// Queues are the worker's, or some of them, in the order in which to look at
	// them.
	Queues []string
	// Round says that some of the queues are those whose turn it is in a round
	// through all: what is looked for now and then is looked for in them.
	Round bool
	// Want is how many tasks to claim.
	Want int
}

// Running is the server's list of running tasks.
type Running[C comparable] struct {
	Mine   map[C]Cancel
	Others map[string][]C // by worker; nil where Beats needs none
}

// Cancel says whether a running task was cancelled, and why.
type Cancel struct {
	Cancelled bool
	Reason    string
}

// Config sets up a worker.
type Config struct {
	Engine       string          // prefix of log lines
	Lease        time.Duration   // how long a worker may be silent
	PollInterval time.Duration   // between two looks for tasks
	Cooldown     time.Duration   // between the end of a step and the next one
	Eager        bool            // no cooldown once all tasks of a full claim have ended
	UpkeepEvery  time.Duration   // at most
	Closing      context.Context // ends when the engine is closed
	Logger       *slog.Logger
	Workers      *Workers         // lists the worker while it works
	Hopeless     func(error) bool // reports that no attempt to join can succeed; nil is never
}

// Worker is one call of an engine's Serve. Its loop, in work, alone claims
// tasks and writes outcomes. Heartbeat, upkeep and listener run beside it,
// each on a goroutine that Serve waits for.
type Worker[C comparable, T any] struct {
	*engine.Worker
	cfg   Config
	store Store[C, T]
	runs  context.Context // parent of all runs; it never ends

	ready chan struct{} // an outcome waits, or a run has returned
	news  chan struct{} // there may be tasks to claim
	check chan struct{} // a running task may have been cancelled
	ended chan struct{} // as many outcomes wait as tasks were claimed
	alarm
	listening atomic.Bool
	peers     peers
	rounds    *rounds // nil for a worker that looks at all its queues in each step

	mu        sync.Mutex // guards all below
	active    map[*Delivery[C, T]]struct{}
	outcomes  []*Outcome[C, T]
	orphans   []C  // tasks that may be orphans
	unsettled bool // one of the orphans is cancelled
	turn      int  // which queue goes first
	want      int  // how many tasks the current step claims
	claimed   int  // how many tasks the last step claimed if it was full, else 0
	abandoned bool
	warned    map[string]time.Time // when each failure was logged last
	unknown   map[string]struct{}  // names that Unknown has logged
	further   int                  // tasks of other unknown names, since toldOfFurther

	toldOfFurther time.Time
}

// NewWorker returns a worker on the store.
func NewWorker[C comparable, T any](w *engine.Worker, store Store[C, T], cfg Config) *Worker[C, T] {
	var rs *rounds
	if len(w.Queues) > lotQueues && w.Weights == nil && !w.Strict {
		rs = newRounds(w.Queues)
	}
	return &Worker[C, T]{
		Worker: w, cfg: cfg, store: store, rounds: rs,
		ready: make(chan struct{}, 1), news: make(chan struct{}, 1), check: make(chan struct{}, 1),
		ended:  make(chan struct{}, 1),
		alarm:  alarm{wake: make(chan struct{}, 1)},
		active: make(map[*Delivery[C, T]]struct{}), warned: make(map[string]time.Time),
		unknown: make(map[string]struct{}),
	}
}

// Serve works until ctx ends, by the contract of [engine.Engine]. While the
// server cannot be reached it tries again, and running tasks go on. It is
// called once.
func (w *Worker[C, T]) Serve(ctx context.Context) error {
	w.runs = context.WithoutCancel(ctx)
	w.cfg.Workers.add(w)
	defer w.cfg.Workers.remove(w)
	side, stop := context.WithCancel(w.cfg.Closing)
	defer stop()
	requests, end := context.WithCancel(w.cfg.Closing)
	defer end()
	if joined, err := w.join(ctx, side); !joined {
		return err
	}
	var aside sync.WaitGroup
	aside.Go(func() { w.endAfterAbandon(side, end) })
	aside.Go(func() { w.beatLoop(side) })
	aside.Go(func() { w.upkeepLoop(side) })
	aside.Go(func() { w.listenLoop(side) })
	err := w.work(ctx, requests)
	stop()
	aside.Wait()
	w.leave(requests)
	return err
}

// endAfterAbandon calls end, which ends the worker's requests, soon after
// Abandon was closed, unless ctx ends first.
func (w *Worker[C, T]) endAfterAbandon(ctx context.Context, end func()) {
	select {
	case <-w.Abandon:
	case <-ctx.Done():
		return
	}
	t := time.NewTimer(abandonGrace)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return
	}
	end()
}

// join makes the worker known before it takes a task. It returns false if ctx
// has ended first.
func (w *Worker[C, T]) join(ctx, side context.Context) (bool, error) {
	for pause := firstPause; ; pause = longer(pause) {
		bounded, cancel := context.WithTimeout(side, stepTimeout)
		stop := context.AfterFunc(ctx, cancel)
		err := w.store.Join(bounded)
		stop()
		cancel()
		if err == nil {
			return true, nil
		}
		if w.cfg.Closing.Err() != nil {
			return false, engine.ErrClosed
		}
		if ctx.Err() != nil {
			return false, nil //nolint:nilerr // ctx was to end it
		}
		if w.cfg.Hopeless != nil && w.cfg.Hopeless(err) {
			return false, err
		}
		w.Warn("join the workers", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false, nil
		case <-side.Done():
			return false, engine.ErrClosed
		}
	}
}

// leave makes the worker unknown, after it has given back its tasks.
func (w *Worker[C, T]) leave(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	if err := w.store.Leave(ctx); err != nil && w.cfg.Closing.Err() == nil {
		w.Warn("leave the workers", err)
	}
}

// warnEvery is how often a repeated failure is logged.
const warnEvery = 10 * time.Second

// unknownNames is how many names the log names one by one.
const unknownNames = 20

// Unknown logs that a task is put aside because no worker knows it: once for
// each of the first names, and now and then with a count for all others.
func (w *Worker[C, T]) Unknown(name, reason string) {
	w.mu.Lock()
	_, told := w.unknown[name]
	few := len(w.unknown) < unknownNames
	if !told && few {
		w.unknown[name] = struct{}{}
	}
	if !told && !few {
		w.further++
	}
	further := w.further
	tell := !told && !few && time.Since(w.toldOfFurther) >= unknownEvery
	if tell {
		w.further, w.toldOfFurther = 0, time.Now()
	}
	w.mu.Unlock()
	switch {
	case !told && few:
		w.Log(slog.LevelWarn, "a task waits that no worker knows", slog.String("task", name), slog.String("error", reason))
	case tell:
		w.Log(slog.LevelWarn, "tasks of many names wait that no worker knows", slog.Int("tasks", further),
			slog.String("task", name), slog.String("error", reason))
	}
}

// unknownEvery is how often the log counts further unknown names.
const unknownEvery = time.Minute

// Warn logs a failure, at most once in warnEvery for each kind: while the
// server is away the same ones repeat.
func (w *Worker[C, T]) Warn(doing string, err error) {
	now := time.Now()
	w.mu.Lock()
	quiet := now.Sub(w.warned[doing]) < warnEvery
	if !quiet {
		w.warned[doing] = now
	}
	w.mu.Unlock()
	if quiet {
		return
	}
	w.Log(slog.LevelWarn, doing, slog.String("error", err.Error()))
}

// Log logs a line of the engine about the worker.
func (w *Worker[C, T]) Log(level slog.Level, text string, attrs ...slog.Attr) {
	w.cfg.Logger.LogAttrs(context.Background(), level, w.cfg.Engine+": "+text,
		append(attrs, slog.String("worker", w.ID))...)
}

// News makes the worker look for tasks.
func (w *Worker[C, T]) News() {
	if w.rounds != nil {
		w.rounds.begin()
	}
	signal(w.news)
}

// NewsOf makes the worker look for tasks in one of its queues.
func (w *Worker[C, T]) NewsOf(queue string) {
	if w.rounds != nil {
		w.rounds.tell(queue)
	}
	signal(w.news)
}

// Check makes the worker look for cancelled tasks among its own.
func (w *Worker[C, T]) Check() { signal(w.check) }

// Listening reports that the listener has subscribed: from now on the server
// announces tasks. The worker looks for earlier ones.
func (w *Worker[C, T]) Listening() {
	w.listening.Store(true)
	w.News()
	w.Check()
	w.Due(0)
}

// NewsUnlessTold is News while the listener does not listen.
func (w *Worker[C, T]) NewsUnlessTold() {
	if !w.listening.Load() {
		w.News()
	}
}

// Workers are the working workers of an engine. Its zero value is ready.
type Workers struct {
	mu  sync.Mutex
	all map[teller]struct{} // guarded by mu
}

type teller interface {
	NewsUnlessTold()
	Check()
}

func (ws *Workers) add(w teller) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.all == nil {
		ws.all = make(map[teller]struct{})
	}
	ws.all[w] = struct{}{}
}

func (ws *Workers) remove(w teller) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.all, w)
}

// Nudge makes the workers look for new tasks, unless their listeners do.
func (ws *Workers) Nudge() { ws.each(teller.NewsUnlessTold) }

// Check makes the workers look for cancelled tasks.
func (ws *Workers) Check() { ws.each(teller.Check) }

func (ws *Workers) each(f func(teller)) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.all {
		f(w)
	}
}
