package tasktest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
)

// engine is a runtime.Engine that keeps what is inserted, and runs nothing but
// what drive is given.
type engine struct {
	mu      sync.Mutex // guards all below
	fail    error
	entries []*runtime.Entry // in the order of insertion
	keys    map[string]held
	driven  map[uuid.UUID]*driven
	answers []answer // the latest last
}

type held struct {
	id    uuid.UUID
	until time.Time
}

// driven is a task that is run, or was.
type driven struct {
	entry *runtime.Entry
	d     *runtime.Delivery
	memo  *memo
	ended chan struct{}
}

// drive runs the message.
func (e *engine) drive(ctx context.Context, app *runtime.App, m *runtime.Message, attempt int) (runtime.Outcome, error) {
	// The memo says that the attempt before ended in an error, as it did: a
	// task that is over its retries is else taken for one that lost its worker.
	kept := &memo{raw: fmt.Appendf(nil, `{"concluded":%d}`, attempt+1)}
	run := &driven{
		entry: &runtime.Entry{
			ID: m.Meta.ID, Message: m, State: runtime.StateRunning, Attempt: attempt,
			Due: m.Meta.EnqueuedAt, StartedAt: time.Now(), Worker: "tasktest",
		},
		d:     &runtime.Delivery{Message: m, Attempt: attempt, Memo: kept},
		memo:  kept,
		ended: make(chan struct{}),
	}
	e.mu.Lock()
	if e.driven == nil {
		e.driven = make(map[uuid.UUID]*driven)
	}
	e.driven[m.Meta.ID] = run
	e.mu.Unlock()
	o, err := app.Drive(ctx, run.d)
	if o.Memo != nil {
		_ = kept.SaveMemo(ctx, o.Memo) // it cannot fail
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	run.entry.State, run.entry.EndedAt = stateAfter(o), time.Now()
	run.entry.Result, run.entry.Reason = o.Result, o.Reason
	close(run.ended)
	return o, err
}

func stateAfter(o runtime.Outcome) runtime.State {
	switch o.Kind {
	case runtime.OutcomeSucceed:
		return runtime.StateSucceeded
	case runtime.OutcomeFail:
		return runtime.StateFailed
	case runtime.OutcomeCancel:
		return runtime.StateCancelled
	case runtime.OutcomeRelease:
		return runtime.StatePending
	}
	return runtime.StateRetrying
}

func (e *engine) Check(*runtime.Message) error { return nil }

func (e *engine) Insert(_ context.Context, ms []*runtime.Message) ([]runtime.Inserted, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fail != nil {
		return nil, e.fail
	}
	now := time.Now()
	ins := make([]runtime.Inserted, len(ms))
	for i, m := range ms {
		if id, held := e.holder(m.Key, now); held {
			ins[i] = runtime.Inserted{ID: id, Existing: true}
			continue
		}
		if m.Key != "" {
			if e.keys == nil {
				e.keys = make(map[string]held)
			}
			e.keys[m.Key] = held{m.Meta.ID, now.Add(m.KeyFor)}
		}
		state, due := runtime.StatePending, m.Meta.EnqueuedAt
		if m.Due.After(now) {
			state, due = runtime.StateScheduled, m.Due
		}
		entry := &runtime.Entry{ID: m.Meta.ID, Message: m, State: state, Due: due}
		e.entries = append(e.entries, entry)
		e.answer(entry)
		ins[i] = runtime.Inserted{ID: m.Meta.ID}
	}
	return ins, nil
}

// holder returns the task that holds the key.
func (e *engine) holder(key string, now time.Time) (id uuid.UUID, held bool) {
	h, ok := e.keys[key]
	if key == "" || !ok {
		return uuid.Nil, false
	}
	i := e.index(h.id)
	if i < 0 {
		return uuid.Nil, false
	}
	en := e.entries[i]
	return h.id, !en.Message.KeyHold.Free(en.State, en.State.Final(), h.until, now)
}

func (e *engine) Serve(context.Context, *runtime.Worker) error {
	return errors.New("tasktest: a recorder does not run tasks: use a memory engine to start an app")
}

func (e *engine) Get(_ context.Context, id uuid.UUID) (*runtime.Entry, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if run, ok := e.driven[id]; ok {
		entry := *run.entry
		entry.Memo, _ = run.memo.LoadMemo(context.Background())
		return &entry, nil
	}
	i := e.index(id)
	if i < 0 {
		return nil, runtime.ErrNotFound
	}
	entry := *e.entries[i]
	return &entry, nil
}

// index is where the entry of the task is, -1 if it is nowhere.
func (e *engine) index(id uuid.UUID) int {
	return slices.IndexFunc(e.entries, func(en *runtime.Entry) bool { return en.ID == id })
}

func (e *engine) List(_ context.Context, q runtime.Query) ([]*runtime.Entry, string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	from := 0
	if q.Cursor != "" {
		n, err := strconv.Atoi(q.Cursor)
		if err != nil || n < 1 {
			return nil, "", fmt.Errorf("cursor %q is not one that List returned", q.Cursor)
		}
		from = min(n, len(e.entries))
	}
	limit := q.Limit
	if limit <= 0 {
		limit = 100
	}
	var found []*runtime.Entry
	for i, en := range e.entries[from:] {
		if !q.Matches(en) {
			continue
		}
		if len(found) == limit {
			return found, strconv.Itoa(from + i), nil
		}
		entry := *en
		found = append(found, &entry)
	}
	return found, "", nil
}

func (e *engine) Cancel(_ context.Context, id uuid.UUID, reason string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if run, ok := e.driven[id]; ok {
		run.d.Stop(runtime.CancelCause(reason))
		return nil
	}
	i := e.index(id)
	if i < 0 {
		return runtime.ErrNotFound
	}
	e.entries[i].State, e.entries[i].Reason = runtime.StateCancelled, reason
	return nil
}

func (e *engine) Retry(_ context.Context, id uuid.UUID) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := e.index(id)
	switch {
	case i < 0 && e.driven[id] == nil:
		return runtime.ErrNotFound
	case i < 0 || e.entries[i].State != runtime.StateCancelled:
		return runtime.ErrState
	}
	e.entries[i].State, e.entries[i].Reason = runtime.StatePending, ""
	return nil
}

func (e *engine) Delete(_ context.Context, id uuid.UUID) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.driven[id]; ok {
		return runtime.ErrRunning
	}
	i := e.index(id)
	if i < 0 {
		return runtime.ErrNotFound
	}
	e.entries = slices.Delete(e.entries, i, i+1)
	return nil
}

func (e *engine) Close() error { return nil }
