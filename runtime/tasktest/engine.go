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
	"github.com/taskctx/taskctx/runtime/engine"
)

// ledger is an engine.Engine that keeps inserted tasks, and runs only those
// given to drive.
type ledger struct {
	mu      sync.Mutex // guards all below
	fail    error
	entries []*engine.Entry // in the order of insertion
	keys    map[string]held
	driven  map[uuid.UUID]*driven
	answers []answer // the latest last
}

type held struct {
	id    uuid.UUID
	until time.Time
}

// driven is a task that runs, or ran.
type driven struct {
	entry *engine.Entry
	d     *engine.Delivery
	memo  *memo
	ended chan struct{}
}

// Join implements [engine.Transactor]: it keeps tasks inserted in a
// transaction, even if that rolls back.
func (e *ledger) Join(context.Context, any) (engine.Inserter, error) { return e, nil }

// drive runs the message.
func (e *ledger) drive(ctx context.Context, app *runtime.App, m *engine.Message, attempt int) (engine.Outcome, error) {
	// The memo records that the attempt before ended in an error. Otherwise a
	// task over its retries would look like one that lost its worker.
	kept := &memo{of: e, attempt: attempt, raw: fmt.Appendf(nil, `{"concluded":%d}`, attempt+1)}
	run := &driven{
		entry: &engine.Entry{
			ID: m.Meta.ID, Message: m, State: engine.StateRunning, Attempt: attempt,
			Due: m.Meta.EnqueuedAt, StartedAt: time.Now(), Worker: "tasktest",
		},
		d:     &engine.Delivery{Message: m, Attempt: attempt, Memo: kept},
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
	run.entry.State, run.entry.EndedAt = o.State(), time.Now()
	run.entry.Result, run.entry.Reason = o.Result, o.Reason
	close(run.ended)
	return o, err
}

func (e *ledger) Check(*engine.Message) error { return nil }

func (e *ledger) Insert(_ context.Context, ms []*engine.Message) ([]engine.Inserted, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.insert(ms)
}

// insert is Insert with e.mu held.
func (e *ledger) insert(ms []*engine.Message) ([]engine.Inserted, error) {
	if e.fail != nil {
		return nil, e.fail
	}
	now := time.Now()
	ins := make([]engine.Inserted, len(ms))
	for i, m := range ms {
		if id, held := e.holder(m.Key, now); held {
			ins[i] = engine.Inserted{ID: id, Existing: true}
			continue
		}
		if m.Key != "" {
			if e.keys == nil {
				e.keys = make(map[string]held)
			}
			e.keys[m.Key] = held{m.Meta.ID, now.Add(m.KeyFor)}
		}
		state, due := engine.StatePending, m.Meta.EnqueuedAt
		if m.Due.After(now) {
			state, due = engine.StateScheduled, m.Due
		}
		entry := &engine.Entry{ID: m.Meta.ID, Message: m, State: state, Due: due}
		e.entries = append(e.entries, entry)
		e.answer(entry)
		ins[i] = engine.Inserted{ID: m.Meta.ID}
	}
	return ins, nil
}

// holder returns the task that holds the key.
func (e *ledger) holder(key string, now time.Time) (id uuid.UUID, held bool) {
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

func (e *ledger) Serve(context.Context, *engine.Worker) error {
	return errors.New("tasktest: a recorder does not run tasks: use a memory engine to start an app")
}

func (e *ledger) Get(_ context.Context, id uuid.UUID) (*engine.Entry, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if run, ok := e.driven[id]; ok {
		entry := *run.entry
		entry.Memo, _ = run.memo.LoadMemo(context.Background())
		return &entry, nil
	}
	i := e.index(id)
	if i < 0 {
		return nil, engine.ErrNotFound
	}
	entry := *e.entries[i]
	return &entry, nil
}

// index returns where the entry of the task is, -1 if there is none.
func (e *ledger) index(id uuid.UUID) int {
	return slices.IndexFunc(e.entries, func(en *engine.Entry) bool { return en.ID == id })
}

func (e *ledger) List(_ context.Context, q engine.Query) ([]*engine.Entry, string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if q.Newest {
		return nil, "", fmt.Errorf("newest first: %w", runtime.ErrUnsupported)
	}
	from := 0
	if q.Cursor != "" {
		n, err := strconv.Atoi(q.Cursor)
		if err != nil || n < 1 {
			return nil, "", fmt.Errorf("cursor %q: %w", q.Cursor, engine.ErrCursor)
		}
		from = min(n, len(e.entries))
	}
	limit := q.Limit
	if limit <= 0 {
		limit = 100
	}
	var found []*engine.Entry
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

func (e *ledger) Cancel(_ context.Context, id uuid.UUID, reason string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if run, ok := e.driven[id]; ok {
		run.d.Stop(engine.CancelCause(reason))
		return nil
	}
	i := e.index(id)
	if i < 0 {
		return engine.ErrNotFound
	}
	e.entries[i].State, e.entries[i].Reason = engine.StateCancelled, reason
	return nil
}

func (e *ledger) Retry(_ context.Context, id uuid.UUID) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := e.index(id)
	switch {
	case i < 0 && e.driven[id] == nil:
		return engine.ErrNotFound
	case i < 0 || e.entries[i].State != engine.StateCancelled:
		return engine.ErrState
	}
	e.entries[i].State, e.entries[i].Reason = engine.StatePending, ""
	return nil
}

func (e *ledger) Delete(_ context.Context, id uuid.UUID) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.driven[id]; ok {
		return engine.ErrRunning
	}
	i := e.index(id)
	if i < 0 {
		return engine.ErrNotFound
	}
	e.entries = slices.Delete(e.entries, i, i+1)
	return nil
}

func (e *ledger) Close() error { return nil }
