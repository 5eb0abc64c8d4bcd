package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime/engine"
)

// find returns the number of the task's job.
func (e *Engine) find(id uuid.UUID) (int64, error) {
	if err := e.closed(); err != nil {
		return 0, err
	}
	job, ok := e.jobOf(id)
	if !ok {
		return 0, engine.ErrNotFound
	}
	return job, nil
}

// Get implements [engine.Engine].
func (e *Engine) Get(ctx context.Context, id uuid.UUID) (*engine.Entry, error) {
	number, err := e.find(id)
	if err != nil {
		return nil, err
	}
	en, err := e.read(ctx, number)
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		return nil, e.failed("postgres", err)
	}
	return en, err
}

// read returns the entry of the job, or ErrNotFound.
func (e *Engine) read(ctx context.Context, number int64) (*engine.Entry, error) {
	var j *job
	err := e.steered(ctx, e.sql.get, []any{number}, func(scan func(...any) error) error {
		j = new(job)
		return scan(j.pointers()...)
	})
	switch {
	case err != nil:
		return nil, err
	case j == nil:
		return nil, engine.ErrNotFound
	}
	return e.entry(j), nil
}

// Cancel implements [engine.Engine]. A running task is stopped as soon as its
// worker is notified, or at that worker's next heartbeat.
func (e *Engine) Cancel(ctx context.Context, id uuid.UUID, reason string) error {
	job, err := e.find(id)
	if err != nil {
		return err
	}
	var exists bool
	var told int
	err = e.row(ctx, e.sql.cancel, []any{job, clean(reason), e.sql.controlChannel}, &exists, &told)
	switch {
	case err != nil:
		return e.failed("postgres", err)
	case !exists:
		return engine.ErrNotFound
	}
	e.watch.Look()
	return nil
}

// clean makes a reason storable.
func clean(reason string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(reason, "\uFFFD"), "\x00", "\uFFFD")
}

// Retry implements [engine.Engine].
func (e *Engine) Retry(ctx context.Context, id uuid.UUID) error {
	number, err := e.find(id)
	if err != nil {
		return err
	}
	err = e.inTx(ctx, func(ctx context.Context, d db) error { return e.retry(ctx, d, number) })
	if err != nil && !errors.Is(err, engine.ErrNotFound) && !errors.Is(err, engine.ErrState) {
		return e.failed("postgres", err)
	}
	return err
}

// retry makes the job due, after it took its key if it would hold it.
func (e *Engine) retry(ctx context.Context, d db, number int64) error {
	var j *job
	var now time.Time
	err := d.query(ctx, e.sql.lockJob, []any{number}, func(scan func(...any) error) error {
		j = new(job)
		return scan(append(j.pointers(), &now)...)
	})
	switch {
	case err != nil:
		return err
	case j == nil:
		return engine.ErrNotFound
	case j.state != riverDiscarded && j.state != riverCancelled:
		return fmt.Errorf("%w: it has neither failed nor been cancelled", engine.ErrState)
	}
	meta, _ := decode(j.metadata) // an unreadable one holds no key
	m := e.message(j, meta.Own)
	if holds(m) && !m.KeyHold.Free(engine.StatePending, j.attemptedAt != nil, j.createdAt.Add(m.KeyFor), now) {
		m.KeyFor = j.createdAt.Add(m.KeyFor).Sub(now) // what is left of it
		key := hashKey(m.Key)
		holders, err := e.holdKeys(ctx, d, map[string]wish{key: {number, m}})
		if err != nil {
			return err
		}
		if holders[key] != number {
			return fmt.Errorf("%w: task %s has its key by now", engine.ErrState, e.taskID(holders[key]))
		}
	}
	return d.query(ctx, e.sql.retry, []any{number, e.sql.insertChannel}, func(func(...any) error) error { return nil })
}

// Delete implements [engine.Engine].
func (e *Engine) Delete(ctx context.Context, id uuid.UUID) error {
	job, err := e.find(id)
	if err != nil {
		return err
	}
	var existed, done bool
	err = e.row(ctx, e.sql.remove, []any{job}, &existed, &done)
	switch {
	case err != nil:
		return e.failed("postgres", err)
	case !existed:
		return engine.ErrNotFound
	case !done:
		return engine.ErrRunning
	}
	e.watch.Look()
	return nil
}
