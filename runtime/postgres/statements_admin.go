package postgres

const getSQL = `SELECT {columns} FROM {s}.river_job j WHERE j.id = $1`

const lockJobSQL = `SELECT {columns}, now() FROM {s}.river_job j WHERE j.id = $1 FOR UPDATE`

// listSQL selects the rows of a page; listBriefSQL leaves out the large columns.
const listSQL = `SELECT {columns} FROM {s}.river_job j WHERE `

const listBriefSQL = `SELECT {briefcolumns} FROM {s}.river_job j WHERE `

// windowSQL selects the last of so many jobs after $1, none if there are
// fewer.
const windowSQL = `SELECT id FROM {s}.river_job WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2`

const windowNewestSQL = `SELECT id FROM {s}.river_job WHERE id < $1 ORDER BY id DESC LIMIT 1 OFFSET $2`

// aliveSQL selects the workers that have not stopped, for how many seconds nothing was heard of each,
// and how many tasks it runs.
const aliveSQL = `
SELECT w.id, w.host, w.pid, w.started_at, w.beat_at, w.slots, w.queues, w.names,
	extract(epoch FROM now() - w.beat_at)::float8, coalesce(r.n, 0)
FROM {s}.taskctx_worker w LEFT JOIN (
	SELECT {lastworker} AS id, count(*) AS n FROM {s}.river_job j WHERE j.state = 'running' GROUP BY 1
) r ON r.id = w.id`

// oldestSQL selects since when the available job of each of the queues $1 is due that has been
// longest, by an index alone.
const oldestSQL = `
SELECT q.name, min(o.at) FROM unnest($1::text[]) AS q(name) CROSS JOIN generate_series(1, 4) AS p(n) CROSS JOIN LATERAL (
	SELECT {scheduled} AS at FROM {s}.river_job j
	WHERE j.state = 'available' AND j.queue = q.name AND j.priority = p.n ORDER BY j.scheduled_at LIMIT 1
) o GROUP BY 1`

// oldestAsideSQL does the same for jobs that are due and not available: put aside, or not moved yet.
const oldestAsideSQL = `
SELECT o.queue, min(o.at) FROM (
	SELECT j.queue, coalesce({parked}, {scheduled}) AS at FROM {s}.river_job j
	WHERE j.state IN ('scheduled', 'retryable') AND j.scheduled_at <= now() + interval '2 minutes'
	ORDER BY j.scheduled_at LIMIT 5000
) o WHERE o.at <= now() GROUP BY 1 LIMIT 1000`

// placesSQL selects each state and queue that has jobs, by an index alone, at
// most $1.
const placesSQL = `
WITH RECURSIVE p AS (
	(SELECT state, queue FROM {s}.river_job ORDER BY state, queue LIMIT 1)
	UNION ALL
	SELECT n.state, n.queue FROM p CROSS JOIN LATERAL (
		SELECT state, queue FROM {s}.river_job WHERE (state, queue) > (p.state, p.queue) ORDER BY state, queue LIMIT 1
	) n
)
SELECT state::text, queue FROM p LIMIT $1`

const pagesSQL = `SELECT pg_relation_size('{s}.river_job'::regclass) / current_setting('block_size')::int`

// sampleSQL counts on some pages of the table, $1 of 100.
const sampleSQL = `
SELECT j.state::text, j.queue, {again}, {later} OR {waits}, count(*), count(DISTINCT (j.ctid::text::point)[0])
FROM {s}.river_job j TABLESAMPLE SYSTEM ($1::real) GROUP BY 1, 2, 3, 4`

// countSQL counts jobs of states and queues, up to $3 of each, by an index alone:
// how many they are, and for how many of these a time has not come.
const countSQL = `
SELECT p.state, p.queue, c.n, c.ahead FROM unnest($1::text[], $2::text[]) AS p(state, queue)
CROSS JOIN LATERAL (
	SELECT count(*) AS n, count(*) FILTER (WHERE x.scheduled_at > now()) AS ahead FROM (
		SELECT j.scheduled_at FROM {s}.river_job j WHERE j.state = p.state::{s}.river_job_state AND j.queue = p.queue LIMIT $3
	) x
) c`

// countMarkedSQL counts those of them whose state their metadata decides, as
// publicState does. An index has them alone.
const countMarkedSQL = `
SELECT p.state, p.queue, c.again, c.later, c.ahead, c.n FROM unnest($1::text[], $2::text[]) AS p(state, queue)
CROSS JOIN LATERAL (
	SELECT x.again, x.later, x.ahead, count(*) AS n FROM (
		SELECT {again} AS again, {later} OR {waits} AS later, j.scheduled_at > now() AS ahead FROM {s}.river_job j
		WHERE j.state = p.state::{s}.river_job_state AND j.queue = p.queue AND {marked} LIMIT $3
	) x GROUP BY 1, 2, 3
) c`

// isMarked is the condition of an index: a change needs a migration.
const isMarked = `state IN ('available', 'pending', 'scheduled') AND (metadata -> 'taskctx') ?| ARRAY['again', 'parked', 'waits']`

// cancelSQL cancels a waiting job. It asks a running one to stop, as River
// does: by its metadata, and by a notification to its worker. The first reason
// stays. Without $4 it leaves the jobs of durable tasks and of their children alone,
// and answers with whether the job is one.
const cancelSQL = `
WITH changed AS (
	UPDATE {s}.river_job j SET
		state = CASE WHEN j.state = 'running' THEN j.state ELSE 'cancelled' END,
		finalized_at = CASE WHEN j.state = 'running' THEN NULL ELSE now() END,
		metadata = CASE WHEN j.metadata ? 'cancel_attempted_at' AND j.state = 'running' THEN j.metadata
			ELSE {metadata} || jsonb_build_object('cancel_attempted_at', now(), 'taskctx', {envelope}
				|| CASE WHEN j.state = 'running' THEN jsonb_build_object('cancel', $2::text)
				ELSE jsonb_build_object('reason', $2::text, 'again', false) END) END
	WHERE j.id = ANY($1::bigint[]) AND j.state NOT IN ('completed', 'cancelled', 'discarded') AND ($4 OR NOT {durable})
	RETURNING j.id, j.queue, j.state
), told AS (
	SELECT pg_notify($3::text, json_build_object('action', 'cancel', 'job_id', id, 'queue', queue)::text)
	FROM changed WHERE state = 'running'
)
SELECT EXISTS (SELECT FROM {s}.river_job WHERE id = ANY($1::bigint[])), (SELECT count(*) FROM told),
	NOT $4 AND EXISTS (SELECT FROM {s}.river_job j WHERE j.id = ANY($1::bigint[]) AND {durable})`

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

// removeSQL deletes a job. $2 is as $4 of cancelSQL.
const removeSQL = `
WITH gone AS (
	DELETE FROM {s}.river_job j WHERE j.id = $1 AND j.state <> 'running' AND ($2 OR NOT {durable}) RETURNING j.id
), keys AS (
	DELETE FROM {s}.taskctx_key k USING gone WHERE k.job_id = gone.id AND k.hold <> 3
)
SELECT EXISTS (SELECT FROM {s}.river_job WHERE id = $1), EXISTS (SELECT FROM gone),
	NOT $2 AND EXISTS (SELECT FROM {s}.river_job j WHERE j.id = $1 AND {durable})`

// endedSQL selects the given jobs that have ended or are gone.
const endedSQL = `
SELECT a.id FROM unnest($1::bigint[]) AS a(id)
WHERE coalesce((SELECT j.state::text FROM {s}.river_job j WHERE j.id = a.id), 'completed')
	IN ('completed', 'cancelled', 'discarded')`
