package tasktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/wire"
)

// ErrNotRun says that the task function was not called: the task was parked, or
// ended before it began.
var ErrNotRun = errors.New("the task did not run")

// Run runs one attempt of the call here and now, as a worker does, and returns
// the task's result or its error: the very error that the task returned, with
// those of its cleanups, or a [*runtime.PanicError]. Nothing follows, such as
// a retry. register is the RegisterTasks of the task's package; only this task
// needs its supplies.
//
// When the task calls t.FailNow or its like, so does Run.
func Run[R any](t testing.TB, register func(*runtime.App), call runtime.Call[R], opts ...Option) (R, error) {
	t.Helper()
	var none R
	s := newSettings(t, opts)
	var handler outermost
	s.cfg.Middleware = append([]runtime.Middleware{handler.wrap}, s.cfg.Middleware...)
	app := s.app(t, register)
	m, err := app.Prepare(s.ctx, runtime.With(call, s.call...))
	if err != nil {
		return none, err
	}
	o, err := s.rec.engine.drive(s.ctx, app, m, s.attempt)
	handler.propagate(t)
	switch {
	case err != nil:
		return none, err
	case o.Kind == engine.OutcomeSucceed:
		return runtime.HandleOf[R](app, m.Meta.ID).Wait(context.WithoutCancel(s.ctx))
	case handler.err != nil:
		return none, handler.err
	default:
		return none, fmt.Errorf("%w: %s", ErrNotRun, o.Reason)
	}
}

// outermost is middleware that keeps the error of all others and the task.
type outermost struct{ err error }

func (h *outermost) wrap(next runtime.Handler) runtime.Handler {
	return func(ctx *runtime.Context) error {
		h.err = runtime.ErrGoexit // unless it returns
		defer func() {
			if p := recover(); p != nil {
				h.err = &runtime.PanicError{Value: p}
				panic(p)
			}
		}()
		h.err = next(ctx)
		return h.err
	}
}

// propagate ends the test if the task ended its goroutine to end the test.
func (h *outermost) propagate(t testing.TB) {
	t.Helper()
	if !errors.Is(h.err, runtime.ErrGoexit) {
		return
	}
	if t.Skipped() {
		t.SkipNow()
	}
	if t.Failed() {
		t.FailNow()
	}
}

// Context returns the context of a task that runs until the test ends, or
// [End] is called: for calling a task function that takes a *runtime.Context or
// a context.Context.
func Context(t testing.TB, opts ...Option) *runtime.Context {
	t.Helper()
	return ContextOf[*runtime.Context](t, nil, opts...)
}

// ContextOf is [Context] for a context type that register registers, built by
// its providers.
func ContextOf[C context.Context](t testing.TB, register func(*runtime.App), opts ...Option) C {
	t.Helper()
	s := newSettings(t, opts)
	app := s.app(t, register)
	d := &direct{release: make(chan error, 1), done: make(chan struct{})}
	s.ctx = context.WithValue(s.ctx, directKey{}, d)
	spec := wire.Spec{Name: s.name, Func: s.name}
	task := glue.NewTask[struct{}, runtime.Void](spec, nil)
	ready := make(chan C, 1)
	glue.Register(app, task, func(ctx C, _ *struct{}) (runtime.Void, error) {
		ready <- ctx
		return runtime.Void{}, <-d.release
	})
	m, err := app.Prepare(s.ctx, task.Call(nil, s.call))
	if err != nil {
		t.Fatalf("tasktest: %v", err)
	}
	go func() {
		defer close(d.done)
		d.outcome, d.err = s.rec.engine.drive(s.ctx, app, m, s.attempt)
	}()
	t.Cleanup(func() {
		if d.end(nil); d.failure() != nil && !d.asked {
			t.Errorf("tasktest: end of the task's run: %v", d.failure())
		}
	})
	select {
	case ctx := <-ready:
		return ctx
	case <-d.done:
		d.asked = true
		t.Fatalf("tasktest: build the context: %v", d.failure())
		panic("unreachable")
	}
}

// directKey is the key of the *direct in a context.
type directKey struct{}

// direct is a run whose task function the test calls itself.
type direct struct {
	release chan error
	done    chan struct{}
	once    sync.Once
	asked   bool // its end was returned to a caller

	outcome engine.Outcome // read after done
	err     error
}

func (d *direct) end(err error) {
	d.once.Do(func() { d.release <- err })
	<-d.done
}

// failure returns why the run did not succeed.
func (d *direct) failure() error {
	if d.err == nil && d.outcome.Kind != engine.OutcomeSucceed {
		return errors.New(d.outcome.Reason)
	}
	return d.err
}

// End ends the run of a context that [Context] or [ContextOf] made, before the
// test ends, as if the task function had returned err. The cleanups run. The
// error is nil if err is nil and they succeeded.
func End(ctx context.Context, err error) error {
	d, ok := ctx.Value(directKey{}).(*direct)
	if !ok {
		return errors.New("tasktest: the context is not one that tasktest made")
	}
	d.asked = true
	d.end(err)
	return d.failure()
}

// memo is the app's memo of a driven task. It implements [engine.Memo] and
// [engine.Journal].
type memo struct {
	of      *ledger
	attempt int

	mu      sync.Mutex // guards all below; taken before that of the ledger
	raw     json.RawMessage
	entries []engine.JournalEntry
	keys    map[[2]string]bool // names and keys of signals
}

func (m *memo) LoadMemo(context.Context) (json.RawMessage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.raw, nil
}

func (m *memo) SaveMemo(_ context.Context, raw json.RawMessage) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.raw = raw
	return nil
}
