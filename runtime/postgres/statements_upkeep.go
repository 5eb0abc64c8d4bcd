package postgres

// Statements of upkeep: for due tasks, unknown ones and expired records.

// promoteSQL makes due jobs available. It leaves jobs with a key of River's
// own to promoteUniqueSQL. A parked task is due again as it was before. $1 and $2
// are the times between which to look, and $6 how far ahead. The last column
// is how many seconds later the next job is due within that time.
const promoteSQL = `
WITH moved AS (
	UPDATE {s}.river_job j SET
		state = 'available',
		scheduled_at = coalesce({parked}, j.scheduled_at),
		metadata = CASE WHEN {isparked} THEN {metadata} || jsonb_build_object('taskctx', {envelope} - 'parked') ELSE j.metadata END
	WHERE j.id = ANY(ARRAY({pick}))
	RETURNING j.queue
), told AS (
	SELECT pg_notify($5::text, json_build_object('queue', q.queue)::text) FROM (SELECT DISTINCT queue FROM moved) q
)
SELECT (SELECT count(*) FROM moved), (SELECT count(*) FROM told),
	coalesce((SELECT extract(epoch FROM min(scheduled_at) - now())::float8 FROM {s}.river_job
		WHERE state IN ('scheduled', 'retryable') AND scheduled_at > now()
			AND scheduled_at <= now() + $6::bigint * interval '1 microsecond'), -1), now()`

const promotePick = `
	SELECT id FROM {s}.river_job
	WHERE state IN ('scheduled', 'retryable') AND scheduled_at >= $1 AND scheduled_at < $2 AND scheduled_at <= now()
		AND unique_key IS NULL AND id <> ALL($3::bigint[])
	ORDER BY scheduled_at LIMIT $4::bigint {lock}`

// promoteUniqueSQL does the same as River's scheduler: of jobs with one key
// only one may wait.
const promoteUniqueSQL = `
WITH due AS (
	{pick}
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
SELECT (SELECT count(*) FROM moved), (SELECT count(pg_notify($5::text, json_build_object('queue', queue)::text)) FROM moved)`

const promoteUniquePick = `
	SELECT id FROM {s}.river_job
	WHERE state IN ('scheduled', 'retryable') AND scheduled_at >= $1 AND scheduled_at < $2 AND scheduled_at <= now()
		AND unique_key IS NOT NULL AND id <> ALL($3::bigint[])
	ORDER BY scheduled_at LIMIT $4::bigint {lock}`

// parkSQL puts unknown tasks aside for a minute, with a reason. They would
// gather at the head of their queue, where every fetch would read them again.
// It parks only tasks of ours: a kind without our metadata may be a River
// worker's.
const parkSQL = `
UPDATE {s}.river_job j SET
	state = 'scheduled', scheduled_at = now() + interval '1 minute',
	metadata = {metadata} || jsonb_build_object('taskctx', {envelope} || jsonb_build_object(
		'parked', (extract(epoch FROM ({scheduled})) * 1000000)::bigint,
		'reason', format('no worker of queue %s knows a task named %s', to_json(j.queue), to_json(j.kind))))
WHERE j.id = ANY(ARRAY({pick})) AND j.state = 'available'
RETURNING j.queue, j.kind`

// parkPick finds them. $1 to $4 are queues and priorities, and the times
// between which to look there.
const parkPick = `
	SELECT c.id FROM unnest($1::text[], $2::smallint[], $3::timestamptz[], $4::timestamptz[]) AS q(name, priority, since, until)
	CROSS JOIN LATERAL (
		SELECT * FROM {s}.river_job
		WHERE state = 'available' AND queue = q.name AND priority = q.priority
			AND scheduled_at >= q.since AND scheduled_at <= q.until AND scheduled_at <= now()
		ORDER BY scheduled_at, id LIMIT 5000
	) c
	WHERE c.kind <> ALL($5::text[]) AND c.scheduled_at <= now() - $6::bigint * interval '1 microsecond'
		AND c.metadata ? 'taskctx' AND c.id <> ALL($7::bigint[])
		AND NOT EXISTS (SELECT FROM {s}.taskctx_worker w WHERE c.kind = ANY(w.names) AND c.queue = ANY(w.queues))
	LIMIT $8::bigint`

// unparkSQL takes tasks back that were put aside before a worker that knows
// them started, some at a time.
const unparkSQL = `
UPDATE {s}.river_job j SET
	state = 'available', scheduled_at = coalesce({parked}, j.scheduled_at),
	metadata = {metadata} || jsonb_build_object('taskctx', {envelope} - 'parked' - 'reason')
WHERE j.id = ANY(ARRAY({pick}))`

// unparkPick finds them. A task is put aside for a minute at a time. When that
// is over it is available again, unless it is about to be.
const unparkPick = `
	SELECT j.id FROM {s}.river_job j
	WHERE j.state IN ('scheduled', 'retryable')
		AND j.scheduled_at > now() - interval '1 minute' AND j.scheduled_at <= now() + interval '2 minutes'
		AND j.queue = ANY($1::text[]) AND j.kind = ANY($2::text[]) AND {isparked} AND j.id <> ALL($3::bigint[])
	LIMIT $4::bigint {lock}`

const expireSQL = `
UPDATE {s}.river_job j SET
	state = 'discarded', finalized_at = now(),
	scheduled_at = coalesce({parked}, j.scheduled_at),
	errors = array_append({errors}, jsonb_build_object('at', now(), 'attempt', j.attempt, 'trace', '',
		'error', format('no worker of queue %s has known a task named %s for %s', to_json(j.queue), to_json(j.kind), $6::text))),
	metadata = {metadata} || jsonb_build_object('taskctx', {envelope} - 'parked' || jsonb_build_object(
		'again', false,
		'reason', format('no worker of queue %s has known a task named %s for %s', to_json(j.queue), to_json(j.kind), $6::text)))
WHERE j.id = ANY(ARRAY({pick}))
RETURNING j.id, j.queue, j.kind`

const expirePick = `
	SELECT j.id FROM {s}.river_job j
	WHERE j.state IN ('scheduled', 'retryable')
		AND j.scheduled_at > now() - interval '1 minute' AND j.scheduled_at <= now() + interval '2 minutes'
		AND j.queue = ANY($1::text[]) AND j.kind <> ALL($2::text[]) AND {isparked}
		AND {parked} <= now() - $3::bigint * interval '1 microsecond'
		AND NOT EXISTS (SELECT FROM {s}.taskctx_worker w WHERE j.kind = ANY(w.names) AND j.queue = ANY(w.queues))
		AND NOT EXISTS (SELECT FROM {s}.taskctx_pause n WHERE n.name = j.kind)
		AND j.id <> ALL($4::bigint[])
	LIMIT $5::bigint {lock}`

// cleanSQL forgets expired records, some at a time. The last columns are the
// expiry of the last of them, and the time.
const cleanSQL = `
WITH old AS ({pick}
), gone AS (
	DELETE FROM {s}.river_job WHERE id = ANY(ARRAY(SELECT id FROM old)) RETURNING id
), keys AS (
	DELETE FROM {s}.taskctx_key k USING gone WHERE k.job_id = gone.id AND k.hold <> 3
)
SELECT (SELECT count(*) FROM gone), coalesce((SELECT max(at) FROM old), 0), {now}`

// cleanPick finds them. $1 and $2 are the range of the expiry, before now. A
// job that succeeded and still holds its key stays.
const cleanPick = `
	SELECT id, {expiry} AS at FROM {s}.river_job
	WHERE finalized_at IS NOT NULL AND {expiry} >= $1::float8 AND {expiry} <= $2::float8 + {now}
		AND ($2::float8 = 0 OR state <> 'completed' OR {made} + {heldfor} <= {now})
		AND id <> ALL($3::bigint[])
	ORDER BY {expiry} LIMIT $4::bigint {lock}`

// cleanKeysSQL forgets keys that nobody holds, some at a time. Keys that a job
// still holds until its end are looked at again in a day. The last columns are
// the last of their times, and the time.
const cleanKeysSQL = `
WITH seen AS (
	SELECT k.key, k.until, k.hold NOT IN (1, 2) OR {free} AS dead FROM {s}.taskctx_key k
	WHERE k.until >= to_timestamp($1::float8) AND k.until <= now() ORDER BY k.until LIMIT $2::bigint FOR UPDATE SKIP LOCKED
), gone AS (
	DELETE FROM {s}.taskctx_key k USING seen WHERE k.key = seen.key AND seen.dead
), held AS (
	UPDATE {s}.taskctx_key k SET until = now() + interval '1 day' FROM seen WHERE k.key = seen.key AND NOT seen.dead
)
SELECT count(*), coalesce(max(date_part('epoch', seen.until)), 0), {now} FROM seen`

// queuesSQL lists the served queues for River's tools, which can pause them.
const queuesSQL = `
INSERT INTO {s}.river_queue (name, updated_at) SELECT unnest($1::text[]), now()
ON CONFLICT (name) DO UPDATE SET updated_at = now()`

const pausedSQL = `
SELECT name, '' FROM {s}.river_queue WHERE name = ANY($1::text[]) AND paused_at IS NOT NULL
UNION ALL
SELECT '', name FROM {s}.taskctx_pause WHERE name = ANY($2::text[])`
