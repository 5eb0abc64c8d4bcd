package postgres

const getSQL = `SELECT {columns} FROM {s}.river_job j WHERE j.id = $1`

const lockJobSQL = `SELECT {columns}, now() FROM {s}.river_job j WHERE j.id = $1 FOR UPDATE`

const listSQL = `SELECT {columns} FROM {s}.river_job j WHERE j.id > $1`

// Most jobs are counted by an index alone. What waits is told apart by its
// metadata, as publicState does.
const countsSQL = `
SELECT j.queue, j.state::text, false, false, count(*) FROM {s}.river_job j
WHERE j.state IN ('completed', 'cancelled', 'discarded', 'running', 'retryable') GROUP BY j.queue, j.state
UNION ALL
SELECT j.queue, j.state::text, ` + isAgain + `, ` + isLater + `, count(*) FROM {s}.river_job j
WHERE j.state IN ('available', 'pending', 'scheduled') GROUP BY 1, 2, 3, 4`

// A job that waits is cancelled. One that runs is asked to stop, as River asks:
// by its metadata, and by a notification to whoever runs it. The first reason
// stays.
const cancelSQL = `
WITH changed AS (
	UPDATE {s}.river_job j SET
		state = CASE WHEN j.state = 'running' THEN j.state ELSE 'cancelled' END,
		finalized_at = CASE WHEN j.state = 'running' THEN NULL ELSE now() END,
		metadata = CASE WHEN j.metadata ? 'cancel_attempted_at' AND j.state = 'running' THEN j.metadata
			ELSE {metadata} || jsonb_build_object('cancel_attempted_at', now(), 'taskctx', {envelope}
				|| CASE WHEN j.state = 'running' THEN jsonb_build_object('cancel', $2::text)
				ELSE jsonb_build_object('reason', $2::text, 'again', false) END) END
	WHERE j.id = $1 AND j.state NOT IN ('completed', 'cancelled', 'discarded')
	RETURNING j.id, j.queue, j.state
), told AS (
	SELECT pg_notify($3::text, json_build_object('action', 'cancel', 'job_id', id, 'queue', queue)::text)
	FROM changed WHERE state = 'running'
)
SELECT EXISTS (SELECT FROM {s}.river_job WHERE id = $1), (SELECT count(*) FROM told)`

const retrySQL = `
WITH changed AS (
	UPDATE {s}.river_job j SET
		state = 'available', finalized_at = NULL, scheduled_at = now(),
		max_attempts = CASE WHEN j.attempt >= j.max_attempts THEN least(j.max_attempts::int + 1, 32767)::smallint ELSE j.max_attempts END,
		metadata = CASE WHEN j.metadata ? 'taskctx' OR NOT {ours}
			THEN ({metadata} - 'cancel_attempted_at') || jsonb_build_object('taskctx', {envelope} - 'cancel' - 'again'
				|| CASE WHEN {ours} THEN '{}' ELSE jsonb_build_object('ended', {ended} + 1) END)
			ELSE {metadata} - 'cancel_attempted_at' END
	WHERE j.id = $1 AND j.state IN ('discarded', 'cancelled')
	RETURNING j.queue
), told AS (
	SELECT pg_notify($2::text, json_build_object('queue', queue)::text) FROM changed
)
SELECT count(*) FROM told`

const removeSQL = `
WITH gone AS (
	DELETE FROM {s}.river_job WHERE id = $1 AND state <> 'running' RETURNING id
), keys AS (
	DELETE FROM {s}.taskctx_key k USING gone WHERE k.job_id = gone.id AND k.hold <> 3
)
SELECT EXISTS (SELECT FROM {s}.river_job WHERE id = $1), EXISTS (SELECT FROM gone)`

// Of the jobs asked for, those that have ended or are gone.
const endedSQL = `
SELECT a.id FROM unnest($1::bigint[]) AS a(id)
WHERE coalesce((SELECT j.state::text FROM {s}.river_job j WHERE j.id = a.id), 'completed')
	IN ('completed', 'cancelled', 'discarded')`
