package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Caller is a parameter for a call of any task: a [Call] or an [AnyCall]. Only
// AnyCall has the methods, since each method of a Call would be compiled for each
// type of a result.
type Caller interface{ anyCall() AnyCall }

func (c AnyCall) anyCall() AnyCall { return c }

// Batch enqueues several calls as one. The zero value is empty and ready. It
// may be used by one goroutine at a time, and enqueued once.
type Batch struct {
	calls []AnyCall
	set   []func(in engine.Inserted, app *App)
	done  bool
}

// AddTo adds a call to the batch, and returns the handle of its future task.
func AddTo[R any](b *Batch, c Call[R]) *Handle[R] {
	h := new(Handle[R])
	b.calls = append(b.calls, c.AnyCall)
	b.set = append(b.set, func(in engine.Inserted, app *App) { *h = Handle[R]{id: in.ID, existing: in.Existing, app: app} })
	return h
}

// Len returns the number of calls in the batch.
func (b *Batch) Len() int { return len(b.calls) }

// Enqueue enqueues all calls of the batch, or returns an error and enqueues
// none. On an engine without atomic batches the error may also be a
// [*PartialError].
func (b *Batch) Enqueue(ctx context.Context, q Enqueuer) error {
	if b.done {
		return ErrBatchDone
	}
	if len(b.calls) == 0 {
		return nil
	}
	p, err := producerOf(q)
	if err != nil {
		return fmt.Errorf("enqueue %d tasks: %w", len(b.calls), err)
	}
	ins, err := p.enqueue(ctx, slices.Clone(b.calls))
	if err != nil {
		return err
	}
	b.done = true
	partial := new(PartialError)
	for i, in := range ins {
		if in.Err != nil {
			partial.Failed = append(partial.Failed, i)
			partial.Errs = append(partial.Errs, fmt.Errorf("call %d: enqueue %s: %w", i, b.calls[i].Name(), in.Err))
			continue
		}
		b.set[i](in, p.app)
	}
	if len(partial.Failed) > 0 {
		return partial
	}
	return nil
}

// PartialError says that some calls of a batch were enqueued and some were not.
// Only engines without atomic batches return it.
type PartialError struct {
	// Failed are the indexes of the calls that were not enqueued, Errs the
	// reasons.
	Failed []int
	Errs   []error
}

func (e *PartialError) Error() string {
	return fmt.Sprintf("%d calls of the batch were not enqueued: %v", len(e.Failed), errors.Join(e.Errs...))
}

// Unwrap returns the errors of the calls.
func (e *PartialError) Unwrap() []error { return e.Errs }
