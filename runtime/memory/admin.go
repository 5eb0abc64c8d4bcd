package memory

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
)

// pageSize is the size of a page when a query does not say.
const pageSize = 100

// find returns the task, with the lock held. It does not find what is kept no
// longer.
func (e *Engine) find(id uuid.UUID, now time.Time) (*task, error) {
	if e.closed {
		return nil, runtime.ErrClosed
	}
	t := e.tasks.get(id)
	if t == nil || e.overKept(t, now) {
		return nil, fmt.Errorf("task %s: %w", id, runtime.ErrNotFound)
	}
	return t, nil
}

// overKept reports whether the task has ended and was kept for its time.
func (e *Engine) overKept(t *task, now time.Time) bool {
	if !t.state.final() {
		return false
	}
	keep := e.keepFor
	if t.msg.Keep > 0 {
		keep = t.msg.Keep
	}
	return now.Sub(t.endedAt) >= keep
}

// Get implements [runtime.Engine].
func (e *Engine) Get(_ context.Context, id uuid.UUID) (*runtime.Entry, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	t, err := e.find(id, now)
	if err != nil {
		return nil, err
	}
	return t.entry(now), nil
}

// Wait implements [runtime.Waiter].
func (e *Engine) Wait(ctx context.Context, id uuid.UUID) (*runtime.Entry, error) {
	e.mu.Lock()
	t, err := e.find(id, e.now())
	for err == nil && !t.state.final() {
		done := t.ended()
		e.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		e.mu.Lock()
		if !t.state.final() { // run again already, deleted, or closed
			t, err = e.find(id, e.now())
		}
	}
	defer e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return t.entry(e.now()), nil
}

// ended returns a channel that is closed when the task ends or is forgotten.
func (t *task) ended() <-chan struct{} {
	m := t.extra()
	if m.done == nil {
		m.done = make(chan struct{})
	}
	return m.done
}

// List implements [runtime.Engine].
func (e *Engine) List(_ context.Context, q runtime.Query) ([]*runtime.Entry, string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, "", runtime.ErrClosed
	}
	t, err := e.after(q.Cursor)
	if err != nil {
		return nil, "", err
	}
	limit := q.Limit
	if limit <= 0 {
		limit = pageSize
	}
	now := e.now()
	var found []*runtime.Entry
	for last := t; t != nil; t = t.newer {
		if e.overKept(t, now) || !q.Matches(t.brief(now)) {
			continue
		}
		if len(found) == limit {
			return found, cursor(last), nil
		}
		found = append(found, t.entry(now))
		last = t
	}
	return found, "", nil
}

// brief is what a query looks at.
func (t *task) brief(now time.Time) *runtime.Entry {
	return &runtime.Entry{ID: t.id, Message: t.msg, State: t.publicState(now)}
}

// cursor says how far a page went: by its last task, and by that task's place
// in case it is forgotten before the next page.
func cursor(t *task) string { return strconv.FormatUint(t.seq, 36) + "." + t.id.String() }

// after returns the first task of the page that begins at the cursor.
func (e *Engine) after(cursor string) (*task, error) {
	if cursor == "" {
		return e.all.oldest, nil
	}
	place, name, _ := strings.Cut(cursor, ".")
	seq, err := strconv.ParseUint(place, 36, 64)
	if err != nil {
		return nil, fmt.Errorf("cursor %q is not one that List returned: %w", cursor, err)
	}
	id, err := uuid.Parse(name)
	if err != nil {
		return nil, fmt.Errorf("cursor %q is not one that List returned: %w", cursor, err)
	}
	if t := e.tasks.get(id); t != nil && t.seq == seq {
		return t.newer, nil
	}
	t := e.all.oldest
	for t != nil && t.seq <= seq {
		t = t.newer
	}
	return t, nil
}

// Cancel implements [runtime.Engine].
func (e *Engine) Cancel(_ context.Context, id uuid.UUID, reason string) error {
	e.mu.Lock()
	now := e.now()
	t, err := e.find(id, now)
	if err != nil {
		e.mu.Unlock()
		return err
	}
	var stop *run
	switch {
	case t.state.final():
	case t.state == running:
		if m := t.extra(); !m.cancelled {
			m.cancelled, m.why = true, reason
			stop = t.owner
		}
	default:
		e.dequeue(t)
		t.setReason(reason)
		e.end(t, cancelled, now)
	}
	e.mu.Unlock()
	if stop != nil {
		stop.Stop(runtime.CancelCause(reason))
	}
	return nil
}

// Retry implements [runtime.Engine]. It is [runtime.ErrQueueFull] when there is
// no room for one more task.
func (e *Engine) Retry(_ context.Context, id uuid.UUID) error {
	e.mu.Lock()
	var wakes wakeList
	defer func() {
		e.mu.Unlock()
		wakes.do()
	}()
	now := e.now()
	t, err := e.find(id, now)
	switch {
	case err != nil:
		return err
	case t.state != failed && t.state != cancelled:
		return fmt.Errorf("retry task %s, which is %s: %w", id, t.publicState(now), runtime.ErrState)
	case e.live >= e.capacity:
		return fmt.Errorf("retry task %s: %w", id, runtime.ErrQueueFull)
	}
	e.leaveEnded(t)
	e.live++
	t.state, t.due, t.endedAt = waiting, now, time.Time{}
	if t.more != nil {
		t.more.cancelled, t.more.why = false, ""
	}
	e.queue(t, true, now, &wakes)
	return nil
}

// Delete implements [runtime.Engine].
func (e *Engine) Delete(_ context.Context, id uuid.UUID) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	t, err := e.find(id, e.now())
	switch {
	case err != nil:
		return err
	case t.state == running:
		return fmt.Errorf("delete task %s: %w", id, runtime.ErrRunning)
	case t.state.final():
		e.forgetEnded(t)
		return nil
	}
	e.dequeue(t)
	e.live--
	e.admitWaiting()
	e.forget(t)
	t.wake()
	return nil
}
