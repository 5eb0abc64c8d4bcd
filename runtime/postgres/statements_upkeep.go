package postgres

// Statements of upkeep: what becomes due, what nobody knows, what is kept no
// longer.

// Jobs with a key of River's own are left to promoteUnique. A parked task is
// due again as it was before. The last column is how many seconds later the
// next job is due.
const promoteSQL = `
WITH moved AS (
	UPDATE {s}.river_job j SET
		state = 'available',
		scheduled_at = coalesce({parked}, j.scheduled_at),
		metadata = CASE WHEN j.metadata -> 'taskctx' ? 'parked' THEN j.metadata #- '{taskctx,parked}' ELSE j.metadata END
	WHERE j.id = ANY(ARRAY(
		SELECT id FROM {s}.river_job
		WHERE state IN ('scheduled', 'retryable') AND scheduled_at <= now() AND unique_key IS NULL
		ORDER BY scheduled_at LIMIT 1000 FOR UPDATE SKIP LOCKED
	))
	RETURNING j.queue
), told AS (
	SELECT pg_notify($1::text, json_build_object('queue', q.queue)::text) FROM (SELECT DISTINCT queue FROM moved) q
)
SELECT (SELECT count(*) FROM moved), (SELECT count(*) FROM told),
	coalesce((SELECT extract(epoch FROM min(scheduled_at) - now())::float8 FROM {s}.river_job
		WHERE state IN ('scheduled', 'retryable') AND scheduled_at > now()), -1)`

// As River's scheduler does: of jobs with one key only one may wait.
const promoteUniqueSQL = `
WITH due AS (
	SELECT id FROM {s}.river_job
	WHERE state IN ('scheduled', 'retryable') AND scheduled_at <= now() AND unique_key IS NOT NULL
	ORDER BY scheduled_at LIMIT 1 FOR UPDATE SKIP LOCKED
), fate AS (
	SELECT j.id, EXISTS (
		SELECT FROM {s}.river_job o WHERE o.unique_key = j.unique_key AND o.id <> j.id AND o.unique_states IS NOT NULL
			AND {s}.river_job_state_in_bitmask(o.unique_states, o.state)) AS clash
	FROM {s}.river_job j JOIN due ON j.id = due.id
), moved AS (
	UPDATE {s}.river_job j SET
		state = CASE WHEN fate.clash THEN 'discarded' ELSE 'available' END::{s}.river_job_state,
		finalized_at = CASE WHEN fate.clash THEN now() END
	FROM fate WHERE j.id = fate.id
	RETURNING j.queue
)
SELECT (SELECT count(*) FROM moved), (SELECT count(pg_notify($1::text, json_build_object('queue', queue)::text)) FROM moved)`

// Tasks that nobody knows gather at the head of their queue, where every fetch
// would read them again: they are put aside for a minute, and shown with a
// reason. Only ours: a kind without our metadata may be a River worker's.
const parkSQL = `
UPDATE {s}.river_job j SET
	state = 'scheduled', scheduled_at = now() + interval '1 minute',
	metadata = j.metadata || jsonb_build_object('taskctx', {envelope} || jsonb_build_object(
		'parked', (extract(epoch FROM j.scheduled_at) * 1000000)::bigint,
		'reason', format('no worker of queue %s knows a task named %s', to_json(j.queue), to_json(j.kind))))
WHERE j.id = ANY(ARRAY(
	SELECT c.id FROM unnest($1::text[]) AS q(name)
	CROSS JOIN LATERAL (
		SELECT * FROM {s}.river_job
		WHERE state = 'available' AND queue = q.name
		ORDER BY priority, scheduled_at, id LIMIT 5000
	) c
	WHERE c.kind <> ALL($2::text[]) AND c.scheduled_at <= now() - $3::bigint * interval '1 microsecond'
		AND c.metadata ? 'taskctx'
		AND NOT EXISTS (SELECT FROM {s}.taskctx_worker w WHERE c.kind = ANY(w.names) AND c.queue = ANY(w.queues))
)) AND j.state = 'available'
RETURNING j.queue, j.kind`

// A worker that starts takes the tasks that were put aside for want of it.
const unparkSQL = `
UPDATE {s}.river_job j SET
	state = 'available', scheduled_at = coalesce({parked}, j.scheduled_at),
	metadata = j.metadata #- '{taskctx,parked}' #- '{taskctx,reason}'
WHERE j.state IN ('scheduled', 'retryable') AND j.scheduled_at <= now() + interval '2 minutes'
	AND j.queue = ANY($1::text[]) AND j.kind = ANY($2::text[]) AND j.metadata -> 'taskctx' ? 'parked'`

const expireSQL = `
UPDATE {s}.river_job j SET
	state = 'discarded', finalized_at = now(),
	scheduled_at = coalesce({parked}, j.scheduled_at),
	errors = array_append(j.errors, jsonb_build_object('at', now(), 'attempt', j.attempt, 'trace', '',
		'error', format('no worker of queue %s has known a task named %s for %s', to_json(j.queue), to_json(j.kind), $4::text))),
	metadata = j.metadata || jsonb_build_object('taskctx', {envelope} - 'parked' || jsonb_build_object(
		'again', false,
		'reason', format('no worker of queue %s has known a task named %s for %s', to_json(j.queue), to_json(j.kind), $4::text)))
WHERE j.state IN ('scheduled', 'retryable') AND j.scheduled_at <= now() + interval '2 minutes'
	AND j.queue = ANY($1::text[]) AND j.kind <> ALL($2::text[]) AND j.metadata -> 'taskctx' ? 'parked'
	AND {parked} <= now() - $3::bigint * interval '1 microsecond'
	AND NOT EXISTS (SELECT FROM {s}.taskctx_worker w WHERE j.kind = ANY(w.names) AND j.queue = ANY(w.queues))
RETURNING j.id, j.queue, j.kind`

// Records that are kept for $1 nanoseconds, 0 for those that do not say, and
// ended between the time $3, up to which all such are gone, and now less $2
// microseconds. What is not ours is left to River's own cleaner.
const cleanSQL = `
DELETE FROM {s}.river_job WHERE id = ANY(ARRAY(
	SELECT j.id FROM {s}.river_job j
	WHERE j.state IN ('completed', 'cancelled', 'discarded')
		AND j.finalized_at > $3::timestamptz AND j.finalized_at <= now() - $2::bigint * interval '1 microsecond'
		AND coalesce(j.metadata -> 'taskctx' -> 'keep', '0') = to_jsonb($1::bigint)
		AND (j.metadata ? 'taskctx' OR j.attempted_by[array_upper(j.attempted_by, 1)] LIKE '` + ownerPrefix + `%')
	LIMIT 1000 FOR UPDATE SKIP LOCKED
))`

const cleanKeysSQL = `DELETE FROM {s}.taskctx_key WHERE until <= now()`

const keepsSQL = `SELECT keep, now() - keep / 1000 * interval '1 microsecond' - interval '1 minute'
FROM (SELECT keep FROM {s}.taskctx_keep UNION ALL SELECT 0) k`

// River's tools list the queues that somebody serves, and can pause them.
const queuesSQL = `
INSERT INTO {s}.river_queue (name, updated_at) SELECT unnest($1::text[]), now()
ON CONFLICT (name) DO UPDATE SET updated_at = now()`

const pausedSQL = `SELECT name FROM {s}.river_queue WHERE name = ANY($1::text[]) AND paused_at IS NOT NULL`
