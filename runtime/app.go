package runtime

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/internal/link"
	"github.com/taskctx/taskctx/runtime/wire"
)

// App enqueues tasks on an engine, and after [App.Start] runs them. All methods
// may be called concurrently. An App is an [Enqueuer].
type App struct {
	engine   engine.Engine
	cfg      Config
	journals bool // the engine is a Journaler
	producer producer
	process  atomic.Value // a *processStore, of the current start or the last
	shared   table        // of *Shared[T] to *sharedCell[T]
	watchers []*watcher

	mu       sync.Mutex // guards all below
	tasks    []*registration
	clients  []*registration // of tasks that other processes run
	contexts map[link.Type]contextReg
	supplies map[link.Type]any
	periodic []periodic
	current  *service     // the running worker, nil when there is none
	last     *service     // the one before, until somebody has asked for its error
	running  atomic.Value // current, a *service, unless it is Drive's; for readers without the lock
	frozen   atomic.Value // the supplies, a map[link.Type]any, for readers without the lock

	toldApart atomic.Bool // the log knows of a transaction on another database

	behind leftBehind // has its own lock
}

// New returns an app on the engine. The app does not own the engine: close it
// after the app has stopped.
func New(eng engine.Engine, cfg Config) *App {
	cfg.detach()
	cfg.setDefaults()
	a := &App{
		engine: eng, cfg: cfg,
		contexts: make(map[link.Type]contextReg),
		supplies: make(map[link.Type]any),
		shared:   new(sync.Map),
	}
	for _, o := range cfg.Observers {
		if o != nil {
			a.watchers = append(a.watchers, &watcher{o: o})
		}
	}
	_, a.journals = engine.As[engine.Journaler](eng)
	a.producer = producer{app: a, to: eng}
	a.producer.single, _ = eng.(engine.SingleInserter)
	a.producer.wrap()
	return a
}

// defaultApp is the app of a nil Context.
var defaultApp atomic.Pointer[App]

// SetDefault makes app the one that [AppFrom] returns outside of tasks.
func SetDefault(app *App) { defaultApp.Store(app) }

// Engine returns the engine that the app was made with.
func (a *App) Engine() engine.Engine { return a.engine }

func (a *App) enqueuer() *producer {
	if a == nil {
		return nil
	}
	return &a.producer
}

// register adds a task.
func (a *App) register(r *registration) {
	defer a.warnLate("Register", r.def.Name)
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, old := range a.tasks {
		if old.def == r.def { // RegisterTasks called again
			a.tasks[i] = r
			return
		}
	}
	a.tasks = append(a.tasks, r)
}

// warnLate logs that a registration came after the start of the worker. It
// takes a.mu.
func (a *App) warnLate(what, name string) {
	a.mu.Lock()
	late := a.current != nil
	a.mu.Unlock()
	if late {
		a.log(slog.LevelWarn, "registered after the app has started: it counts from the next start on",
			slog.String("call", what), slog.String("name", name))
	}
}

// lookFor logs, once for each start, that an app enqueues a task which its
// worker does not know. If its package was forgotten, nothing else shows that:
// the task waits for a worker that knows it.
func (a *App) lookFor(r *service, s *wire.Definition, queue string) {
	s.Asked().Store(r.number)
	if _, ok := r.worker.tasks[s.Name]; ok {
		return
	}
	if _, told := r.told.LoadOrStore(s.Name, true); told {
		return
	}
	level := slog.LevelInfo // it may well be for another process
	if slices.Contains(a.queues(r.worker), queue) {
		level = slog.LevelWarn // this worker serves the queue, and must leave it
	}
	a.log(level, "this app does not run a task that it enqueues: call RegisterTasks of its package, unless another process does",
		slog.String("task", s.Name), slog.String("queue", queue))
}

// newWorkerID returns an id unique to this start.
func newWorkerID() string { return uuid.NewString() }
