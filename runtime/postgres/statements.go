package postgres

import "strings"

// statements are the engine's SQL, for its schema. They speak to River's tables
// as River's own clients do: the same states, the same order of fetching, the
// same notifications.
type statements struct {
	insertChannel, controlChannel, dueChannel string

	readMark, nextNumbers, insert, stored          string
	addKeys, lockKeys, takeKeys                    string
	claim, succeed, conclude, saveMemo             string
	leave, beat, others, mine, takeOver, wasLost   string
	promote, promoteUnique, park, unpark, expire   string
	clean, cleanKeys, queues, paused               string
	get, lockJob, cancel, retry, remove, ended     string
	list, listBrief, window, places, pages, sample string
	countWaiting, countOthers                      string
}

// newStatements puts the schema into the statements. {s} is the schema as an
// identifier, {seq} the sequence of River's jobs.
func newStatements(schema string) statements {
	r := strings.NewReplacer("{s}", quoted(schema), "{seq}", quoted(schema)+".river_job_id_seq",
		"{columns}", jobColumns, "{briefcolumns}", jobColumnsOf("NULL::jsonb", briefMetadata),
		"{again}", isAgain, "{later}", isLater, "{own}", ownsJob, "{running}", runningOfUs, "{stopped}", stopAsked,
		"{metadata}", anyMetadata, "{envelope}", anyEnvelope, "{ended}", anyEnded, "{parked}", anyParked,
		"{isparked}", hasParked, "{errors}", anyErrors, "{workers}", anyWorkers, "{lastworker}", lastWorker,
		"{ours}", oursOrNone,
		"{created}", within("j.created_at"), "{scheduled}", within("j.scheduled_at"),
		"{free}", strings.ReplaceAll(freeKey, "{s}", quoted(schema)), "{expiry}", "("+expiry+")",
		"{now}", epoch("now()"), "{made}", "CASE WHEN isfinite(created_at) THEN "+epoch("created_at")+" ELSE 0 END", "{heldfor}", heldFor)
	s := statements{
		// River's channels are prefixed with the schema.
		insertChannel: schema + ".river_insert", controlChannel: schema + ".river_control",
		dueChannel: schema + ".taskctx_due",

		readMark: readMarkSQL, nextNumbers: nextNumbersSQL, insert: insertSQL, stored: storedSQL,
		addKeys: addKeysSQL, lockKeys: lockKeysSQL, takeKeys: takeKeysSQL,
		claim: claimSQL, succeed: succeedSQL, conclude: concludeSQL, saveMemo: saveMemoSQL,
		leave: leaveSQL, beat: beatSQL, others: othersSQL, mine: mineSQL, takeOver: takeOverSQL, wasLost: wasLostSQL,
		promote: promoteSQL, promoteUnique: promoteUniqueSQL, park: parkSQL, unpark: unparkSQL, expire: expireSQL,
		clean: cleanSQL, cleanKeys: cleanKeysSQL, queues: queuesSQL, paused: pausedSQL,
		get: getSQL, lockJob: lockJobSQL, cancel: cancelSQL, retry: retrySQL, remove: removeSQL, ended: endedSQL,
		list: listSQL, listBrief: listBriefSQL, window: windowSQL, places: placesSQL, pages: pagesSQL, sample: sampleSQL,
		countWaiting: countWaitingSQL, countOthers: countOthersSQL,
	}
	for _, text := range []*string{
		&s.readMark, &s.nextNumbers, &s.insert, &s.stored,
		&s.addKeys, &s.lockKeys, &s.takeKeys,
		&s.claim, &s.succeed, &s.conclude, &s.saveMemo,
		&s.leave, &s.beat, &s.others, &s.mine, &s.takeOver, &s.wasLost,
		&s.promote, &s.promoteUnique, &s.park, &s.unpark, &s.expire,
		&s.clean, &s.cleanKeys, &s.queues, &s.paused,
		&s.get, &s.lockJob, &s.cancel, &s.retry, &s.remove, &s.ended,
		&s.list, &s.listBrief, &s.window, &s.places, &s.pages, &s.sample, &s.countWaiting, &s.countOthers,
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

const runningOfUs = lastWorker + ` = $1`

const readMarkSQL = `SELECT mark FROM {s}.taskctx_schema`

const nextNumbersSQL = `SELECT nextval('{seq}'::regclass) FROM generate_series(1, $1::bigint)`

// Whether jobs with such numbers are those that were to be inserted.
const storedSQL = `
SELECT count(*) FROM {s}.river_job j
JOIN unnest($1::bigint[], $2::text[], $3::timestamptz[]) AS r(id, kind, at) ON j.id = r.id AND j.kind = r.kind
WHERE r.at IS NULL OR j.created_at = r.at`

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

// A key whose job's end says when it is free has a time too: when to look whether
// it is.
const keyUntil = `now() + CASE WHEN r.hold IN (1, 2) THEN interval '1 day' ELSE r.held * interval '1 microsecond' END`

const addKeysSQL = `
INSERT INTO {s}.taskctx_key AS k (key, job_id, until, hold)
SELECT r.key, r.job, ` + keyUntil + `, r.hold
FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::smallint[]) WITH ORDINALITY AS r(key, job, held, hold, n)
ORDER BY r.n
ON CONFLICT (key) DO NOTHING RETURNING key, job_id`

const lockKeysSQL = `SELECT key, job_id FROM {s}.taskctx_key WHERE key = ANY($1::bytea[]) ORDER BY key FOR UPDATE`

const takeKeysSQL = `
UPDATE {s}.taskctx_key k SET job_id = r.job, until = ` + keyUntil + `, hold = r.hold
FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::smallint[]) AS r(key, job, held, hold)
WHERE k.key = r.key AND k.job_id <> r.job AND {free}
RETURNING k.key, k.job_id`

// freeKey holds when nobody holds the key k any more, as engine.KeyHold.Free.
const freeKey = `CASE WHEN k.hold = 3 THEN k.until <= now() ELSE coalesce((
	SELECT CASE k.hold
		WHEN 1 THEN j.state IN ('completed', 'cancelled', 'discarded')
		WHEN 2 THEN j.state IN ('completed', 'cancelled', 'discarded') OR j.attempted_at IS NOT NULL
		ELSE j.state IN ('cancelled', 'discarded') OR k.until <= now() END
	FROM {s}.river_job j WHERE j.id = k.job_id), true) END`

// The order within a queue is River's. Of several queues the first in $2 goes
// first: the worker turns them. What other workers claim is passed over.
//
// The rows, which are locked, go through an array, as the ids of those below do:
// the planner expects few elements in one, where it may read the whole table for
// a join of unknown size. A row that was changed since the statement began is
// left for the next fetch.
const claimSQL = `
UPDATE {s}.river_job j SET
	state = 'running', attempt = least(greatest(j.attempt, 0) + 1, 32767), attempted_at = now(),
	attempted_by = array_append({workers}, $1::text)
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
RETURNING j.id, j.args, j.attempt, {created}, j.kind, j.metadata, j.priority, j.queue, {scheduled}`

const succeedSQL = `
UPDATE {s}.river_job j SET state = 'completed', finalized_at = now()
FROM unnest($2::bigint[], $3::smallint[]) AS o(id, attempt)
WHERE {own} AND j.id = ANY($2::bigint[]) RETURNING j.id, j.attempt`

// A task that was asked to stop, and did not end, is cancelled. $9 is what the
// run adds to the metadata, $10 to our part of it.
const concludeSQL = `
UPDATE {s}.river_job j SET
	state = CASE WHEN {stopped} THEN 'cancelled' ELSE o.state END::{s}.river_job_state,
	attempt = greatest(j.attempt::int - o.back, 0),
	errors = CASE WHEN o.error = '' THEN j.errors ELSE array_append({errors}, o.error::jsonb) END,
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
SELECT DISTINCT {lastworker}, 0 FROM {s}.river_job j
WHERE j.state = 'running' AND {lastworker} LIKE '` + ownerPrefix + `%'
	AND NOT EXISTS (SELECT FROM {s}.taskctx_worker w WHERE w.id = {lastworker})
	AND {lastworker} <> $1`

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
		errors = array_append({errors}, jsonb_build_object('at', now(), 'attempt', j.attempt, 'error', $3::text, 'trace', '')),
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
