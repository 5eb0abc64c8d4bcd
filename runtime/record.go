package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/wire"
)

// Record is a task at one moment: a copy.
type Record struct {
	ID       uuid.UUID    `json:"id"`
	Name     string       `json:"name"`
	Queue    string       `json:"queue"`
	State    engine.State `json:"state"`
	Priority int          `json:"priority"`
	// Attempt is of the current run, the next, or the last, from zero.
	Attempt    int `json:"attempt"`
	MaxRetries int `json:"max_retries"`
	// Timeout is how long an attempt may take, in nanoseconds in JSON, as far as it is
	// known: that of the enqueue, or of the task where it is registered. Deadline is
	// when the task must have ended.
	Timeout  time.Duration `json:"timeout,omitempty"`
	Deadline time.Time     `json:"deadline,omitzero"`
	// Args are the encoded arguments, without redacted values.
	Args       json.RawMessage `json:"args"`
	Tags       inspect.Tags    `json:"tags"`
	ParentID   uuid.UUID       `json:"parent_id,omitzero"`
	RootID     uuid.UUID       `json:"root_id"`
	EnqueuedAt time.Time       `json:"enqueued_at"`
	Due        time.Time       `json:"due,omitzero"`
	StartedAt  time.Time       `json:"started_at,omitzero"`
	EndedAt    time.Time       `json:"ended_at,omitzero"`
	Worker     string          `json:"worker,omitempty"`
	// Result is the JSON of the result, nil if there is none.
	Result json.RawMessage `json:"result,omitempty"`
	// Reason is why the task failed, was cancelled, waits or is parked.
	Reason string                 `json:"reason,omitempty"`
	Errors []inspect.AttemptError `json:"errors,omitempty"`
	Logs   []inspect.LogLine      `json:"logs,omitempty"`
	// LogsDropped is how many of the oldest lines of Config.KeepLogs are
	// missing, since together they were too large.
	LogsDropped int               `json:"logs_dropped,omitempty"`
	Progress    *inspect.Progress `json:"progress,omitempty"`
}

// newRecord makes the record of an entry. It redacts a parameter if the
// message or the registration says so: a task of a foreign producer says
// nothing.
func (a *App) newRecord(e *engine.Entry) *Record {
	m := e.Message
	r := &Record{
		ID: e.ID, Name: m.Name, Queue: m.Queue, State: e.State, Priority: int(m.Priority),
		Attempt: e.Attempt, MaxRetries: m.Meta.Retries, ParentID: m.Meta.Parent, RootID: m.Meta.Root,
		Timeout: m.Meta.Timeout, Deadline: m.Meta.Deadline, EnqueuedAt: m.Meta.EnqueuedAt, Due: e.Due,
		StartedAt: e.StartedAt, EndedAt: e.EndedAt, Worker: e.Worker,
		Result: a.shownResult(m, e.Result), Reason: a.openText(m, hook.PartReason, e.Reason),
	}
	if r.RootID == uuid.Nil {
		r.RootID = e.ID
	}
	tags := a.tagsOf(m)
	var s *wire.Derived
	var more []string
	if known := a.known(m.Name); known != nil {
		s = known.def.Derive()
		more = s.Redact
		if r.Timeout == 0 {
			r.Timeout = known.def.Timeout
		}
	}
	r.Args = redactedArgs(m, more)
	if len(e.Result) > 0 || len(m.Meta.Tags) > 0 || r.Reason != "" {
		d := a.redactorOf(m, s)
		r.Result, tags, r.Reason = d.JSON(r.Result), d.Tags(tags), d.CleanShown(r.Reason)
	}
	r.Tags = inspect.TagsOf(tags)
	if len(e.Memo) > 0 {
		if m, err := a.readMemo(m, e.Memo); err == nil {
			r.Errors, r.Logs, r.Progress, r.LogsDropped = m.Errors, m.Logs, m.Progress, m.Dropped
		}
	}
	return r
}

// registered returns the task of the name, nil if there is none here.
func (a *App) registered(name string) *wire.Derived {
	if r := a.known(name); r != nil {
		return r.def.Derive()
	}
	return nil
}

// aboutTask adds the operation and the task's id to an engine's error, since
// engines leave that to the App.
func aboutTask(what string, id uuid.UUID, err error) error {
	return fmt.Errorf("%s task %s: %w", what, id, err)
}

// Lookup returns the record of any task, or [ErrNotFound].
func (a *App) Lookup(ctx context.Context, id uuid.UUID) (*Record, error) {
	e, err := a.engine.Get(ctx, id)
	if err != nil {
		return nil, aboutTask("look up", id, err)
	}
	return a.newRecord(e), nil
}

// List returns the records of the tasks that q selects, oldest first, and the
// cursor of the next page, empty after the last.
func (a *App) List(ctx context.Context, q engine.Query) ([]*Record, string, error) {
	entries, next, err := a.engine.List(ctx, q)
	if err != nil {
		return nil, "", fmt.Errorf("list tasks: %w", err)
	}
	records := make([]*Record, len(entries))
	for i, e := range entries {
		records[i] = a.newRecord(e)
	}
	return records, next, nil
}

// Cancel cancels a task. A waiting one ends as cancelled; the context of a
// running one ends with [ErrCancelled], in any process. An ended task stays as
// it is. The reason defaults to "name.cancel".
func (a *App) Cancel(ctx context.Context, id uuid.UUID, reason string) error {
	if reason == "" {
		e, err := a.engine.Get(ctx, id)
		if err != nil {
			return aboutTask("cancel", id, err)
		}
		reason = e.Message.Name + ".cancel"
	}
	if err := a.engine.Cancel(ctx, id, clip(reason)); err != nil {
		return aboutTask("cancel", id, err)
	}
	return nil
}

// Retry makes a task that failed or was cancelled due now, for one more run,
// which has the Attempt of its last one.
func (a *App) Retry(ctx context.Context, id uuid.UUID) error {
	if err := a.engine.Retry(ctx, id); err != nil {
		return aboutTask("retry", id, err)
	}
	return nil
}

// RunNow makes a task that waits for its time due now: a scheduled one, or one
// that is to be retried, which uses no attempt. Pauses and limits hold. A task
// that is due already stays as it is; one that runs, is suspended or has ended is
// [ErrState]. An engine that cannot do it is [ErrUnsupported].
func (a *App) RunNow(ctx context.Context, id uuid.UUID) error {
	r, ok := engine.As[engine.NowRunner](a.engine)
	if !ok {
		return aboutTask("run", id, ErrUnsupported)
	}
	if err := r.RunNow(ctx, id); err != nil {
		return aboutTask("run", id, err)
	}
	return nil
}

// Delete forgets a task that is not running.
func (a *App) Delete(ctx context.Context, id uuid.UUID) error {
	if err := a.engine.Delete(ctx, id); err != nil {
		return aboutTask("delete", id, err)
	}
	return nil
}

// Reload returns the running task's record, read now, with this run's log
// lines and its latest progress. Outside a task it returns [ErrNoTask], and
// after the run [ErrTaskDone].
func (c *Context) Reload() (*Record, error) {
	r := c.runOrNil()
	if r == nil {
		return nil, fmt.Errorf("task's record: %w", ErrNoTask)
	}
	if r.life.Ended.Load() {
		return nil, fmt.Errorf("task's record: %w", ErrTaskDone)
	}
	rec, err := r.app.Lookup(c, r.id())
	if r.life.Ended.Load() { // meanwhile: the record is not the run's
		return nil, fmt.Errorf("task's record: %w", ErrTaskDone)
	}
	if err == nil {
		r = r.whole()
		r.addNotes(rec)
		x := r.more()
		x.mu.Lock()
		x.record = rec
		x.mu.Unlock()
	}
	return rec, err
}

// Record returns the running task's record as this run last read it; the first
// call reads it. Do not change it. Outside a task it returns [ErrNoTask], and
// after the run [ErrTaskDone].
func (c *Context) Record() (*Record, error) {
	r := c.runOrNil()
	if r == nil {
		return nil, fmt.Errorf("task's record: %w", ErrNoTask)
	}
	if r.life.Ended.Load() {
		return nil, fmt.Errorf("task's record: %w", ErrTaskDone)
	}
	x := r.whole().more()
	x.mu.Lock()
	rec := x.record
	x.mu.Unlock()
	if rec != nil {
		return rec, nil
	}
	return c.Reload()
}
