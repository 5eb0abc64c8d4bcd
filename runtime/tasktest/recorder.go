package tasktest

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// Recorder is an Enqueuer that keeps enqueued calls and runs nothing. Make it
// with [NewRecorder]. Pass it to an Enqueue function, or supply it to a task.
// Its methods may be called concurrently.
type Recorder struct {
	runtime.Enqueuer
	engine *ledger
	app    *runtime.App
}

// NewRecorder returns an empty recorder. It prepares calls as an app with the
// configuration of [WithConfig] does; other options have no meaning for it.
func NewRecorder(opts ...Option) *Recorder {
	s := &settings{}
	s.apply(opts)
	return newRecorder(s)
}

func newRecorder(s *settings) *Recorder {
	e := new(ledger)
	app := runtime.New(e, s.cfg)
	return &Recorder{Enqueuer: app, engine: e, app: app}
}

// App returns the app that the recorder enqueues on, which runs nothing.
func (r *Recorder) App() *runtime.App { return r.app }

// Enqueued is a call that was enqueued.
type Enqueued struct {
	// N counts from 1 in the order of enqueueing.
	N int
	// Message is the message to store. Do not change it.
	Message *engine.Message
}

// All returns the enqueued calls, in order. It leaves out calls whose unique
// key was held.
func (r *Recorder) All() []Enqueued {
	r.engine.mu.Lock()
	defer r.engine.mu.Unlock()
	all := make([]Enqueued, len(r.engine.entries))
	for i, e := range r.engine.entries {
		all[i] = Enqueued{i + 1, e.Message}
	}
	return all
}

// Named returns the enqueued calls of the task, by its name on the wire.
func (r *Recorder) Named(name string) []Enqueued {
	return slices.DeleteFunc(r.All(), func(e Enqueued) bool { return e.Message.Name != name })
}

// Len returns how many calls were enqueued.
func (r *Recorder) Len() int { return len(r.All()) }

// Reset forgets the enqueued calls, and the answers.
func (r *Recorder) Reset() {
	r.engine.mu.Lock()
	defer r.engine.mu.Unlock()
	r.engine.entries, r.engine.keys, r.engine.answers = nil, nil, nil
}

// Fail makes every Enqueue from now on fail with err, and none if it is nil.
func (r *Recorder) Fail(err error) {
	r.engine.mu.Lock()
	defer r.engine.mu.Unlock()
	r.engine.fail = err
}

// Arg returns an argument of a call that was enqueued. It fails the test when
// there is none of the name, or it is not a T.
func Arg[T any](t testing.TB, e Enqueued, name string) T {
	t.Helper()
	var v T
	var args map[string]json.RawMessage
	if err := json.Unmarshal(e.Message.Args, &args); err != nil {
		t.Fatalf("tasktest: arguments of %s: %v", e.Message.Name, err)
	}
	raw, ok := args[name]
	if !ok {
		t.Fatalf("tasktest: %s was enqueued without an argument %q", e.Message.Name, name)
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("tasktest: argument %q of %s: %v", name, e.Message.Name, err)
	}
	return v
}

// AssertEnqueued fails the test, with the differences, unless the call was
// enqueued: the task with these arguments and the call's own options. Other
// options are not compared.
func (r *Recorder) AssertEnqueued(t testing.TB, call runtime.Caller) bool {
	t.Helper()
	w := r.want(t, call)
	all := r.All()
	if slices.ContainsFunc(all, func(e Enqueued) bool { return len(w.differences(e)) == 0 }) {
		return true
	}
	t.Error(w.report(all))
	return false
}

// AssertNotEnqueued fails the test if the call, as in [Recorder.AssertEnqueued],
// was enqueued.
func (r *Recorder) AssertNotEnqueued(t testing.TB, call runtime.Caller) bool {
	t.Helper()
	w := r.want(t, call)
	for _, e := range r.All() {
		if len(w.differences(e)) == 0 {
			t.Errorf("tasktest: this was enqueued, and must not be:\n  %s", describe(e))
			return false
		}
	}
	return true
}

// AssertOnly fails the test unless the calls, as in [Recorder.AssertEnqueued],
// and no others were enqueued, each once, in any order.
func (r *Recorder) AssertOnly(t testing.TB, calls ...runtime.Caller) bool {
	t.Helper()
	left := r.All()
	ok := true
	for _, call := range calls {
		w := r.want(t, call)
		i := slices.IndexFunc(left, func(e Enqueued) bool { return len(w.differences(e)) == 0 })
		if i < 0 {
			t.Error(w.report(left))
			ok = false
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	if ok && len(left) > 0 {
		t.Errorf("tasktest: %s enqueued beside what was wanted:%s", tasks(len(left)), listing(left))
		ok = false
	}
	return ok
}

// want is a call to look for.
type want struct {
	plain, full *engine.Message // without the call's options, and with them
}

func (r *Recorder) want(t testing.TB, call runtime.Caller) want {
	t.Helper()
	w, err := r.wanted(call)
	if err != nil {
		t.Fatalf("tasktest: %v", err)
	}
	return w
}

func (r *Recorder) wanted(call runtime.Caller) (want, error) {
	ctx := context.Background()
	plain, err := r.app.Prepare(ctx, runtime.Plain(call))
	if err != nil {
		return want{}, err
	}
	full, err := r.app.Prepare(ctx, call)
	if err != nil {
		return want{}, err
	}
	return want{plain, full}, nil
}
