package postgres

import "strings"

// statements are the engine's SQL, for its schema. They speak to River's tables
// as River's own clients do: the same states, the same order of fetching, the
// same notifications.
type statements struct {
	insertChannel, controlChannel, dueChannel string

	readMark, knowKeeps, insert, takeKeys, findKeys string
	claim, succeed, conclude, saveMemo              string
	leave, beat, others, mine, takeOver, wasLost    string
	promote, promoteUnique, park, unpark, expire    string
	clean, cleanKeys, keeps, queues, paused         string
	get, cancel, retry, remove, ended               string
	list, counts                                    string
}

// newStatements puts the schema into the statements. {s} is the schema as an
// identifier, {seq} the sequence of River's jobs.
func newStatements(schema string) statements {
	r := strings.NewReplacer("{s}", quoted(schema), "{seq}", quoted(schema)+".river_job_id_seq",
		"{columns}", jobColumns, "{own}", ownsJob, "{running}", runningOfUs, "{stopped}", stopAsked,
		"{metadata}", anyMetadata, "{envelope}", anyEnvelope, "{ended}", anyEnded, "{parked}", anyParked)
	s := statements{
		// River's channels are prefixed with the schema.
		insertChannel: schema + ".river_insert", controlChannel: schema + ".river_control",
		dueChannel: schema + ".taskctx_due",

		readMark: readMarkSQL, knowKeeps: knowKeepsSQL, insert: insertSQL, takeKeys: takeKeysSQL, findKeys: findKeysSQL,
		claim: claimSQL, succeed: succeedSQL, conclude: concludeSQL, saveMemo: saveMemoSQL,
		leave: leaveSQL, beat: beatSQL, others: othersSQL, mine: mineSQL, takeOver: takeOverSQL, wasLost: wasLostSQL,
		promote: promoteSQL, promoteUnique: promoteUniqueSQL, park: parkSQL, unpark: unparkSQL, expire: expireSQL,
		clean: cleanSQL, cleanKeys: cleanKeysSQL, keeps: keepsSQL, queues: queuesSQL, paused: pausedSQL,
		get: getSQL, cancel: cancelSQL, retry: retrySQL, remove: removeSQL, ended: endedSQL,
		list: listSQL, counts: countsSQL,
	}
	for _, text := range []*string{
		&s.readMark, &s.knowKeeps, &s.insert, &s.takeKeys, &s.findKeys,
		&s.claim, &s.succeed, &s.conclude, &s.saveMemo,
		&s.leave, &s.beat, &s.others, &s.mine, &s.takeOver, &s.wasLost,
		&s.promote, &s.promoteUnique, &s.park, &s.unpark, &s.expire,
		&s.clean, &s.cleanKeys, &s.keeps, &s.queues, &s.paused,
		&s.get, &s.cancel, &s.retry, &s.remove, &s.ended,
		&s.list, &s.counts,
	} {
		*text = r.Replace(*text)
	}
	return s
}

// ownsJob holds for the run that has the job j, and for no other: the row o has
// its number and attempt, and $1 is its worker. A worker's id is never used
// again, and each run of one worker has another attempt, unless the run before
// it was given back by that worker itself.
//
// The state is compared as text so that no index has it: those of all tasks that
// have run since the table was vacuumed are in the index as running ones.
const ownsJob = `j.id = o.id AND j.state::text = 'running' AND j.attempt = o.attempt AND ` + runningOfUs

const runningOfUs = `j.attempted_by[array_upper(j.attempted_by, 1)] = $1`

// What other programs may have written where we read is taken for nothing
// unless it has the right type: a statement that failed on one job would hold
// up the others.
const (
	anyMetadata = `CASE WHEN jsonb_typeof(j.metadata) = 'object' THEN j.metadata ELSE '{}' END`
	anyEnvelope = `CASE WHEN jsonb_typeof(j.metadata -> 'taskctx') = 'object' THEN j.metadata -> 'taskctx' ELSE '{}' END`
	anyEnded    = `CASE WHEN jsonb_typeof(j.metadata -> 'taskctx' -> 'ended') = 'number'
		THEN least((j.metadata -> 'taskctx' ->> 'ended')::numeric, 30000)::int ELSE 0 END`
	anyParked = `CASE WHEN jsonb_typeof(j.metadata -> 'taskctx' -> 'parked') = 'number'
		THEN to_timestamp(least((j.metadata -> 'taskctx' ->> 'parked')::numeric, 1e17)::float8 / 1000000) END`
)

const readMarkSQL = `SELECT mark FROM {s}.taskctx_schema`

const knowKeepsSQL = `INSERT INTO {s}.taskctx_keep SELECT unnest($1::bigint[]) ON CONFLICT DO NOTHING`

// A task due later is scheduled, by the server's clock. The workers of each
// queue with new tasks are told as River tells them, and those of ours when
// something is due before they look next.
const insertSQL = `
WITH ins AS (
	INSERT INTO {s}.river_job
		(id, args, created_at, kind, max_attempts, metadata, priority, queue, scheduled_at, state, tags)
	SELECT coalesce(nullif(r.id, 0), nextval('{seq}'::regclass)), r.args::jsonb, coalesce(r.at, now()), r.kind,
		r.max_attempts, r.metadata::jsonb, r.priority, r.queue, coalesce(r.due, now()),
		CASE WHEN r.due > now() THEN 'scheduled' ELSE 'available' END::{s}.river_job_state,
		string_to_array(r.tags, ',')::varchar(255)[]
	FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::text[], $5::smallint[], $6::text[], $7::smallint[],
		$8::text[], $9::timestamptz[], $10::text[])
		WITH ORDINALITY AS r(id, args, at, kind, max_attempts, metadata, priority, queue, due, tags, n)
	ORDER BY r.n
	RETURNING id, queue, state, scheduled_at
), told AS (
	SELECT pg_notify($11::text, json_build_object('queue', q.queue)::text)
	FROM (SELECT DISTINCT queue FROM ins WHERE state = 'available') q
	UNION ALL
	SELECT pg_notify($12::text, (extract(epoch FROM s.due - now()) * 1000000)::bigint::text)
	FROM (SELECT min(scheduled_at) AS due FROM ins WHERE state = 'scheduled') s
	WHERE s.due < now() + $13::bigint * interval '1 microsecond'
)
SELECT id, (SELECT count(*) FROM told) FROM ins`

const takeKeysSQL = `
INSERT INTO {s}.taskctx_key AS k (key, job_id, until)
SELECT r.key, nextval('{seq}'::regclass), now() + r.held * interval '1 microsecond'
FROM unnest($1::bytea[], $2::bigint[]) WITH ORDINALITY AS r(key, held, n) ORDER BY r.n
ON CONFLICT (key) DO UPDATE SET job_id = excluded.job_id, until = excluded.until WHERE k.until <= now()
RETURNING key, job_id`

const findKeysSQL = `SELECT key, job_id FROM {s}.taskctx_key WHERE key = ANY($1::bytea[]) AND until > now()`

// The order within a queue is River's. Of several queues the first in $2 goes
// first: the worker turns them. What other workers claim is passed over.
//
// The rows, which are locked, go through an array, as the ids of those below do:
// the planner expects few elements in one, where it may read the whole table for
// a join of unknown size. A row that was changed since the statement began is
// left for the next fetch.
const claimSQL = `
UPDATE {s}.river_job j SET
	state = 'running', attempt = least(j.attempt + 1, 32767), attempted_at = now(),
	attempted_by = array_append(
		CASE WHEN array_length(j.attempted_by, 1) >= 20
		THEN j.attempted_by[array_length(j.attempted_by, 1) - 18:] ELSE j.attempted_by END, $1::text)
WHERE j.ctid = ANY(ARRAY(
	SELECT a.ctid FROM unnest($2::text[]) AS q(name)
	CROSS JOIN LATERAL (
		SELECT ctid FROM {s}.river_job
		WHERE state = 'available' AND queue = q.name AND scheduled_at <= now() AND kind = ANY($3::text[])
		ORDER BY priority, scheduled_at, id
		LIMIT $4::bigint
		FOR UPDATE SKIP LOCKED
	) a
	LIMIT $4::bigint
))
RETURNING j.id, j.args, j.attempt, j.created_at, j.kind, j.metadata, j.priority, j.queue, j.scheduled_at`

const succeedSQL = `
UPDATE {s}.river_job j SET state = 'completed', finalized_at = now()
FROM unnest($2::bigint[], $3::smallint[]) AS o(id, attempt)
WHERE {own} AND j.id = ANY($2::bigint[]) RETURNING j.id, j.attempt`

// A task that was asked to stop, and did not end, is cancelled. $9 is what the
// run adds to the metadata, $10 to our part of it.
const concludeSQL = `
UPDATE {s}.river_job j SET
	state = CASE WHEN {stopped} THEN 'cancelled' ELSE o.state END::{s}.river_job_state,
	attempt = j.attempt - o.back,
	errors = CASE WHEN o.error = '' THEN j.errors ELSE array_append(j.errors, o.error::jsonb) END,
	finalized_at = CASE WHEN {stopped} OR o.state IN ('completed', 'cancelled', 'discarded') THEN now() END,
	scheduled_at = CASE WHEN o.after < 0 THEN j.scheduled_at ELSE now() + o.after * interval '1 microsecond' END,
	metadata = {metadata} || o.top::jsonb || jsonb_build_object('taskctx',
		{envelope} || o.own::jsonb
		|| CASE WHEN NOT (o.ended OR {stopped}) THEN '{}' ELSE jsonb_build_object(
			'ended', {ended} + CASE WHEN o.ended THEN 1 ELSE 1 - o.back END) END
		|| CASE WHEN NOT {stopped} THEN '{}' ELSE jsonb_build_object(
			'again', false, 'reason', coalesce(j.metadata -> 'taskctx' ->> 'cancel', '')) END)
FROM unnest($2::bigint[], $3::smallint[], $4::text[], $5::smallint[], $6::boolean[], $7::text[], $8::bigint[],
	$9::text[], $10::text[]) AS o(id, attempt, state, back, ended, error, after, top, own)
WHERE {own} AND j.id = ANY($2::bigint[]) RETURNING j.id, o.attempt`

// stopAsked holds when the outcome o leaves the job j waiting, but somebody
// asked the job to stop.
const stopAsked = `(o.state IN ('available', 'retryable', 'scheduled') AND j.metadata ? 'cancel_attempted_at')`

const saveMemoSQL = `
UPDATE {s}.river_job j SET metadata = {metadata} || jsonb_build_object('taskctx',
	{envelope} || o.own::jsonb)
FROM (SELECT $2::bigint AS id, $3::smallint AS attempt, $4::text AS own) o
WHERE {own} RETURNING j.id`

// A worker that was taken for dead, and is not, joins again.
const beatSQL = `
INSERT INTO {s}.taskctx_worker AS w (id, beats, slots, queues, names) VALUES ($1, 1, $2, $3, $4)
ON CONFLICT (id) DO UPDATE SET beats = w.beats + 1, beat_at = now()`

const leaveSQL = `DELETE FROM {s}.taskctx_worker WHERE id = $1`

// Workers, and those of which there are only running tasks.
const othersSQL = `
SELECT id, beats FROM {s}.taskctx_worker WHERE id <> $1
UNION ALL
SELECT DISTINCT j.attempted_by[array_upper(j.attempted_by, 1)], 0 FROM {s}.river_job j
WHERE j.state = 'running' AND j.attempted_by[array_upper(j.attempted_by, 1)] LIKE '` + ownerPrefix + `%'
	AND NOT EXISTS (SELECT FROM {s}.taskctx_worker w WHERE w.id = j.attempted_by[array_upper(j.attempted_by, 1)])
	AND j.attempted_by[array_upper(j.attempted_by, 1)] <> $1`

const mineSQL = `
SELECT j.id, j.attempt, j.metadata ? 'cancel_attempted_at', coalesce(j.metadata -> 'taskctx' ->> 'cancel', '')
FROM {s}.river_job j WHERE j.state = 'running' AND {running}`

// Each take-over leaves an error for the attempt that was lost.
const wasLostSQL = `SELECT EXISTS (SELECT FROM {s}.river_job j, unnest(j.errors) e
WHERE j.id = $1 AND e ->> 'attempt' = $2::smallint::text AND e ->> 'error' = $3::text)`

// Nothing happens when the worker $1 has beaten since it was seen with $2.
const takeOverSQL = `
WITH gone AS (
	DELETE FROM {s}.taskctx_worker WHERE id = $1 AND beats = $2 RETURNING id
), taken AS (
	UPDATE {s}.river_job j SET
		state = CASE WHEN j.metadata ? 'cancel_attempted_at' THEN 'cancelled' ELSE 'available' END::{s}.river_job_state,
		finalized_at = CASE WHEN j.metadata ? 'cancel_attempted_at' THEN now() END,
		errors = array_append(j.errors, jsonb_build_object('at', now(), 'attempt', j.attempt, 'error', $3::text, 'trace', '')),
		metadata = {metadata} || jsonb_build_object('taskctx', {envelope}
			|| CASE WHEN j.metadata ? 'cancel_attempted_at' THEN jsonb_build_object('again', false,
				'ended', {ended} + 1,
				'reason', coalesce(j.metadata -> 'taskctx' ->> 'cancel', ''))
			ELSE jsonb_build_object('again', true, 'reason', $3::text) END)
	WHERE j.state = 'running' AND {running}
		AND (EXISTS (SELECT FROM gone) OR NOT EXISTS (SELECT FROM {s}.taskctx_worker WHERE id = $1))
	RETURNING j.id, j.queue
), told AS (
	SELECT pg_notify($4::text, json_build_object('queue', q.queue)::text) FROM (SELECT DISTINCT queue FROM taken) q
)
SELECT (SELECT count(*) FROM taken), (SELECT count(*) FROM told), (SELECT count(*) FROM gone)`
