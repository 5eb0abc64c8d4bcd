package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
)

// pageSize is the size of a page when a query does not say.
const pageSize = 100

// find returns the number of the task's job.
func (e *Engine) find(id uuid.UUID) (int64, error) {
	if err := e.closed(); err != nil {
		return 0, err
	}
	job, ok := e.jobOf(id)
	if !ok {
		return 0, runtime.ErrNotFound
	}
	return job, nil
}

// Get implements [runtime.Engine].
func (e *Engine) Get(ctx context.Context, id uuid.UUID) (*runtime.Entry, error) {
	number, err := e.find(id)
	if err != nil {
		return nil, err
	}
	en, err := e.read(ctx, number)
	if err != nil && !errors.Is(err, runtime.ErrNotFound) {
		return nil, e.failed("postgres", err)
	}
	return en, err
}

// read returns the entry of the job, or ErrNotFound.
func (e *Engine) read(ctx context.Context, number int64) (*runtime.Entry, error) {
	var j *job
	err := e.steered(ctx, e.sql.get, []any{number}, func(scan func(...any) error) error {
		j = new(job)
		return scan(j.pointers()...)
	})
	switch {
	case err != nil:
		return nil, err
	case j == nil:
		return nil, runtime.ErrNotFound
	}
	return e.entry(j), nil
}

// Conditions on the job j for the states that River does not have.
const (
	isAgain  = `coalesce(j.metadata -> 'taskctx' ->> 'again', '') = 'true'`
	isParked = hasParked
	isLater  = `j.state = 'scheduled' AND j.scheduled_at > now() AND NOT ` + isParked
)

// stateConditions say which jobs are in each state, as publicState does.
var stateConditions = map[runtime.State]string{
	runtime.StateScheduled: isLater + ` AND NOT ` + isAgain,
	runtime.StatePending:   `j.state IN ('available', 'pending', 'scheduled') AND NOT (` + isLater + `) AND NOT ` + isAgain,
	runtime.StateRetrying:  `(j.state = 'retryable' OR j.state IN ('available', 'pending', 'scheduled') AND ` + isAgain + `)`,
	runtime.StateRunning:   `j.state = 'running'`,
	runtime.StateSucceeded: `j.state = 'completed'`,
	runtime.StateFailed:    `j.state = 'discarded'`,
	runtime.StateCancelled: `j.state = 'cancelled'`,
}

// List implements [runtime.Engine].
func (e *Engine) List(ctx context.Context, q runtime.Query) ([]*runtime.Entry, string, error) {
	if err := e.closed(); err != nil {
		return nil, "", err
	}
	var after int64
	if q.Cursor != "" {
		n, err := strconv.ParseInt(q.Cursor, 10, 64)
		if err != nil || n < 1 {
			return nil, "", fmt.Errorf("cursor %q is not one that List returned", q.Cursor)
		}
		after = n
	}
	limit := q.Limit
	if limit <= 0 {
		limit = pageSize
	}
	text, args := e.listQuery(q, after)
	var found []*runtime.Entry
	next := ""
	err := e.query(ctx, text+fmt.Sprintf(" ORDER BY j.id LIMIT %d", limit+1), args, func(scan func(...any) error) error {
		if len(found) == limit {
			last, _ := e.jobOf(found[limit-1].ID)
			next = strconv.FormatInt(last, 10)
			return nil
		}
		var j job
		if err := scan(j.pointers()...); err != nil {
			return err
		}
		found = append(found, e.entry(&j))
		return nil
	})
	if err != nil {
		return nil, "", e.failed("postgres", err)
	}
	return found, next, nil
}

// listQuery is the query for everything in q but its limit.
func (e *Engine) listQuery(q runtime.Query, after int64) (string, []any) {
	var b strings.Builder
	b.WriteString(e.sql.list)
	args := []any{after}
	arg := func(v string) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args)) + "::text"
	}
	if len(q.States) > 0 {
		conditions := make([]string, len(q.States))
		for i, s := range q.States {
			if conditions[i] = stateConditions[s]; conditions[i] == "" {
				conditions[i] = "false"
			}
		}
		b.WriteString(" AND ((" + strings.Join(conditions, ") OR (") + "))")
	}
	if q.Name != "" {
		b.WriteString(" AND j.kind = " + arg(q.Name))
	}
	if q.Queue != "" {
		b.WriteString(" AND j.queue = " + arg(q.Queue))
	}
	switch {
	case q.Tag != "" && q.TagValue != "":
		b.WriteString(" AND j.metadata @> jsonb_build_object('taskctx', jsonb_build_object('tags', jsonb_build_object(" +
			arg(q.Tag) + ", " + arg(q.TagValue) + ")))")
	case q.Tag != "":
		b.WriteString(" AND j.metadata -> 'taskctx' -> 'tags' ? " + arg(q.Tag))
	}
	return b.String(), args
}

// Counts implements [runtime.Counter].
func (e *Engine) Counts(ctx context.Context) ([]runtime.Count, error) {
	if err := e.closed(); err != nil {
		return nil, err
	}
	type place struct {
		queue string
		state runtime.State
	}
	tally := make(map[place]int64)
	err := e.query(ctx, e.sql.counts, nil, func(scan func(...any) error) error {
		var j job
		var again, later bool
		var n int64
		if err := scan(&j.queue, &j.state, &again, &later, &n); err != nil {
			return err
		}
		j.overdue = !later
		tally[place{j.queue, j.publicState(&envelope{Again: again})}] += n
		return nil
	})
	if err != nil {
		return nil, e.failed("count tasks", err)
	}
	counts := make([]runtime.Count, 0, len(tally))
	for p, n := range tally {
		counts = append(counts, runtime.Count{Queue: p.queue, State: p.state, Tasks: n})
	}
	return counts, nil
}

// Cancel implements [runtime.Engine]. A running task is stopped as soon as its
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
		return runtime.ErrNotFound
	}
	e.watch.Look()
	return nil
}

// clean makes a reason storable.
func clean(reason string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(reason, "\uFFFD"), "\x00", "\uFFFD")
}

// Retry implements [runtime.Engine].
func (e *Engine) Retry(ctx context.Context, id uuid.UUID) error {
	number, err := e.find(id)
	if err != nil {
		return err
	}
	err = e.inTx(ctx, func(ctx context.Context, d db) error { return e.retry(ctx, d, number) })
	if err != nil && !errors.Is(err, runtime.ErrNotFound) && !errors.Is(err, runtime.ErrState) {
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
		return runtime.ErrNotFound
	case j.state != riverDiscarded && j.state != riverCancelled:
		return fmt.Errorf("%w: it has neither failed nor been cancelled", runtime.ErrState)
	}
	meta, _ := decode(j.metadata) // what cannot be read holds no key
	m := e.message(j, meta.Own)
	if holds(m) && !m.KeyHold.Free(runtime.StatePending, j.attemptedAt != nil, j.createdAt.Add(m.KeyFor), now) {
		m.KeyFor = j.createdAt.Add(m.KeyFor).Sub(now) // what is left of it
		key := hashKey(m.Key)
		holders, err := e.holdKeys(ctx, d, map[string]wish{key: {number, m}})
		if err != nil {
			return err
		}
		if holders[key] != number {
			return fmt.Errorf("%w: task %s has its key by now", runtime.ErrState, e.taskID(holders[key]))
		}
	}
	return d.query(ctx, e.sql.retry, []any{number, e.sql.insertChannel}, func(func(...any) error) error { return nil })
}

// Delete implements [runtime.Engine].
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
		return runtime.ErrNotFound
	case !done:
		return runtime.ErrRunning
	}
	e.watch.Look()
	return nil
}
