package tasktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

var _ engine.Waiter = (*ledger)(nil)

// answer is the end of the tasks that a call enqueues.
type answer struct {
	want   want
	state  engine.State
	result json.RawMessage
	reason string
}

// Answer sets the end of each task that the call enqueues, as in
// [Recorder.AssertEnqueued], before or after: it has succeeded with the
// result, or failed with err, or was cancelled if err wraps
// [runtime.ErrCancelled]. The result is one of the task's type, nil for a task
// without one. The latest of several answers to a call holds. Answer panics
// when the call cannot be enqueued or the result cannot be encoded.
//
//	rec := tasktest.NewRecorder()
//	rec.Answer(ChildCall(1), 41, nil)
//	got, err := tasktest.Run(t, RegisterTasks, ParentCall(), tasktest.WithRecorder(rec))
func (r *Recorder) Answer(call runtime.Caller, result any, err error) {
	a := answer{state: engine.StateSucceeded}
	var wrong error
	if a.want, wrong = r.wanted(call); wrong != nil {
		panic(fmt.Sprintf("tasktest: answer: %v", wrong))
	}
	switch {
	case errors.Is(err, engine.ErrCancelled):
		a.state, a.reason = engine.StateCancelled, err.Error()
	case err != nil:
		a.state, a.reason = engine.StateFailed, err.Error()
	case result != nil:
		if a.result, wrong = json.Marshal(result); wrong != nil {
			panic(fmt.Sprintf("tasktest: answer to %s: %v", a.want.full.Name, wrong))
		}
	}
	r.engine.mu.Lock()
	defer r.engine.mu.Unlock()
	r.engine.answers = append(r.engine.answers, a)
	for _, en := range r.engine.entries {
		r.engine.answer(en)
	}
}

// answer makes the entry an ended one, if there is an answer to it.
func (e *ledger) answer(en *engine.Entry) {
	for _, a := range e.answers {
		if len(a.want.differences(Enqueued{Message: en.Message})) == 0 {
			en.State, en.Result, en.Reason = a.state, a.result, a.reason
		}
	}
}

// Wait implements [engine.Waiter]: a task without an answer never ends.
func (e *ledger) Wait(ctx context.Context, id uuid.UUID) (*engine.Entry, error) {
	e.mu.Lock()
	run := e.driven[id]
	e.mu.Unlock()
	if run != nil {
		select {
		case <-run.ended:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	en, err := e.Get(ctx, id)
	if err == nil && !en.State.Final() && run == nil {
		return nil, fmt.Errorf("%w: tasktest runs no %s; tell what becomes of it with Recorder.Answer", ErrNotRun, en.Message.Name)
	}
	return en, err
}
