package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	goruntime "runtime"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// server is a call of Serve. By default its runs wait for the test, which
// takes them with next and concludes each.
type server struct {
	b       *bench
	e       engine.Engine
	w       *engine.Worker
	cancel  context.CancelFunc
	abandon func()
	result  chan error
	runs    chan *handed
	refused chan refusal

	mu   sync.Mutex // guards open
	open map[*handed]struct{}
}

// handed is a run that waits for the test to conclude it.
type handed struct {
	b      *bench
	d      *engine.Delivery
	ctx    context.Context // ends as the delivery is stopped
	answer chan answer
}

type answer struct {
	o      engine.Outcome
	goexit bool
}

// refusal is the arguments of a call of Worker.Refused.
type refusal struct {
	d *engine.Delivery
	o engine.Outcome
}

// serve starts a worker of two slots on the bench's engine.
func (b *bench) serve(names []string, edits ...func(*engine.Worker)) *server {
	b.Helper()
	return b.serveOn(b.e, names, edits...)
}

// auto is serve with runs that do not wait for the test. A nil run succeeds.
func (b *bench) auto(names []string, run func(context.Context, *engine.Delivery) engine.Outcome,
	edits ...func(*engine.Worker)) *server {
	b.Helper()
	if run == nil {
		run = func(context.Context, *engine.Delivery) engine.Outcome {
			return engine.Outcome{Kind: engine.OutcomeSucceed}
		}
	}
	return b.serve(names, append(edits, func(w *engine.Worker) {
		w.Run = run
		w.RunInline = func(ctx context.Context, d *engine.Delivery, o *engine.Outcome) { *o = run(ctx, d) }
	})...)
}

// serveOn is serve on another engine or handle.
func (b *bench) serveOn(e engine.Engine, names []string, edits ...func(*engine.Worker)) *server {
	b.Helper()
	return b.serveIn(context.Background(), e, names, edits...)
}

// serveIn is serveOn with a context of the test's own.
func (b *bench) serveIn(ctx context.Context, e engine.Engine, names []string, edits ...func(*engine.Worker)) *server {
	b.Helper()
	abandon := make(chan struct{})
	s := &server{
		b: b, e: e,
		abandon: sync.OnceFunc(func() { close(abandon) }),
		result:  make(chan error, 1),
		runs:    make(chan *handed, 10_000),
		refused: make(chan refusal, 10_000),
		open:    make(map[*handed]struct{}),
	}
	s.w = &engine.Worker{
		ID: "worker-" + uuid.NewString(), Slots: 2, Queues: []string{b.queue}, Names: sorted(names),
		ParkFor: time.Hour, Abandon: abandon, Now: time.Now,
		Run: func(ctx context.Context, d *engine.Delivery) (o engine.Outcome) {
			done := make(chan struct{})
			go func() {
				defer close(done)
				s.inline(ctx, d, &o)
			}()
			<-done
			return o
		},
		RunInline: s.inline,
		Refused:   func(d *engine.Delivery, o engine.Outcome) { s.refused <- refusal{d, o} },
	}
	for _, edit := range edits {
		edit(s.w)
	}
	ctx, cancel := context.WithCancel(ctx)
	s.cancel = cancel
	go func() { s.result <- e.Serve(ctx, s.w) }()
	b.Cleanup(s.cleanup)
	return s
}

func slots(n int) func(*engine.Worker) { return func(w *engine.Worker) { w.Slots = n } }

func parkFor(d time.Duration) func(*engine.Worker) {
	return func(w *engine.Worker) { w.ParkFor = d }
}

// inline is the worker's RunInline.
func (s *server) inline(ctx context.Context, d *engine.Delivery, o *engine.Outcome) {
	ctx, cancel := d.Context(ctx)
	defer cancel()
	h := &handed{b: s.b, d: d, ctx: ctx, answer: make(chan answer, 1)}
	s.mu.Lock()
	s.open[h] = struct{}{}
	s.mu.Unlock()
	s.runs <- h
	a := <-h.answer
	s.mu.Lock()
	delete(s.open, h)
	s.mu.Unlock()
	*o = a.o
	if a.goexit {
		goruntime.Goexit()
	}
}

// next waits for the next run.
func (s *server) next() *handed {
	s.b.Helper()
	select {
	case h := <-s.runs:
		if h.d == nil || h.d.Message == nil || h.d.Memo == nil {
			s.b.Fatal("Run got a delivery without its Message or Memo")
		}
		return h
	case err := <-s.result:
		s.b.Fatalf("Serve returned %v while a task was to run", err)
	case <-time.After(s.b.o.Patience):
		s.mu.Lock()
		taken := len(s.open)
		s.mu.Unlock()
		s.b.Fatalf("no task was run for %v, although one was due and %d of %d slots are free",
			s.b.o.Patience, s.w.Slots-taken, s.w.Slots)
	}
	return nil
}

// nextNamed is next, and fails the test if the run is of another task.
func (s *server) nextNamed(name string) *handed {
	s.b.Helper()
	h := s.next()
	if h.d.Message.Name != name {
		s.b.Fatalf("task %q was run, want %q", h.d.Message.Name, name)
	}
	return h
}

// none fails the test if a run waits already.
func (s *server) none(why string) {
	s.b.Helper()
	select {
	case h := <-s.runs:
		s.b.Fatalf("task %q was run: %s", h.d.Message.Name, why)
	default:
	}
}

// conclude ends the run.
func (h *handed) conclude(o engine.Outcome) { h.answer <- answer{o: o} }

func (h *handed) succeed() { h.conclude(engine.Outcome{Kind: engine.OutcomeSucceed}) }

func (h *handed) id() uuid.UUID { return h.d.Message.Meta.ID }

// stopped waits until the run's context has ended.
func (h *handed) stopped() {
	h.b.Helper()
	select {
	case <-h.ctx.Done():
	case <-time.After(h.b.o.Patience):
		h.b.Fatalf("the context of a run of %q did not end in %v: the engine must call Delivery.Stop",
			h.d.Message.Name, h.b.o.Patience)
	}
}

// cause waits until the run's context has ended, and returns why.
func (h *handed) cause() error {
	h.b.Helper()
	h.stopped()
	return context.Cause(h.ctx)
}

// stop ends the server and returns the error of Serve.
func (s *server) stop() error {
	s.b.Helper()
	s.cancel()
	return s.wait()
}

// wait waits for Serve to return.
func (s *server) wait() error {
	s.b.Helper()
	select {
	case err := <-s.result:
		s.result <- err // for later calls of wait
		return err
	case <-time.After(s.b.o.Patience):
		s.b.Fatalf("Serve did not return for %v after its context ended", s.b.o.Patience)
		return nil
	}
}

// stopReleasing is stop for a server whose engine may hand out tasks until it
// sees that the context has ended. It releases them, and returns how many.
func (s *server) stopReleasing() (released int) {
	s.b.Helper()
	s.cancel()
	for {
		select {
		case h := <-s.runs:
			h.conclude(engine.Outcome{Kind: engine.OutcomeRelease})
			released++
		case err := <-s.result:
			s.result <- err
			s.mustStop()
			return released
		case <-time.After(s.b.o.Patience):
			s.b.Fatalf("Serve did not return for %v after its context ended", s.b.o.Patience)
		}
	}
}

// mustStop is stop for a server whose tasks have all been concluded.
func (s *server) mustStop() {
	s.b.Helper()
	if err := s.stop(); err != nil {
		s.b.Errorf("Serve: %v, want nil since every task was concluded", err)
	}
}

// nextRefused waits for Worker.Refused.
func (s *server) nextRefused() refusal {
	s.b.Helper()
	select {
	case r := <-s.refused:
		return r
	case <-time.After(s.b.o.Patience):
		s.b.Fatalf("Worker.Refused was not called for %v, although the outcome came too late", s.b.o.Patience)
		return refusal{}
	}
}

// cleanup gives back the runs that still wait for the test, and stops.
func (s *server) cleanup() {
	s.cancel()
	s.mu.Lock()
	for h := range s.open {
		select {
		case h.answer <- answer{}:
		default:
		}
	}
	s.mu.Unlock()
	for {
		select {
		case err := <-s.result:
			var unfinished *engine.UnfinishedError
			if err != nil && !errors.As(err, &unfinished) && !errors.Is(err, engine.ErrClosed) {
				s.b.Errorf("Serve: %v", err)
			}
			return
		case h := <-s.runs:
			select {
			case h.answer <- answer{}:
			default:
			}
		case <-time.After(s.b.o.Patience):
			s.b.Errorf("Serve did not return for %v after its context ended and its runs returned", s.b.o.Patience)
			return
		}
	}
}

// log counts runs of tasks, from many goroutines.
type log struct {
	mu   sync.Mutex
	runs map[uuid.UUID]int
	all  []string
}

// add counts a run of the task and returns how many runs it had.
func (l *log) add(d *engine.Delivery) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.runs == nil {
		l.runs = make(map[uuid.UUID]int)
	}
	l.runs[d.Message.Meta.ID]++
	l.all = append(l.all, d.Message.Name)
	return l.runs[d.Message.Meta.ID]
}

func (l *log) names() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

func (l *log) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.all)
}

// once fails the test unless each task ran exactly once.
func (l *log) once(b *bench, ids []uuid.UUID) {
	b.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	lost, twice := 0, 0
	for _, id := range ids {
		switch n := l.runs[id]; {
		case n == 0:
			lost++
		case n > 1:
			twice++
		}
	}
	if lost+twice > 0 || len(l.runs) != len(ids) {
		b.Errorf("of %d tasks %d were never run, %d more than once, and %d others were run",
			len(ids), lost, twice, len(l.runs)-len(ids)+lost)
	}
}

// number is the JSON of n.
func number(n int) json.RawMessage { return json.RawMessage(fmt.Sprint(n)) }
