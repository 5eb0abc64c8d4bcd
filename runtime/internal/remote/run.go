package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Delivery is one run of a task.
type Delivery[C comparable, T any] struct {
	engine.Delivery
	Claim C
	Task  T

	store Store[C, T]
	over  atomic.Bool // it has concluded: a later run here may have the same claim
	mu    sync.Mutex
	memo  json.RawMessage // guarded by mu: as last read or written

	concluded atomic.Bool
}

// Store returns the store of the worker that runs it.
func (d *Delivery[C, T]) Store() Store[C, T] { return d.store }

// Concluded says that a transaction of the task's own has committed its success:
// the run's outcome is not written any more.
func (d *Delivery[C, T]) Concluded() { d.concluded.Store(true) }

// Outcome is the outcome of a run, to be written.
type Outcome[C comparable, T any] struct {
	engine.Outcome
	Of      *Delivery[C, T]
	Doubted bool // it was put back, and may have been written
}

// Deliver makes the run of a claimed task. The engine sets its Message and
// Attempt.
func (w *Worker[C, T]) Deliver(claim C, task T, memo json.RawMessage) *Delivery[C, T] {
	d := &Delivery[C, T]{Claim: claim, Task: task, store: w.store, memo: memo}
	d.Memo = d
	return d
}

// LoadMemo implements [engine.Memo]. It does not read the memo again, since
// only this run writes it.
func (d *Delivery[C, T]) LoadMemo(context.Context) (json.RawMessage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return bytes.Clone(d.memo), nil
}

// SaveMemo implements [engine.Memo].
func (d *Delivery[C, T]) SaveMemo(ctx context.Context, memo json.RawMessage) error {
	if d.over.Load() {
		return engine.ErrLeaseLost
	}
	ctx, cancel := context.WithTimeout(ctx, memoTimeout)
	defer cancel()
	owned, err := d.store.SaveMemo(ctx, d.Claim, memo)
	if err != nil {
		return err
	}
	if !owned {
		return engine.ErrLeaseLost
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.memo = bytes.Clone(memo)
	return nil
}

// Start runs deliveries.
func (w *Worker[C, T]) Start(ds []*Delivery[C, T]) {
	w.mu.Lock()
	if w.claimed = len(ds); w.claimed < w.want {
		w.claimed = 0
	}
	for _, d := range ds {
		w.active[d] = struct{}{}
	}
	w.mu.Unlock()
	for _, d := range ds {
		w.start(d)
	}
}

// start runs a delivery on a goroutine of its own, which a handler may end.
func (w *Worker[C, T]) start(d *Delivery[C, T]) {
	go func() {
		o := &Outcome[C, T]{Of: d}
		defer w.finish(o)
		w.RunInto(w.runs, &d.Delivery, &o.Outcome)
	}()
}

// finish takes the outcome of a run.
func (w *Worker[C, T]) finish(o *Outcome[C, T]) {
	o.Of.over.Store(true)
	w.mu.Lock()
	delete(w.active, o.Of)
	concluded := o.Of.concluded.Load()
	late := w.abandoned && !concluded
	full := w.claimed > 0
	switch {
	case concluded && full:
		w.claimed--
	case !concluded && !late:
		w.outcomes = append(w.outcomes, o)
	}
	ended := full && len(w.outcomes) >= w.claimed
	w.mu.Unlock()
	if late {
		w.Refuse(o)
		return
	}
	if o.Of.Message.Limits != nil {
		w.NewsOf(o.Of.Message.Queue) // its place may be another's, to be claimed in the same step
	}
	signal(w.ready)
	if ended {
		signal(w.ended)
	}
}

// Refuse reports to the App that an outcome was not recorded.
func (w *Worker[C, T]) Refuse(o *Outcome[C, T]) {
	if w.Refused != nil {
		w.Refused(&o.Of.Delivery, o.Outcome)
	}
}

// Late ends a run whose outcome came too late: it no longer owned the task.
func (w *Worker[C, T]) Late(o *Outcome[C, T]) {
	o.Of.Stop(engine.ErrLeaseLost)
	w.Refuse(o)
}

// PutBack keeps outcomes for another step.
func (w *Worker[C, T]) PutBack(outcomes []*Outcome[C, T]) {
	for _, o := range outcomes {
		o.Doubted = true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outcomes = append(outcomes, w.outcomes...)
}

// Active returns the claims of the tasks that run here.
func (w *Worker[C, T]) Active() []C {
	w.mu.Lock()
	defer w.mu.Unlock()
	cs := make([]C, 0, len(w.active))
	for d := range w.active {
		cs = append(cs, d.Claim)
	}
	return cs
}

// disown gives up the running tasks, and names them. From then on it refuses
// their outcomes, and the unwritten ones.
func (w *Worker[C, T]) disown() error {
	w.mu.Lock()
	w.abandoned = true
	late := w.outcomes
	w.outcomes = nil
	unfinished := new(engine.UnfinishedError)
	add := func(m *engine.Message) {
		unfinished.Tasks = append(unfinished.Tasks, engine.Unfinished{ID: m.Meta.ID, Name: m.Name})
	}
	var stop []*Delivery[C, T]
	for d := range w.active {
		stop = append(stop, d)
		add(d.Message)
	}
	w.mu.Unlock()
	for _, o := range late {
		add(o.Of.Message)
		w.Refuse(o)
	}
	for _, d := range stop {
		d.Stop(engine.ErrShutdown)
	}
	if len(unfinished.Tasks) == 0 {
		return nil
	}
	return unfinished
}
