package postgres

// Statements about journals.
//
// Whatever comes for a task that may wait, and the task itself when it begins
// to wait, locks the task's row of taskctx_wait by a statement that does no
// more: each later statement of the transaction then sees the commits for which
// that one waited. One statement alone would not: an UPDATE passes over a row
// that did not match when the statement began, so that a task that is just being
// suspended would not be woken.
//
// Heads are locked in the order of their numbers, and before any job.
//
// Jobs of a journal's children are looked up one by one, by LATERAL or EXISTS with OFFSET
// 0, which Postgres does not make a join of: it would read all jobs for a few.

// makeHeadsSQL makes the heads of journals that have none yet.
const makeHeadsSQL = `
INSERT INTO {s}.taskctx_wait (job_id)
SELECT j.id FROM {s}.river_job j WHERE j.id = ANY($1::bigint[]) ORDER BY j.id
ON CONFLICT DO NOTHING`

const lockHeadsSQL = `
SELECT FROM {s}.taskctx_wait WHERE job_id = ANY($1::bigint[]) ORDER BY job_id FOR UPDATE`

// suspendSQL makes running jobs wait, unless what they wait for has come. Of the
// times $4, -1 is at once and 0 never.
const suspendSQL = `
WITH o AS MATERIALIZED (
	SELECT o.* FROM unnest($2::bigint[], $3::smallint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
		$8::boolean[], $9::text[], $10::text[], $11::text[]) AS o(id, attempt, after, seen, failed, need, fast, name, own, empty)
	JOIN {s}.river_job j ON {own} AND j.id = ANY($2::bigint[])
), m AS MATERIALIZED (
	SELECT o.id, o.after < 0 OR o.need > 0 AND CASE
		WHEN o.name <> '' THEN EXISTS (
			SELECT FROM {s}.taskctx_journal e WHERE e.job_id = o.id AND e.name = o.name AND e.came > o.seen)
		ELSE v.came >= o.seen + o.need OR o.fast AND v.failed > o.failed END AS met
	FROM o CROSS JOIN LATERAL (SELECT v.came, v.failed FROM {s}.taskctx_wait v WHERE v.job_id = o.id OFFSET 0) v
), w AS (
	UPDATE {s}.taskctx_wait w SET
		wake_came = CASE WHEN o.name = '' AND o.need > 0 THEN o.seen + o.need END,
		wake_failed = CASE WHEN o.name = '' AND o.need > 0 AND o.fast THEN o.failed END,
		wake_name = CASE WHEN o.need > 0 THEN nullif(o.name, '') END,
		wake_at = CASE WHEN m.met THEN NULL WHEN o.after = 0 THEN 'infinity'
			ELSE now() + o.after * interval '1 microsecond' END
	FROM o JOIN m ON m.id = o.id WHERE w.job_id = o.id AND w.job_id = ANY($2::bigint[])
	RETURNING w.job_id, m.met, w.wake_at
)
UPDATE {s}.river_job j SET
	state = CASE WHEN {asked} THEN 'cancelled' WHEN w.met THEN 'available' ELSE 'pending' END::{s}.river_job_state,
	finalized_at = CASE WHEN {asked} THEN now() END,
	attempt = greatest(j.attempt::int - 1, 0),
	metadata = {metadata} || jsonb_build_object('taskctx', ({envelope} - o.empty::text[]) || o.own::jsonb
		|| CASE WHEN w.met THEN '{}' ELSE jsonb_build_object('waits', CASE WHEN isfinite(w.wake_at)
			THEN ceil(date_part('epoch', w.wake_at) * 1000000)::bigint ELSE -1 END) END
		|| CASE WHEN NOT {asked} THEN '{}' ELSE jsonb_build_object('again', false, 'ended', {ended} + 0,
			'reason', coalesce(j.metadata -> 'taskctx' ->> 'cancel', '')) END)
FROM o JOIN w ON w.job_id = o.id
WHERE {own} AND j.id = ANY($2::bigint[]) RETURNING j.id, o.attempt, w.met`

// asked holds for a job that was asked to stop.
const asked = `j.metadata ? 'cancel_attempted_at'`

// isDurable holds for the jobs of durable tasks and of their children, and of tasks
// with limits: changing them needs a transaction with locks. A durable task that was
// enqueued while its function was not durable is known by its journal.
const isDurable = `(coalesce(jsonb_typeof(j.metadata #> '{taskctx,v}') = 'number'
	AND (j.metadata #>> '{taskctx,v}')::numeric >= 2, false) OR coalesce(j.metadata -> 'taskctx' ? 'limits', false)
	OR EXISTS (SELECT FROM {s}.taskctx_wait h WHERE h.job_id = j.id))`

// isWaits holds for a suspended job.
const isWaits = `j.state::text = 'pending' AND coalesce(j.metadata -> 'taskctx' ? 'waits', false)`

// endedOf selects the given jobs that have ended, for arriveSQL.
const endedOf = `
	SELECT j.id, {of} AS parent, {entry} AS name,
		CASE j.state WHEN 'completed' THEN 'succeeded' WHEN 'discarded' THEN 'failed' ELSE 'cancelled' END AS state,
		CASE WHEN j.state = 'completed' THEN
			coalesce(nullif(j.metadata #>> '{taskctx,result}', ''), (j.metadata -> 'output')::text) END AS result,
		CASE WHEN j.state <> 'completed' THEN
			coalesce(j.metadata #>> '{taskctx,reason}', j.errors[array_upper(j.errors, 1)] ->> 'error') END AS reason
	FROM {s}.river_job j
	WHERE j.id = ANY($1::bigint[]) AND j.state IN ('completed', 'cancelled', 'discarded')
		AND {of} IS NOT NULL`

// endedHereOf is endedOf for outcomes of the worker $7: of the children $1 it knows the
// parents, names, attempts and results, and need not read them out of their metadata.
const endedHereOf = `
	SELECT o.id, o.parent, o.name,
		CASE j.state WHEN 'completed' THEN 'succeeded' WHEN 'discarded' THEN 'failed' ELSE 'cancelled' END AS state,
		CASE WHEN j.state <> 'completed' THEN NULL WHEN j.attempt = o.attempt AND {lastworker} = $7::text THEN o.result
			ELSE coalesce(nullif(j.metadata #>> '{taskctx,result}', ''), (j.metadata -> 'output')::text) END AS result,
		CASE WHEN j.state <> 'completed' THEN
			coalesce(j.metadata #>> '{taskctx,reason}', j.errors[array_upper(j.errors, 1)] ->> 'error') END AS reason
	FROM unnest($1::bigint[], $3::bigint[], $4::text[], $5::smallint[], $6::text[]) AS o(id, parent, name, attempt, result)
	CROSS JOIN LATERAL (SELECT j.* FROM {s}.river_job j
		WHERE j.id = o.id AND j.state IN ('completed', 'cancelled', 'discarded') OFFSET 0) j`

// goneOf selects children without a job, by parent, for arriveSQL.
const goneOf = `
	SELECT x.id, $3::bigint AS parent, x.name, 'deleted' AS state, NULL AS result, $4::text AS reason
	FROM (SELECT e.child AS id, e.name FROM {s}.taskctx_journal e
		WHERE e.job_id = $3 AND e.child = ANY($1::bigint[]) AND e.came = 0) x
	WHERE NOT EXISTS (SELECT FROM {s}.river_job j WHERE j.id = x.id OFFSET 0)`

// arriveSQL writes the ends of children into their parents' journals, each once,
// and wakes the parents that wait for them, with whose numbers it answers. Their heads
// are locked.
const arriveSQL = `
WITH ended AS MATERIALIZED ({which}
), fresh AS MATERIALIZED (
	SELECT e.*, x.ctid AS at, w.came + row_number() OVER (PARTITION BY e.parent ORDER BY e.id) AS place FROM ended e
	CROSS JOIN LATERAL (SELECT x.ctid FROM {s}.taskctx_journal x
		WHERE x.job_id = e.parent AND x.name = e.name AND x.kind <> 'g' AND x.child = e.id AND x.came = 0 OFFSET 0) x
	JOIN (SELECT p.parent, w.came FROM (SELECT DISTINCT parent FROM ended) p
		CROSS JOIN LATERAL (SELECT w.came FROM {s}.taskctx_wait w WHERE w.job_id = p.parent OFFSET 0) w) w ON w.parent = e.parent
), entry AS (
	UPDATE {s}.taskctx_journal x SET came = f.place, state = f.state, result = f.result, reason = f.reason
	FROM fresh f WHERE x.ctid = ANY(ARRAY(SELECT at FROM fresh)) AND x.ctid = f.at
	RETURNING x.job_id, x.name, x.state, coalesce(octet_length(x.result), 0) + coalesce(octet_length(x.reason), 0) AS size
), s AS (
	SELECT job_id, count(*) AS n, count(*) FILTER (WHERE state <> 'succeeded') AS bad, array_agg(name) AS names,
		sum(size) AS size FROM entry GROUP BY job_id
), w AS (
	UPDATE {s}.taskctx_wait w SET came = w.came + s.n, failed = w.failed + s.bad, bytes = w.bytes + s.size,
		wake_at = CASE WHEN w.wake_came <= w.came + s.n OR w.wake_failed < w.failed + s.bad OR w.wake_name = ANY(s.names)
			THEN NULL ELSE w.wake_at END
	FROM s WHERE w.job_id = ANY(ARRAY(SELECT job_id FROM s)) AND w.job_id = s.job_id
	RETURNING w.job_id, w.wake_came <= w.came OR w.wake_failed < w.failed OR w.wake_name = ANY(s.names) AS fires
), woken AS (
	UPDATE {s}.river_job j SET state = 'available'
	WHERE j.id = ANY(ARRAY(SELECT job_id FROM w WHERE fires)) AND {waits}
	RETURNING j.id, j.queue
), told AS (
	SELECT pg_notify($2::text, json_build_object('queue', q.queue)::text) FROM (SELECT DISTINCT queue FROM woken) q
)
SELECT ARRAY(SELECT id FROM woken), (SELECT count(*) FROM told)`

// parentsSQL selects the parents of jobs that are children.
const parentsSQL = `
SELECT DISTINCT {of} FROM {s}.river_job j
WHERE j.id = ANY($1::bigint[]) AND {of} IS NOT NULL`

// markBereftSQL notes which of the jobs have failed or were cancelled and may
// have children, which are then to be cancelled. No two marks are alike: who is cancelling
// children must not take a later one for that of which it was told.
const markBereftSQL = `
UPDATE {s}.taskctx_wait w SET bereft = j.state::text || ' ' || txid_current(), bereft_at = 0, wake_at = NULL
FROM {s}.river_job j
WHERE w.job_id = ANY($1::bigint[]) AND j.id = w.job_id AND j.id = ANY($1::bigint[])
	AND j.state IN ('discarded', 'cancelled') AND w.bereft IS NULL`

// journalSQL selects the journals of jobs, each with its place among them, whether the run
// $2, $3 of a worker owns the job, whether there is a job, and whether its failure
// or cancellation is noted: all of one moment. It asks for no order, to which the planner
// would read the whole table by the key where it believes that to be small.
const journalSQL = `
SELECT r.n, coalesce(e.seq, 0), o.here, o.own, o.again,
	coalesce(e.kind, ''), coalesce(e.name, ''), coalesce(e.attempt, 0), e.value, coalesce(e.child, 0),
	coalesce(e.came, 0), coalesce(e.state, ''), e.result, coalesce(e.reason, '')
FROM unnest($1::bigint[], $2::smallint[], $3::text[]) WITH ORDINALITY AS r(job, attempt, owner, n)
CROSS JOIN LATERAL (
	SELECT count(*) > 0 AS here,
		coalesce(bool_or(j.state::text = 'running' AND j.attempt = r.attempt AND {lastworker} = r.owner), false) AS own,
		EXISTS (SELECT FROM {s}.taskctx_wait w WHERE w.job_id = r.job AND w.bereft IS NOT NULL OFFSET 0) AS again
	FROM {s}.river_job j WHERE j.id = r.job OFFSET 0
) o
LEFT JOIN LATERAL (SELECT e.* FROM {s}.taskctx_journal e WHERE e.job_id = r.job OFFSET 0) e ON true`

// ownRunSQL locks the job of a run, if that still owns it.
const ownRunSQL = `
SELECT j.id FROM {s}.river_job j, (SELECT $2::bigint AS id, $3::smallint AS attempt) o WHERE {own} FOR SHARE OF j`

// namedEntriesSQL selects entries by their names, each by an index alone: a journal may
// have very many.
const namedEntriesSQL = `
SELECT e.kind, e.name, e.attempt, e.value, coalesce(e.child, 0), e.came, coalesce(e.state, ''), e.result, coalesce(e.reason, '')
FROM (SELECT DISTINCT name FROM unnest($2::text[]) AS u(name)) n CROSS JOIN LATERAL (
	SELECT e.* FROM {s}.taskctx_journal e WHERE e.job_id = $1 AND e.name = n.name AND e.kind <> 'g' OFFSET 0
) e`

// addEntriesSQL adds entries to a journal whose head is locked, and counts them.
const addEntriesSQL = `
WITH added AS (` + insertEntries + `
)
UPDATE {s}.taskctx_wait w SET others = w.others + a.others, bytes = w.bytes + a.size
FROM (SELECT count(*) FILTER (WHERE kind <> 'c') AS others, coalesce(sum(size), 0) AS size FROM added) a
WHERE w.job_id = $1`

const insertEntries = `
	INSERT INTO {s}.taskctx_journal (job_id, name, kind, attempt, value, child, orphan)
	SELECT $1, r.name, r.kind, $2::smallint, r.value, nullif(r.child, 0), r.orphan
	FROM unnest($3::text[], $4::text[], $5::text[], $6::bigint[], $7::boolean[]) WITH ORDINALITY
		AS r(name, kind, value, child, orphan, n) ORDER BY r.n
	{new}
	RETURNING kind, octet_length(name) + coalesce(octet_length(value), 0) AS size`

// addFirstSQL adds entries that are not there yet, and answers with how many they are,
// how many of them are no children, and their bytes. The head need not be locked.
const addFirstSQL = `
WITH added AS (` + insertEntries + `
)
SELECT count(*), count(*) FILTER (WHERE kind <> 'c'), coalesce(sum(size), 0) FROM added`

// countEntriesSQL counts entries that were added.
const countEntriesSQL = `UPDATE {s}.taskctx_wait SET others = others + $2, bytes = bytes + $3 WHERE job_id = $1`

// addOneSQL adds an entry that is no child for the run $2, $3 of the worker $1. It
// answers with whether the run owns its task, and with the entry that was there.
const addOneSQL = `
WITH own AS MATERIALIZED (
	SELECT j.id FROM {s}.river_job j, (SELECT $2::bigint AS id, $3::smallint AS attempt) o WHERE {own} FOR SHARE OF j
), known AS MATERIALIZED (
	SELECT e.kind, e.name, e.attempt, e.value, e.child, e.came, e.state, e.result, e.reason
	FROM {s}.taskctx_journal e WHERE e.job_id = $2 AND e.name = $4 AND e.kind <> 'g'
), added AS (
	INSERT INTO {s}.taskctx_journal (job_id, name, kind, attempt, value)
	SELECT id, $4, $5, $6::smallint, $7 FROM own WHERE NOT EXISTS (SELECT FROM known)
	RETURNING job_id, octet_length(name) + coalesce(octet_length(value), 0) AS size
), counted AS (
	UPDATE {s}.taskctx_wait w SET others = w.others + 1, bytes = w.bytes + a.size
	FROM added a WHERE w.job_id = $2 AND w.job_id = a.job_id
)
SELECT EXISTS (SELECT FROM own), k.name IS NOT NULL, coalesce(k.kind, ''), coalesce(k.name, ''), coalesce(k.attempt, 0), k.value,
	coalesce(k.child, 0), coalesce(k.came, 0), coalesce(k.state, ''), k.result, coalesce(k.reason, '')
FROM (SELECT) one LEFT JOIN known k ON true`

// signalSQL adds a signal. It answers with what keeps it from that: 'gone',
// 'ended', 'known' or 'full'.
const signalSQL = `
WITH job AS (
	SELECT j.id, j.state IN ('completed', 'cancelled', 'discarded') AS ended FROM {s}.river_job j WHERE j.id = $1 FOR SHARE
), why AS (
	SELECT CASE WHEN NOT EXISTS (SELECT FROM job) THEN 'gone'
		WHEN (SELECT ended FROM job) THEN 'ended'
		WHEN $3::text <> '' AND EXISTS (SELECT FROM {s}.taskctx_journal e
			WHERE e.job_id = $1 AND e.name = $2 AND e.kind = 'g' AND e.key = $3) THEN 'known'
		WHEN EXISTS (SELECT FROM {s}.taskctx_wait w WHERE w.job_id = $1 AND (w.others >= $5::bigint
			OR w.bytes + octet_length($2::text) + octet_length($4::text) > $6::bigint)) THEN 'full'
		ELSE '' END AS why
), w AS (
	UPDATE {s}.taskctx_wait w SET came = w.came + 1, others = w.others + 1,
		bytes = w.bytes + octet_length($2::text) + octet_length($4::text),
		wake_at = CASE WHEN w.wake_came <= w.came + 1 OR w.wake_name = $2::text THEN NULL ELSE w.wake_at END
	FROM why WHERE w.job_id = $1 AND why.why = ''
	RETURNING w.job_id, w.came, w.wake_came <= w.came OR w.wake_name = $2::text AS fires
), entry AS (
	INSERT INTO {s}.taskctx_journal (job_id, name, kind, key, attempt, came, value)
	SELECT job_id, $2::text, 'g', nullif($3::text, ''), 0, came, $4::text FROM w
), woken AS (
	UPDATE {s}.river_job j SET state = 'available' FROM w WHERE j.id = $1 AND w.fires AND {waits}
	RETURNING j.queue
)
SELECT (SELECT why FROM why), (SELECT count(pg_notify($7::text, json_build_object('queue', queue)::text)) FROM woken)`

// dueWaitsSQL selects suspended jobs whose time has come, and how many seconds
// later the next is due, and whether there are children to cancel.
const dueWaitsSQL = `
SELECT ARRAY(SELECT job_id FROM {s}.taskctx_wait WHERE wake_at <= now() ORDER BY wake_at LIMIT 500),
	coalesce((SELECT extract(epoch FROM wake_at - now())::float8 FROM {s}.taskctx_wait
		WHERE wake_at > now() AND wake_at < 'infinity' ORDER BY wake_at LIMIT 1), -1),
	EXISTS (SELECT FROM {s}.taskctx_wait WHERE bereft IS NOT NULL AND bereft_at >= 0)`

// wakeSQL wakes suspended jobs whose time has come, and answers with their numbers.
const wakeSQL = `
WITH w AS (
	UPDATE {s}.taskctx_wait w SET wake_at = NULL WHERE w.job_id = ANY($1::bigint[]) AND w.wake_at <= now()
	RETURNING w.job_id
), woken AS (
	UPDATE {s}.river_job j SET state = 'available' WHERE j.id = ANY(ARRAY(SELECT job_id FROM w)) AND {waits}
	RETURNING j.id, j.queue
), told AS (
	SELECT pg_notify($2::text, json_build_object('queue', q.queue)::text) FROM (SELECT DISTINCT queue FROM woken) q
)
SELECT ARRAY(SELECT id FROM woken), (SELECT count(*) FROM told)`

// unseenEndsSQL selects children that have ended or are gone, and whose parent
// does not know: another program has ended or deleted them.
const unseenEndsSQL = `
SELECT x.job_id, x.child, j.id IS NULL FROM {s}.taskctx_journal x
LEFT JOIN LATERAL (SELECT j.id, j.state FROM {s}.river_job j WHERE j.id = x.child OFFSET 0) j ON true
WHERE x.job_id = ANY($1::bigint[]) AND x.kind = 'c' AND x.came = 0
	AND (j.id IS NULL OR j.state IN ('completed', 'cancelled', 'discarded'))
ORDER BY x.seq`

// endedFamilySQL selects those of the jobs that have failed or were cancelled, and
// whose parents, children or limits may not know.
const endedFamilySQL = `
SELECT j.id FROM {s}.river_job j
WHERE j.id = ANY($1::bigint[]) AND j.state IN ('cancelled', 'discarded') AND {durable}`

// missedSQL selects $2 jobs at most that were cancelled or have failed in the last $1 µs.
const missedSQL = `
SELECT j.id FROM {s}.river_job j WHERE j.state IN ('cancelled', 'discarded')
	AND j.finalized_at BETWEEN now() - $1::bigint * interval '1 microsecond' AND now() + interval '1 minute'
LIMIT $2`

// headsSQL selects heads in the order of their jobs, with whether the job is gone,
// whether it has ended and its children are not told, and whether it waits for ever.
const headsSQL = `
SELECT w.job_id, j.id IS NULL, (j.state IN ('cancelled', 'discarded') AND w.bereft IS NULL) IS TRUE, w.wake_at = 'infinity' IS TRUE
FROM {s}.taskctx_wait w
LEFT JOIN LATERAL (SELECT j.id, j.state FROM {s}.river_job j WHERE j.id = w.job_id OFFSET 0) j ON true
WHERE w.job_id > $1 ORDER BY w.job_id LIMIT $2`

const forgetJournalsSQL = `
WITH gone AS (
	DELETE FROM {s}.taskctx_wait w WHERE w.job_id = ANY($1::bigint[])
		AND NOT EXISTS (SELECT FROM {s}.river_job j WHERE j.id = w.job_id OFFSET 0) RETURNING w.job_id
)
DELETE FROM {s}.taskctx_journal e USING gone WHERE e.job_id = gone.job_id`

// bereftSQL selects a job whose children are to be cancelled, the mark that says so, and
// how far they are.
const bereftSQL = `
SELECT w.job_id, w.bereft, w.bereft_at FROM {s}.taskctx_wait w WHERE w.bereft IS NOT NULL AND w.bereft_at >= 0
ORDER BY w.job_id LIMIT 1`

const bereftChildrenSQL = `
SELECT e.seq, e.child FROM {s}.taskctx_journal e
WHERE e.job_id = $1 AND e.seq > $2 AND e.kind = 'c' AND e.came = 0 AND NOT e.orphan ORDER BY e.seq LIMIT $3`

// bereftAtSQL notes how far the children were cancelled; -1 is to the end.
const bereftAtSQL = `UPDATE {s}.taskctx_wait SET bereft_at = $2 WHERE job_id = $1 AND bereft = $3`

const isBereftSQL = `SELECT FROM {s}.taskctx_wait WHERE job_id = $1 AND bereft IS NOT NULL`

// forgetFailedSQL drops the entries of children that will not succeed any more.
const forgetFailedSQL = `
DELETE FROM {s}.taskctx_journal e WHERE e.job_id = $1 AND e.kind = 'c' AND (e.came = 0 OR e.state <> 'succeeded')
	AND NOT EXISTS (SELECT FROM {s}.river_job j WHERE j.id = e.child AND (j.state = 'completed'
		OR j.state NOT IN ('cancelled', 'discarded') AND NOT (j.state = 'running' AND ` + asked + `)) OFFSET 0)`

// redoEntriesSQL makes the entries of children that were retried by hand what
// those are now.
const redoEntriesSQL = `
UPDATE {s}.taskctx_journal e SET came = CASE WHEN x.done THEN x.place ELSE 0 END,
	state = CASE WHEN x.done THEN 'succeeded' END, result = CASE WHEN x.done THEN x.result END, reason = NULL
FROM (
	SELECT c.seq, j.state = 'completed' AS done,
		coalesce(nullif(j.metadata #>> '{taskctx,result}', ''), (j.metadata -> 'output')::text) AS result,
		(SELECT w.came FROM {s}.taskctx_wait w WHERE w.job_id = $1) + row_number() OVER (ORDER BY c.seq) AS place
	FROM {s}.taskctx_journal c
	CROSS JOIN LATERAL (SELECT j.state, j.metadata FROM {s}.river_job j WHERE j.id = c.child OFFSET 0) j
	WHERE c.job_id = $1 AND c.kind = 'c' AND (c.came = 0 OR c.state <> 'succeeded')
) x WHERE e.job_id = $1 AND e.seq = x.seq`

const recountSQL = `
UPDATE {s}.taskctx_wait w SET bereft = NULL, bereft_at = 0, wake_at = NULL, failed = 0, came = x.came, others = x.others, bytes = x.bytes
FROM (
	SELECT coalesce(max(e.came), 0) AS came, count(*) FILTER (WHERE e.kind <> 'c') AS others, coalesce(sum(octet_length(e.name)
		+ coalesce(octet_length(e.value), 0) + coalesce(octet_length(e.result), 0) + coalesce(octet_length(e.reason), 0)), 0) AS bytes
	FROM {s}.taskctx_journal e WHERE e.job_id = $1
) x WHERE w.job_id = $1`

// notStopped holds for jobs of a lost worker that run again, or that have nothing
// to do with journals.
const notStopped = `NOT ({asked} AND {durable})`

// stoppedOfSQL selects the running jobs of a worker that were asked to stop.
const stoppedOfSQL = `
SELECT j.id FROM {s}.river_job j WHERE j.state = 'running' AND {lastworker} = $1 AND ` + asked + `
	AND {durable}`
