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

// The bounds in time of requests, for a server that took one and does not answer.
const (
	stepTimeout = 10 * time.Second
	memoTimeout = 5 * time.Second
	// abandonGrace is how long a worker goes on writing after it was told to give
	// up: the shutdown has little time left then.
	abandonGrace = 700 * time.Millisecond
	leaveTimeout = time.Second
)

// ErrWorkerLost is the reason of a task whose worker was lost, until it has run
// again.
const ErrWorkerLost = "the worker that ran the task was lost"

// Store is what a worker asks of its engine. C is what a run holds of its task:
// the task is the run's as long as the server has the same. T is what else the
// engine knows of a run. Methods are called by several goroutines, but Step,
// and Upkeep, by one at a time.
type Store[C comparable, T any] interface {
	// Join makes the worker known, and counts up in what is known of it.
	Join(ctx context.Context) error
	// Leave undoes it.
	Leave(ctx context.Context) error
	// Step writes outcomes, gives orphans back, claims up to Want tasks, and
	// calls Start with them. It reports whether there may be more to claim. Of
	// outcomes that are not written it calls PutBack.
	Step(ctx context.Context, s *Step[C, T]) (more bool, err error)
	// Release gives running tasks back, as if they had not been claimed.
	Release(ctx context.Context, claims []C) error
	// Running returns what the server has as running.
	Running(ctx context.Context) (*Running[C], error)
	// Beats returns the counts of other workers, of which others is what they
	// run, if Running tells.
	Beats(ctx context.Context, others map[string][]C) (map[string]string, error)
	// TakeOver lets the tasks of a worker run elsewhere whose count is still
	// the same. It returns how many, and whether the worker is gone.
	TakeOver(ctx context.Context, owner, beats string, claims []C) (tasks int, gone bool, err error)
	// SaveMemo writes what is kept with a task that runs here. It reports
	// whether the task is still the run's.
	SaveMemo(ctx context.Context, claim C, memo json.RawMessage) (bool, error)
	// Upkeep makes due tasks available, and whatever else is to be done now and
	// then. It returns how long until the next is due, negative if none is.
	Upkeep(ctx context.Context) (next time.Duration, err error)
	// Listen calls Heard and the like for what other processes tell, until its
	// connection fails or ctx ends, and Listening when it has begun.
	Listen(ctx context.Context) error
}

// Step is what one step of a worker is to do.
type Step[C comparable, T any] struct {
	Outcomes []*Outcome[C, T]
	// Orphans are tasks that the server has as claimed for this worker, but of
	// which it does not know: the answer to the claim was lost.
	Orphans []C
	// Queues are those of the worker, another one first each time.
	Queues []string
	// Want is how many tasks to claim.
	Want int
}

// Running is what the server has as running.
type Running[C comparable] struct {
	Mine   map[C]Cancel
	Others map[string][]C // by worker; nil where Beats needs none
}

// Cancel is whether a running task was cancelled, and why.
type Cancel struct {
	Cancelled bool
	Reason    string
}

// Config sets up a worker.
type Config struct {
	Engine       string          // begins what is logged
	Lease        time.Duration   // how long a worker may be silent
	PollInterval time.Duration   // from one look for tasks to the next
	Cooldown     time.Duration   // from the end of a step to the next one
	Eager        bool            // there is no cooldown when all of a full claim have ended
	UpkeepEvery  time.Duration   // at most
	Closing      context.Context // ends when the engine is closed
	Logger       *slog.Logger
	Workers      *Workers         // where it is listed while it works
	Hopeless     func(error) bool // no attempt to join can succeed; nil is never
}

// Worker is one call of an engine's Serve. Its loop, in work, is the only one
// that claims tasks and writes outcomes; beside it go the heartbeat, the upkeep
// and the listener, each a goroutine that Serve waits for.
type Worker[C comparable, T any] struct {
	*engine.Worker
	cfg   Config
	store Store[C, T]
	runs  context.Context // of all runs; it never ends

	ready chan struct{} // an outcome waits, or a run has returned
	news  chan struct{} // there may be tasks to claim
	check chan struct{} // a running task may have been cancelled
	ended chan struct{} // as many outcomes wait as tasks were claimed
	alarm
	listening atomic.Bool
	beats     beats

	mu        sync.Mutex // guards all below
	active    map[*Delivery[C, T]]struct{}
	outcomes  []*Outcome[C, T]
	orphans   []C  // perhaps
	unsettled bool // a cancelled one is among them
	turn      int  // which queue goes first
	want      int  // how many tasks the step under way claims
	claimed   int  // how many the last one did, if as many as it could, else 0
	abandoned bool
	warned    map[string]time.Time // when each failure was logged last
	unknown   map[string]struct{}  // names of tasks of which Unknown has told
	further   int                  // tasks of other unknown names, since toldOfFurther

	toldOfFurther time.Time
}

// NewWorker returns a worker on the store.
func NewWorker[C comparable, T any](w *engine.Worker, store Store[C, T], cfg Config) *Worker[C, T] {
	return &Worker[C, T]{
		Worker: w, cfg: cfg, store: store,
		ready: make(chan struct{}, 1), news: make(chan struct{}, 1), check: make(chan struct{}, 1),
		ended:  make(chan struct{}, 1),
		alarm:  alarm{wake: make(chan struct{}, 1)},
		active: make(map[*Delivery[C, T]]struct{}), warned: make(map[string]time.Time),
		unknown: make(map[string]struct{}),
	}
}

// Serve works until ctx ends, as [engine.Engine] says. While the server cannot
// be reached it tries again, and running tasks go on. It is called once.
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

// endAfterAbandon ends what the worker asks of the server soon after it was told
// to give up, until ctx ends.
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

// join makes the worker known, before it takes a task. It returns false when
// ctx has ended first: then there is nothing to do.
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
			return false, nil
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

// warnEvery is how often a failure that goes on is logged.
const warnEvery = 10 * time.Second

// unknownNames is how many names the log tells of one by one.
const unknownNames = 20

// Unknown logs of a task that is put aside because no worker knows it: once for
// each of the first names, and once in a while with a count for all others.
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
		w.log(slog.LevelWarn, "a task waits that no worker knows", slog.String("task", name), slog.String("error", reason))
	case tell:
		w.log(slog.LevelWarn, "tasks of many names wait that no worker knows", slog.Int("tasks", further),
			slog.String("task", name), slog.String("error", reason))
	}
}

// unknownEvery is how often the log tells of further unknown names.
const unknownEvery = time.Minute

// Warn logs that something failed: while the server is away much does, again
// and again, and once in a while is enough.
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
	w.log(slog.LevelWarn, doing, slog.String("error", err.Error()))
}

func (w *Worker[C, T]) log(level slog.Level, text string, attrs ...slog.Attr) {
	w.cfg.Logger.LogAttrs(context.Background(), level, w.cfg.Engine+": "+text,
		append(attrs, slog.String("worker", w.ID))...)
}

// News makes the worker look for tasks.
func (w *Worker[C, T]) News() { signal(w.news) }

// Check makes the worker look whether one of its tasks was cancelled.
func (w *Worker[C, T]) Check() { signal(w.check) }

// Listening says that the listener has begun: from now on the worker is told of
// tasks. It looks for what was missed.
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

// Workers are the workers of an engine that are at work. Its zero value is
// ready.
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

// Nudge tells the workers of new tasks, if nobody else can.
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
