package postgres

// Statements of a worker: for its claims, outcomes and beats.

// ownsJob holds for the run that has the job j, and for no other: the row o
// has its number and attempt, and $1 is its worker. A worker's id is never
// used again. Each run of one worker has another attempt, unless that worker
// itself gave the previous run back.
//
// The state is compared as text so that no index applies: an index lists all
// tasks that have run since the last vacuum as running.
const ownsJob = `j.id = o.id AND j.state::text = 'running' AND j.attempt = o.attempt AND ` + runningOfUs

const runningOfUs = lastWorker + ` = $1`

// claimSQL claims jobs. The order within a queue is River's. Of several queues
// the first in $1 goes first: the worker turns them. It skips jobs that other
// workers claim, and those that the server refused to change.
//
// The rows, which are locked, go through an array, as the ids of those below
// do: the planner expects few elements in one, while it may read the whole
// table for a join of unknown size. A row that was changed since the statement
// began is left for the next fetch.
func claimSQL(owner string) string {
	return `
UPDATE {s}.river_job j SET
	state = 'running', attempt = least(greatest(j.attempt, 0) + 1, 32767), attempted_at = now(),
	attempted_by = array_append({workers}, ` + owner + `::text)
WHERE j.ctid = ANY(ARRAY({pick}))
RETURNING j.id, j.args, j.attempt, {created}, j.kind, j.metadata, j.priority, j.queue, {scheduled}`
}

const claimPick = `
	SELECT a.{row} FROM unnest($1::text[]) AS q(name)
	CROSS JOIN LATERAL (
		SELECT {row} FROM {s}.river_job
		WHERE state = 'available' AND queue = q.name AND scheduled_at <= now() AND kind = ANY($2::text[])
			AND id <> ALL($3::bigint[])
		ORDER BY priority, scheduled_at, id
		LIMIT $4::bigint
		{lock}
	) a
	LIMIT $4::bigint`

// claimAfterPick is claimPick from a place on in each queue and priority; see
// deadRows.
const claimAfterPick = `
	SELECT a.{row} FROM unnest($1::text[], $2::smallint[], $3::timestamptz[], $4::bigint[]) AS q(name, priority, at, id)
	CROSS JOIN LATERAL (
		SELECT {row} FROM {s}.river_job
		WHERE state = 'available' AND queue = q.name AND priority = q.priority AND (scheduled_at, id) > (q.at, q.id)
			AND scheduled_at <= now() AND kind = ANY($5::text[]) AND id <> ALL($6::bigint[])
		ORDER BY scheduled_at, id
		LIMIT $7::bigint
		{lock}
	) a
	LIMIT $7::bigint`

// claimFoundPick is claimPick among given jobs.
const claimFoundPick = `
	SELECT {row} FROM {s}.river_job
	WHERE id = ANY($1::bigint[]) AND state::text = 'available' AND queue = ANY($2::text[]) AND kind = ANY($3::text[])
		AND id <> ALL($4::bigint[]) AND scheduled_at <= now()
	ORDER BY priority, scheduled_at, id
	LIMIT $5::bigint
	{lock}`

const succeedSQL = `
UPDATE {s}.river_job j SET state = 'completed', finalized_at = now()
FROM unnest($2::bigint[], $3::smallint[]) AS o(id, attempt)
WHERE {own} AND j.id = ANY($2::bigint[]) RETURNING j.id, j.attempt`

// concludeSQL writes outcomes. A task that was asked to stop, and did not end,
// is cancelled. $9 is the run's addition to the metadata, $10 to our part of
// it, from which it takes $11 away.
const concludeSQL = `
UPDATE {s}.river_job j SET
	state = CASE WHEN {stopped} THEN 'cancelled' ELSE o.state END::{s}.river_job_state,
	attempt = greatest(j.attempt::int - o.back, 0),
	errors = CASE WHEN o.error = '' THEN j.errors ELSE array_append({errors}, o.error::jsonb) END,
	finalized_at = CASE WHEN {stopped} OR o.state IN ('completed', 'cancelled', 'discarded') THEN now() END,
	scheduled_at = CASE WHEN o.after < 0 THEN j.scheduled_at ELSE now() + o.after * interval '1 microsecond' END,
	metadata = {metadata} || o.top::jsonb || jsonb_build_object('taskctx',
		({envelope} - o.empty::text[]) || o.own::jsonb
		|| CASE WHEN NOT (o.ended OR {stopped}) THEN '{}' ELSE jsonb_build_object(
			'ended', {ended} + CASE WHEN o.ended THEN 1 ELSE 1 - o.back END) END
		|| CASE WHEN NOT {stopped} THEN '{}' ELSE jsonb_build_object(
			'again', false, 'reason', coalesce(j.metadata -> 'taskctx' ->> 'cancel', '')) END)
FROM unnest($2::bigint[], $3::smallint[], $4::text[], $5::smallint[], $6::boolean[], $7::text[], $8::bigint[],
	$9::text[], $10::text[], $11::text[]) AS o(id, attempt, state, back, ended, error, after, top, own, empty)
WHERE {own} AND j.id = ANY($2::bigint[]) RETURNING j.id, o.attempt`

// stopAsked holds when the outcome o leaves the job j waiting, although a
// Cancel asked the job to stop.
const stopAsked = `(o.state IN ('available', 'retryable', 'scheduled') AND j.metadata ? 'cancel_attempted_at')`

const saveMemoSQL = `
UPDATE {s}.river_job j SET metadata = {metadata} || jsonb_build_object('taskctx',
	({envelope} - o.empty::text[]) || o.own::jsonb)
FROM (SELECT $2::bigint AS id, $3::smallint AS attempt, $4::text AS own, $5::text AS empty) o
WHERE {own} RETURNING j.id`

// noteSQL notes why a job that does not run is left alone.
const noteSQL = `
UPDATE {s}.river_job j SET metadata = {metadata} || jsonb_build_object('taskctx', {envelope} || jsonb_build_object('reason', $2::text))
WHERE j.id = $1 AND j.state::text <> 'running'`

// beatSQL changes the worker's beat. A worker that was taken for lost, and is
// not, joins again.
const beatSQL = `
INSERT INTO {s}.taskctx_worker AS w (id, beats, slots, queues, names, host, pid) VALUES ($1, 1, $2, $3, $4, $5, $6)
ON CONFLICT (id) DO UPDATE SET beats = w.beats + 1, beat_at = now()`

const leaveSQL = `DELETE FROM {s}.taskctx_worker WHERE id = $1`

// othersSQL selects workers, and the owners of running tasks without a row of
// a worker.
const othersSQL = `
SELECT id, beats FROM {s}.taskctx_worker WHERE id <> $1
UNION ALL
SELECT DISTINCT {lastworker}, 0 FROM {s}.river_job j
WHERE j.state = 'running' AND {lastworker} LIKE '` + ownerPrefix + `%'
	AND NOT EXISTS (SELECT FROM {s}.taskctx_worker w WHERE w.id = {lastworker})
	AND {lastworker} <> $1`

const workersSQL = `SELECT id, beats FROM {s}.taskctx_worker WHERE id <> $1`

const mineSQL = `
SELECT j.id, j.attempt, j.metadata ? 'cancel_attempted_at', coalesce(j.metadata -> 'taskctx' ->> 'cancel', '')
FROM {s}.river_job j WHERE j.state = 'running' AND {mine}`

// mineOfSQL is mineSQL among given jobs.
const mineOfSQL = `
SELECT j.id, j.attempt, j.metadata ? 'cancel_attempted_at', coalesce(j.metadata -> 'taskctx' ->> 'cancel', '')
FROM {s}.river_job j WHERE j.id = ANY($2::bigint[]) AND j.state::text = 'running' AND {mine}`

// wasLostSQL finds out whether an attempt was lost: each take-over leaves an
// error for it.
const wasLostSQL = `SELECT EXISTS (SELECT FROM {s}.river_job j, unnest(j.errors) e
WHERE j.id = $1 AND e ->> 'attempt' = $2::smallint::text AND e ->> 'error' = $3::text)`

const runningOfSQL = `SELECT j.id FROM {s}.river_job j WHERE j.state = 'running' AND {lastworker} = $1`

// takeOverSQL makes a lost worker's jobs available. It does nothing if the
// worker $1 has beaten since $2 was seen. {which} are the jobs to look at, all
// or those of $5.
const takeOverSQL = `
WITH gone AS (
	DELETE FROM {s}.taskctx_worker WHERE id = $1 AND beats = $2 RETURNING id
), taken AS (
	UPDATE {s}.river_job j SET
		state = CASE WHEN j.metadata ? 'cancel_attempted_at' THEN 'cancelled' ELSE 'available' END::{s}.river_job_state,
		finalized_at = CASE WHEN j.metadata ? 'cancel_attempted_at' THEN now() END,
		errors = array_append({errors}, jsonb_build_object('at', now(), 'attempt', j.attempt, 'error', $3::text, 'trace', '')),
		metadata = {metadata} || jsonb_build_object('taskctx', {envelope}
			|| CASE WHEN j.metadata ? 'cancel_attempted_at' THEN jsonb_build_object('again', false,
				'ended', {ended} + 1,
				'reason', coalesce(j.metadata -> 'taskctx' ->> 'cancel', ''))
			ELSE jsonb_build_object('again', true, 'reason', $3::text) END)
	WHERE {which} AND {mine}
		AND (EXISTS (SELECT FROM gone) OR NOT EXISTS (SELECT FROM {s}.taskctx_worker WHERE id = $1))
	RETURNING j.id, j.queue
), told AS (
	SELECT pg_notify($4::text, json_build_object('queue', q.queue)::text) FROM (SELECT DISTINCT queue FROM taken) q
)
SELECT (SELECT count(*) FROM taken), (SELECT count(*) FROM told), (SELECT count(*) FROM gone)`
