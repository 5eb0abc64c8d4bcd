package postgres

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/taskctx/taskctx/runtime/engine"
)

// replaceSQL gives a job that is locked and has never begun the content of another
// message: $9 is the rule for whose place it waits, "" for none.
const replaceSQL = `
WITH up AS (
	UPDATE {s}.river_job j SET args = $2::text::jsonb, max_attempts = $3, priority = $5, queue = $6,
		metadata = CASE WHEN $9::text = '' THEN $4::text::jsonb ELSE jsonb_set($4::text::jsonb, '{taskctx,limit}', to_jsonb($9::text)) END,
		scheduled_at = coalesce($7::timestamptz, now()), finalized_at = NULL,
		state = CASE WHEN $9::text <> '' THEN 'pending' WHEN $7::timestamptz > now() THEN 'scheduled'
			ELSE 'available' END::{s}.river_job_state,
		tags = string_to_array($8::text, ',')::varchar(255)[]
	WHERE j.id = $1 RETURNING j.queue, j.state::text AS state, j.scheduled_at
)
SELECT count(*) FROM (
	SELECT pg_notify($10::text, json_build_object('queue', queue)::text) FROM up WHERE state = 'available'
	UNION ALL
	SELECT pg_notify($11::text, (extract(epoch FROM scheduled_at - now()) * 1000000)::bigint::text) FROM up
	WHERE state = 'scheduled' AND scheduled_at < now() + $12::bigint * interval '1 microsecond'
) told`

const dropPlacesSQL = `DELETE FROM {s}.taskctx_place WHERE job_id = ANY($1::bigint[])`

// How replaceJob has gone.
type replacement int

const (
	replaced replacement = iota
	keptAsItIs
	hasBegun
	placesMoved // somebody has replaced it meanwhile, so that other keys are to be locked
)

// replacing returns the places in the lot of the messages that may replace a task
// which holds their key.
func (l *lot) replacing(ins []engine.Inserted) (places []int) {
	for i, m := range l.keys {
		if m.Replace && m.KeyHold == engine.HoldWaiting && ins[i].Existing {
			places = append(places, i)
		}
	}
	return places
}

// replaceHeld answers for a message whose key another task holds: that task takes its
// content, if it may, or the message is stored once that one has begun. run runs a
// transaction.
func (e *Engine) replaceHeld(
	ctx context.Context, m *engine.Message, in engine.Inserted, run func(context.Context, func(context.Context, db) error) error,
) (engine.Inserted, error) {
	for in.Existing {
		if ctx.Err() != nil {
			return in, context.Cause(ctx)
		}
		job, ok := e.jobOf(in.ID)
		if !ok {
			return in, nil
		}
		var how replacement
		if err := run(ctx, func(ctx context.Context, d db) (err error) {
			how, err = e.replaceJob(ctx, d, job, m)
			return err
		}); err != nil {
			return in, fmt.Errorf("replace task %s: %w", in.ID, err)
		}
		switch how {
		case placesMoved:
			continue
		case replaced, keptAsItIs:
			return in, nil
		}
		if err := run(ctx, func(ctx context.Context, d db) error {
			l, err := e.newLot([]*engine.Message{m})
			if err != nil {
				return err
			}
			if l.id, err = e.nextNumbers(ctx, d, 1); err != nil {
				return err
			}
			ins, err := e.store(ctx, d, l)
			if err == nil {
				in = ins[0]
			}
			return err
		}); err != nil {
			return in, err
		}
	}
	return in, nil
}

// replaceJob gives a job the content of a message, in a transaction.
func (e *Engine) replaceJob(ctx context.Context, d db, number int64, m *engine.Message) (replacement, error) {
	keys, err := e.limitKeysOf(ctx, d, []int64{number}) // to be locked before the job
	if err != nil {
		return keptAsItIs, err
	}
	keys.add(m.Limits...)
	if keys = keys.sorted(); len(keys.key) > 0 {
		if err := e.takeLimits(ctx, d, keys); err != nil {
			return keptAsItIs, err
		}
	}
	var j *job
	var now time.Time
	if err := d.query(ctx, e.sql.lockJob, []any{number}, func(scan func(...any) error) error {
		j = new(job)
		return scan(append(j.pointers(), &now)...)
	}); err != nil {
		return keptAsItIs, err
	}
	if j == nil || j.attemptedAt != nil || j.finalizedAt != nil || j.state == riverRunning {
		return hasBegun, nil
	}
	meta, err := decode(j.metadata)
	old := e.message(j, meta.Own)
	if err != nil || old.Key != m.Key || old.KeyHold != engine.HoldWaiting || old.Name != m.Name {
		return keptAsItIs, nil //nolint:nilerr // a job that cannot be read is kept, too
	}
	if !keys.include(old.Limits) {
		return placesMoved, nil
	}
	if err := e.replaceContent(ctx, d, number, m.Replacing(old)); err != nil || len(keys.key) == 0 {
		return replaced, err
	}
	return replaced, e.letIn(ctx, d, keys.key)
}

// replaceContent writes a message into a job. The keys of both's limits are locked.
func (e *Engine) replaceContent(ctx context.Context, d db, number int64, m *engine.Message) error {
	l, err := e.newLot([]*engine.Message{m})
	if err != nil {
		return err
	}
	l.id[0] = number
	if err := d.query(ctx, e.sql.limit.dropPlaces, []any{l.id}, nothing); err != nil {
		return err
	}
	replace := func(d db, waits []string) error {
		return d.query(ctx, e.sql.replace, []any{
			number, e.stored(l.args)[0], l.attempts[0], e.stored(l.metadata)[0], l.priority[0], l.queue[0], l.due[0], l.tags[0],
			waits[0], e.sql.insertChannel, e.sql.dueChannel, e.cfg.PollInterval.Microseconds(),
		}, nothing)
	}
	if l.limited == nil {
		return replace(d, []string{""})
	}
	return e.enterNew(ctx, d, l, replace)
}

// include reports whether the keys of limits are among these.
func (k *limitKeys) include(limits []engine.Limit) bool {
	for _, l := range limits {
		h, found := limitHash(l.Key), false
		for _, key := range k.key {
			found = found || bytes.Equal(key, h)
		}
		if !found {
			return false
		}
	}
	return true
}
