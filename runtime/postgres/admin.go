package postgres

import (
	"context"
	"encoding/json"
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
	en := e.entry(j)
	en.Beside = func() json.RawMessage { return beside(j.metadata) }
	return en, nil
}

// Cancel implements [engine.Engine]. A running task is stopped as soon as its
// worker is notified, or at that worker's next heartbeat.
func (e *Engine) Cancel(ctx context.Context, id uuid.UUID, reason string) error {
	job, err := e.find(id)
	if err != nil {
		return err
	}
	exists, err := e.cancel(ctx, job, reason)
	switch {
	case err != nil:
		return e.failed("postgres", err)
	case !exists:
		return engine.ErrNotFound
	}
	e.watch.Look()
	return nil
}

// cancel cancels a job, and reports whether there is one.
func (e *Engine) cancel(ctx context.Context, job int64, reason string) (exists bool, err error) {
	var told int
	var durable bool
	args := []any{[]int64{job}, clean(reason), e.sql.controlChannel, false}
	if err := e.steeredRow(ctx, e.sql.cancel, args, &exists, &told, &durable); err != nil || !durable {
		return exists, err
	}
	exists, err = e.cancelDurable(ctx, []int64{job}, reason, 0)
	e.eachServe(func(s *serve) { s.Due(0) }) // the children next; other processes look each PollInterval
	return exists, err
}

// cancelDurable cancels jobs of durable tasks or of children, and reports whether
// there are any. If parent is not zero it does so only while that one's children
// are to be cancelled.
func (e *Engine) cancelDurable(ctx context.Context, jobs []int64, reason string, parent int64) (exists bool, err error) {
	err = e.inTx(ctx, func(ctx context.Context, d db) error {
		heads, err := e.headsOf(ctx, d, jobs)
		if err != nil {
			return err
		}
		if err := d.query(ctx, e.sql.journal.lockHeads, []any{heads}, nothing); err != nil {
			return err
		}
		if _, err := e.leaving(ctx, d, jobs); err != nil { // before the jobs are locked
			return err
		}
		bereft := parent == 0
		if !bereft {
			err := d.query(ctx, e.sql.journal.isBereft, []any{parent}, func(func(...any) error) error { bereft = true; return nil })
			if err != nil || !bereft { // it was retried by hand meanwhile
				return err
			}
		}
		var told int
		var durable bool
		args := []any{jobs, clean(reason), e.sql.controlChannel, true}
		err = d.query(ctx, e.sql.cancel, args, func(scan func(...any) error) error { return scan(&exists, &told, &durable) })
		if err != nil {
			return err
		}
		return e.arriveIn(ctx, d, jobs)
	})
	return exists, err
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
	keys, err := e.limitKeysOf(ctx, d, []int64{number}) // to be locked before the job
	if err == nil && len(keys.key) > 0 {
		err = e.takeLimits(ctx, d, keys)
	}
	if err != nil {
		return err
	}
	var j *job
	var now time.Time
	err = d.query(ctx, e.sql.lockJob, []any{number}, func(scan func(...any) error) error {
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
		m.KeyFor = j.createdAt.Add(m.KeyFor).Sub(now) // the rest of it
		key := hashKey(m.Key)
		holders, err := e.holdKeys(ctx, d, map[string]wish{key: {number, m}})
		if err != nil {
			return err
		}
		if holders[key] != number {
			return fmt.Errorf("%w: task %s has its key by now", engine.ErrState, e.taskID(holders[key]))
		}
	}
	if err := e.redo(ctx, d, number); err != nil {
		return err
	}
	if len(keys.key) > 0 { // of its end, if nobody has written that down
		if err := e.leave(ctx, d, []int64{number}, keys); err != nil {
			return err
		}
	}
	if err := d.query(ctx, e.sql.retry, []any{number, e.sql.insertChannel}, nothing); err != nil || len(keys.key) == 0 {
		return err
	}
	return e.enterAgain(ctx, d, j, m.Limits, keys)
}

// Delete implements [engine.Engine].
func (e *Engine) Delete(ctx context.Context, id uuid.UUID) error {
	job, err := e.find(id)
	if err != nil {
		return err
	}
	var existed, done, durable bool
	if err = e.row(ctx, e.sql.remove, []any{job, false}, &existed, &done, &durable); err == nil && durable {
		err = e.inTx(ctx, func(ctx context.Context, d db) error {
			existed, done, err = e.removeDurable(ctx, d, job)
			return err
		})
	}
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

// removeDurable deletes the job of a durable task or of a child. If that has not
// ended, its parent is told.
func (e *Engine) removeDurable(ctx context.Context, d db, job int64) (existed, done bool, err error) {
	jobs := []int64{job}
	heads, err := e.headsOf(ctx, d, jobs)
	if err != nil {
		return false, false, err
	}
	if err := d.query(ctx, e.sql.journal.lockHeads, []any{heads}, nothing); err != nil {
		return false, false, err
	}
	keys, err := e.leaving(ctx, d, jobs)
	if err != nil {
		return false, false, err
	}
	// An end that nobody wrote down yet is not that it was deleted.
	if err := d.query(ctx, e.sql.journal.arrive, []any{jobs, e.sql.insertChannel}, nothing); err != nil {
		return false, false, err
	}
	var durable bool
	err = d.query(ctx, e.sql.remove, []any{job, true}, func(scan func(...any) error) error {
		return scan(&existed, &done, &durable)
	})
	if err == nil && done {
		err = e.leave(ctx, d, jobs, keys)
	}
	if err != nil || !done {
		return existed, done, err
	}
	for _, parent := range heads {
		if parent == job {
			continue
		}
		if err := e.arriveGone(ctx, d, parent, jobs); err != nil {
			return false, false, err
		}
	}
	return existed, done, d.query(ctx, e.sql.journal.forget, []any{jobs}, nothing)
}
