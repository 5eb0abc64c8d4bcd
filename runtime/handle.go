package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/wire"
)

// Handle is an enqueued task whose result is an R. Its methods may be called
// concurrently.
type Handle[R any] handle

// handle is a Handle, whatever the type of the result: only reading the result
// differs.
type handle struct {
	_        [0]func() // not comparable: comparing code is compiled for each type of result
	id       uuid.UUID
	existing bool
	app      *App
}

// HandleOf returns a handle for a task known by its id. R must be the type of
// its result.
func HandleOf[R any](app *App, id uuid.UUID) *Handle[R] {
	return &Handle[R]{id: id, app: app}
}

// ID returns the task's id.
func (h *Handle[R]) ID() uuid.UUID { return h.id }

// Existing reports that the call was not enqueued, since another task held its
// key. The handle is of that task.
func (h *Handle[R]) Existing() bool { return h.existing }

// Record returns the task's record as it is now.
func (h *Handle[R]) Record(ctx context.Context) (*Record, error) {
	return (*handle)(h).record(ctx)
}

func (h *handle) record(ctx context.Context) (*Record, error) {
	if h.app == nil {
		return nil, errNotEnqueued
	}
	return h.app.Lookup(ctx, h.id)
}

// errNotEnqueued is the error of a handle whose batch was not enqueued.
var errNotEnqueued = errors.New("the task was not enqueued: its batch was not, or failed")

// Wait waits until the task has ended, and returns its result. If the task
// failed or was cancelled, the error is a [*TaskError]; if its record is gone,
// [ErrNotFound].
//
// In a task it returns [ErrWaitInTask], since tasks that wait for tasks can
// fill every slot: a durable task waits with [Spawn] and [Future.Await].
func (h *Handle[R]) Wait(ctx context.Context) (result R, err error) {
	e, err := (*handle)(h).wait(ctx)
	if err != nil || len(e.Result) == 0 { // middleware may let it succeed without the task
		return result, err
	}
	plain, err := wire.DecodePlain(e.Result, &result)
	if !plain { // and the result is on the heap only if it is no plain one
		p := new(R)
		err = wire.DecodeResult(e.Result, p)
		result = *p
	}
	if err != nil {
		return *new(R), (*handle)(h).undecoded(e, err)
	}
	return result, nil
}

// wait returns the entry of the task once it has succeeded.
func (h *handle) wait(ctx context.Context) (*engine.Entry, error) {
	if current(ctx) != nil {
		return nil, ErrWaitInTask
	}
	if h.app == nil {
		return nil, errNotEnqueued
	}
	e, err := h.app.wait(ctx, h.id)
	if err != nil {
		return nil, aboutTask("await", h.id, err)
	}
	if e.State != engine.StateSucceeded {
		reason := h.app.openText(e.Message, hook.PartReason, e.Reason)
		return nil, &TaskError{ID: h.id, Name: e.Message.Name, State: e.State, Reason: reason}
	}
	if isSealed(e.Result) {
		opened := *e
		if opened.Result, err = h.app.openResult(e.Message, e.Result); err != nil {
			return nil, h.undecoded(e, err)
		}
		e = &opened
	}
	return e, nil
}

func (h *handle) undecoded(e *engine.Entry, err error) error {
	return fmt.Errorf("decode %s %s: %w", e.Message.Name, h.id, err)
}

// TaskError is the error of a task that failed or was cancelled, or of a
// durable task's child that was deleted before its end, with [engine.StateDeleted].
type TaskError struct {
	ID     uuid.UUID
	Name   string
	State  engine.State
	Reason string
}

func (e *TaskError) Error() string {
	return fmt.Sprintf("task %s %s %s: %s", e.Name, e.ID, e.State, e.Reason)
}

// Is makes errors.Is(err, ErrCancelled) true for a cancelled task, and
// errors.Is(err, ErrNotFound) for a child that was deleted.
func (e *TaskError) Is(target error) bool {
	return target == engine.ErrCancelled && e.State == engine.StateCancelled ||
		target == engine.ErrNotFound && e.State == engine.StateDeleted
}

// firstPoll and lastPoll bound how often an engine without Waiter is asked.
const (
	firstPoll = 5 * time.Millisecond
	lastPoll  = 500 * time.Millisecond
)

// wait returns the entry of the task once it has ended.
func (a *App) wait(ctx context.Context, id uuid.UUID) (*engine.Entry, error) {
	if w, ok := engine.As[engine.Waiter](a.engine); ok {
		return w.Wait(ctx, id)
	}
	t := time.NewTimer(0)
	defer t.Stop()
	for every := firstPoll; ; every = min(every*3/2, lastPoll) {
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		e, err := a.engine.Get(ctx, id)
		if err != nil || e.State.Final() {
			return e, err
		}
		t.Reset(every)
	}
}
