package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/internal/guard"
	"github.com/taskctx/taskctx/runtime/internal/link"
)

// service is one start of the app's worker.
type service struct {
	worker *worker
	stop   context.CancelCauseFunc // Serve takes no more tasks
	ending <-chan struct{}         // closed by stop
	done   chan struct{}           // closed when the stop is complete
	number uint64                  // of the start, among all in the process
	told   table                   // names of tasks that lookFor has told of
	err    error                   // of Serve and of closing; read after done

	// endRuns, abandon and leave are the requests of a Stop with less time
	// than the configuration gives. Each is closed, under App.mu, when its
	// step must happen at once.
	endRuns, abandon, leave chan struct{}
}

// atOnce closes the channel unless it is closed.
func (a *App) atOnce(step chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-step:
	default:
		close(step)
	}
}

// Start checks that the app has everything its tasks need, and starts its
// worker. A process that only enqueues does not call it. The error lists
// everything missing or wrong, and then nothing was started. If the app later
// enqueues a task that it does not run, as if its RegisterTasks was forgotten,
// it logs that once.
//
// When ctx ends, the worker stops as by [App.Stop]; tasks see its values. It
// also stops when its engine fails, which is logged and is the error of Stop.
// A process that should then end calls [App.Run].
func (a *App) Start(ctx context.Context) error {
	_, err := a.start(ctx)
	return err
}

func (a *App) start(ctx context.Context) (*service, error) {
	w, err := a.newWorker(ctx, "")
	if err != nil {
		return nil, err
	}
	serveCtx, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	s, err := a.begin(ctx, w, stop)
	if err != nil {
		stop(nil)
		return nil, err
	}
	a.running.Store(s)
	s.ending = serveCtx.Done()
	w.slots.stopping = s.ending
	left := a.behind.lend(w.slots)
	a.tellOfStart(w)
	if left > 0 {
		a.log(slog.LevelWarn, "tasks that an earlier stop gave up on still run: they count among the workers",
			slog.Int("running", left), slog.Int("workers", a.cfg.allWorkers()))
	}
	if len(w.tasks) == 0 && len(w.periodic) == 0 {
		a.log(slog.LevelWarn, "the app was started without tasks: call RegisterTasks of their package first")
	}
	for _, p := range w.periodic {
		a.lookFor(s, p.call.def, p.call.def.Derive().Queue)
	}
	go a.serve(ctx, serveCtx, s)
	return s, nil
}

// toldQueues is how many queues the line names that a start logs.
const toldQueues = 20

func (a *App) tellOfStart(w *worker) {
	queues := a.queues(w)
	attrs := []slog.Attr{slog.String("engine", engineName(a.engine)), slog.Any("queues", queues[:min(len(queues), toldQueues)])}
	if more := len(queues) - toldQueues; more > 0 {
		attrs = append(attrs, slog.Int("more_queues", more))
	}
	attrs = append(attrs, slog.Int("tasks", len(w.tasks)), slog.Int("workers", a.cfg.allWorkers()))
	a.log(slog.LevelInfo, "worker started", attrs...)
}

// engineName returns the package of the engine, which names its store.
func engineName(e engine.Engine) string {
	t := reflect.TypeOf(e)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.PkgPath() == "" {
		return t.String()
	}
	return path.Base(t.PkgPath())
}

// starts counts the starts of all apps.
var starts atomic.Uint64

// errNoEngine is the error of an app that was made without an engine.
var errNoEngine = errors.New("the engine is nil")

// begin makes the worker the app's current one.
func (a *App) begin(ctx context.Context, w *worker, stop context.CancelCauseFunc) (*service, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current != nil {
		return nil, ErrStarted
	}
	a.last = nil
	a.current = &service{
		told:   new(sync.Map),
		worker: w, stop: stop, done: make(chan struct{}), number: starts.Add(1),
		endRuns: make(chan struct{}), abandon: make(chan struct{}), leave: make(chan struct{}),
	}
	supplies, _ := a.frozen.Load().(map[link.Type]any)
	a.process.Store(joinProcess(context.WithoutCancel(ctx), supplies))
	return a.current, nil
}

// end closes the values that tasks opened, and marks the stop as complete. err
// is an earlier error.
func (a *App) end(s *service, err error) {
	err = errors.Join(err, a.closeStorage(s))
	a.observe(event{Event: hook.Event{Kind: hook.EventWorkerStop, Worker: s.worker.id}})
	a.awaitWatchers(s.leave)
	a.mu.Lock()
	a.current, a.last = nil, s
	a.running.Store((*service)(nil))
	a.mu.Unlock()
	s.err = err
	close(s.done)
}

// errorOf returns the error of a start of the app once it has ended. From then
// on Stop does not return that error again.
func (a *App) errorOf(s *service) error {
	<-s.done
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == s {
		a.last = nil
	}
	return s.err
}

// Run is Start, then Stop when ctx ends. It returns nil after a clean stop.
func (a *App) Run(ctx context.Context) error {
	s, err := a.start(ctx)
	if err != nil {
		return err
	}
	select {
	case <-s.done:
		return a.errorOf(s)
	case <-s.ending:
	}
	return a.awaitStop(s, a.stopBound())
}

// stopBound returns how long a stop takes at most: the tasks' time, and a
// grace each for giving tasks back, for the engine, the storage and the
// observers.
func (a *App) stopBound() time.Duration { return a.cfg.ShutdownTimeout + 4*a.cfg.ShutdownGrace }

// awaitStop returns the error of the start of the app, or after d
// [ErrStillStopping].
func (a *App) awaitStop(s *service, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.done:
		return a.errorOf(s)
	case <-t.C:
		return ErrStillStopping
	}
}

// leastStep is the least time for each step of a shutdown.
const leastStep = 100 * time.Millisecond

// Stop stops the worker: it takes no more tasks, lets the running ones go on
// for Config.ShutdownTimeout, then ends their contexts with [ErrShutdown].
// After Config.ShutdownGrace it gives the tasks that still run back to the
// engine, and names them in an [*engine.UnfinishedError]. Then it closes the
// storage. It returns nil after a clean stop, or without a worker. If the
// worker has stopped by itself, it returns the error of that.
//
// If ctx has a deadline, all steps happen earlier, so that Stop returns by
// then. When ctx ends otherwise, the contexts of running tasks end at once. If
// an engine does not return, since its store does not answer, the error is
// [ErrStillStopping]: by the deadline, or else after Config.ShutdownTimeout
// and four times ShutdownGrace.
func (a *App) Stop(ctx context.Context) error {
	a.mu.Lock()
	s, last := a.current, a.last
	a.mu.Unlock()
	switch {
	case s == nil && last == nil:
		return nil
	case s == nil:
		return a.errorOf(last)
	}
	s.stop(engine.ErrShutdown)
	step := a.cfg.ShutdownGrace
	var due <-chan time.Time
	deadline, bounded := ctx.Deadline()
	if d := deadline; bounded {
		step = min(step, max(time.Until(d)/4, leastStep))
		t := time.NewTimer(time.Until(d) - 2*step - leastStep)
		defer t.Stop()
		due = t.C
	}
	bound := time.NewTimer(a.stopBound())
	defer bound.Stop()
	select {
	case <-s.done:
		return a.errorOf(s)
	case <-bound.C:
		return ErrStillStopping
	case <-ctx.Done():
	case <-due:
	}
	a.atOnce(s.endRuns)
	for _, next := range []chan struct{}{s.abandon, s.leave} {
		t := time.NewTimer(step)
		select {
		case <-s.done:
			t.Stop()
			return a.errorOf(s)
		case <-t.C:
			a.atOnce(next)
		}
	}
	if bounded {
		step = max(time.Until(deadline), leastStep)
	}
	return a.awaitStop(s, step)
}

// queues returns the queues of the worker.
func (a *App) queues(w *worker) []string {
	own := slices.AppendSeq(slices.Collect(maps.Keys(a.cfg.QueueWorkers)), maps.Keys(a.cfg.QueueWeights))
	if len(a.cfg.Queues) > 0 && len(own) == 0 {
		return slices.Clone(a.cfg.Queues)
	}
	qs := append(own, a.cfg.Queues...)
	if len(a.cfg.Queues) == 0 {
		qs = append(qs, engine.DefaultQueue)
		for _, r := range w.tasks {
			qs = append(qs, r.def.Derive().Queue)
		}
	}
	slices.Sort(qs)
	return slices.Compact(qs)
}

// serve runs the engine's loop to its end, and then closes the values that
// tasks opened. It owns the goroutines of one start.
func (a *App) serve(ctx, serveCtx context.Context, s *service) {
	w := s.worker
	abandon := make(chan struct{})
	served := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() { s.stop(engine.ErrShutdown) })
	var winding sync.WaitGroup
	winding.Go(func() {
		<-serveCtx.Done()
		a.wind(s, served, abandon)
	})
	a.observe(event{Event: hook.Event{Kind: hook.EventWorkerStart, Worker: w.id}})
	ticking := a.startTicking(serveCtx, w.periodic)
	counting := a.startHistory(serveCtx, w.history)
	err := guard.Isolated(func() error {
		return a.serveQueues(serveCtx, w, &engine.Worker{
			ID: w.id, Slots: a.cfg.Workers, Queues: a.queues(w), Names: w.names(),
			Weights: a.cfg.QueueWeights, Strict: a.cfg.StrictQueues,
			ParkFor: a.cfg.ParkFor, Abandon: abandon,
			Run: w.run, RunInline: w.runInline, Refused: w.refused, Now: time.Now,
		})
	})
	close(served)
	if err != nil && serveCtx.Err() == nil {
		a.log(slog.LevelError, "the worker stopped: its engine failed", slog.String("error", guard.Text(err)))
	}
	unhook()
	s.stop(engine.ErrShutdown)
	winding.Wait()
	ticking.Wait()
	counting.Wait()
	a.endHistory(s, w.history)
	if err != nil {
		err = fmt.Errorf("serve: %w", err)
	}
	a.end(s, err)
}

// wind is the shutdown's clock: it ends the contexts of running tasks, and
// later abandons the tasks.
func (a *App) wind(s *service, served <-chan struct{}, abandon chan<- struct{}) {
	defer close(abandon)
	t := time.NewTimer(a.cfg.ShutdownTimeout)
	defer t.Stop()
	select {
	case <-served:
		return
	case <-t.C:
	case <-s.endRuns:
	}
	s.worker.slots.stopRuns(engine.ErrShutdown)
	t.Reset(a.cfg.ShutdownGrace)
	select {
	case <-served:
	case <-t.C:
	case <-s.abandon:
	}
}

// errStillClosing says that the shutdown did not wait for a value to close.
var errStillClosing = errors.New("storage did not close in time")

// closeStorage closes the values that tasks opened, the workers' before the
// process's. It waits at most for Config.ShutdownGrace, should a close block.
func (a *App) closeStorage(s *service) error {
	closed := make(chan error, 1)
	go func() {
		closed <- errors.Join(s.worker.slots.close(), guard.Isolated(a.process.Load().(*processStore).leave))
	}()
	t := time.NewTimer(a.cfg.ShutdownGrace)
	defer t.Stop()
	select {
	case err := <-closed:
		return err
	case <-t.C:
	case <-s.leave:
		t.Reset(leastStep)
		select {
		case err := <-closed:
			return err
		case <-t.C:
		}
	}
	return errStillClosing
}
