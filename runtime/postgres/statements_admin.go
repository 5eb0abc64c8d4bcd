package postgres

import (
	"fmt"
	"strings"
)

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

// oldestSQL selects since when the available job of the queue $1 with the priority $2 is due that
// has been longest, by an index alone.
const oldestSQL = `
SELECT {scheduled} FROM {s}.river_job j
WHERE j.state = 'available' AND j.queue = $1::text AND j.priority = $2::smallint ORDER BY j.scheduled_at LIMIT 1`

// oldestAsideSQL does so, for all queues, for jobs that are due and not available: put aside, or not
// moved yet.
const oldestAsideSQL = `
SELECT o.queue, min(o.at) FROM (
	SELECT j.queue, coalesce({parked}, {scheduled}) AS at FROM {s}.river_job j
	WHERE j.state IN ('scheduled', 'retryable') AND j.scheduled_at <= now() + interval '2 minutes'
	ORDER BY j.scheduled_at LIMIT 5000
) o WHERE o.at <= now() GROUP BY 1 LIMIT 1000`

// countBeginSQL selects how many pages the table has, the version of the server, and what reading
// has cost.
const countBeginSQL = `
SELECT pg_relation_size('{s}.river_job'::regclass) / current_setting('block_size')::int,
	current_setting('server_version_num')::int, {cost}`

const costSQL = `SELECT {cost}`

// readCost is what this session has read of the jobs, in entries of an index that nothing else is
// read for, and how much of that nothing came of; see countBudget. It goes on over transactions.
const readCost = `(SELECT c.entries + 50 * c.pages + 4 * c.rows FROM {read} c),
	(SELECT 50 * c.pages + 4 * greatest(c.rows - c.seen, 0) FROM {read} c)`

const spentCost = `(SELECT c.entries + 50 * c.pages + 4 * c.rows FROM {read} c)`

const readOf = `(SELECT sum(coalesce(pg_stat_get_xact_tuples_returned(i), 0))::bigint AS entries,
	sum(coalesce(pg_stat_get_xact_blocks_fetched(i), 0))::bigint AS pages,
	sum(coalesce(pg_stat_get_xact_tuples_fetched(i), 0))::bigint AS seen,
	coalesce(pg_stat_get_xact_blocks_fetched(to_regclass('{s}.river_job')), 0)::bigint AS rows
	FROM unnest(ARRAY[to_regclass('{s}.river_job_prioritized_fetching_index'), to_regclass('{s}.taskctx_marked')]) i)`

// sampleSQL counts on some pages of the table before the place $1, $2 of 100, in the order of queues.
const sampleSQL = `
SELECT j.state::text, j.queue, {again}, {later} OR {waits}, count(*), count(DISTINCT (j.ctid::text::point)[0]),
	min({scheduled})
FROM {s}.river_job j TABLESAMPLE SYSTEM ($2::real) WHERE j.ctid < $1::text::tid GROUP BY 1, 2, 3, 4 ORDER BY j.queue`

// tailSQL counts on the pages from the place $1 on.
const tailSQL = `
SELECT j.state::text, j.queue, {again}, {later} OR {waits}, count(*), 0::bigint, min({scheduled})
FROM {s}.river_job j WHERE j.ctid >= $1::text::tid GROUP BY 1, 2, 3, 4`

// groupsSQL counts the jobs of a state $1 in each of the queues after $2, by an index alone, up to
// $3 of them, and none once reading has cost $4: how many they are, how many of these are ahead of
// their time, and since when the first one is due.
const groupsSQL = `
SELECT x.queue, count(*), count(*) FILTER (WHERE x.scheduled_at > now()),
	least(greatest(min(x.scheduled_at), '0001-01-01 00:00:00+00'), '9999-12-31 00:00:00+00') FROM (
	SELECT j.queue, j.scheduled_at FROM {s}.river_job j
	WHERE j.state = $1::text::{s}.river_job_state AND j.queue > $2::text{upto} ORDER BY j.queue LIMIT {most}
) x GROUP BY x.queue`

// marksSQL does so for those of them whose state their metadata decides, as publicState does: how
// many there are of each of markKinds. An index has them alone.
const marksSQL = `
SELECT x.queue, {kinds} FROM (
	SELECT j.queue, {again} AS again, {later} OR {waits} AS later, j.scheduled_at > now() AS ahead FROM {s}.river_job j
	WHERE j.state = $1::text::{s}.river_job_state AND j.queue > $2::text{upto} AND {marked} ORDER BY j.queue LIMIT {most}
) x GROUP BY x.queue`

// markKinds are the kinds of jobs with a mark.
var markKinds = func() (kinds []markKind) {
	for i := range 8 {
		kinds = append(kinds, markKind{i&4 != 0, i&2 != 0, i&1 != 0})
	}
	return kinds
}()

type markKind struct{ again, later, ahead bool }

// countParts makes of a statement that counts the one for the queues up to the end, and the one
// for those before $5.
func countParts(sql string) (toEnd, before string) {
	kinds := make([]string, len(markKinds))
	for i, k := range markKinds {
		kinds[i] = fmt.Sprintf("count(*) FILTER (WHERE x.again = %t AND x.later = %t AND x.ahead = %t)", k.again, k.later, k.ahead)
	}
	sql = strings.NewReplacer("{kinds}", strings.Join(kinds, ", "),
		"{most}", "greatest(least($3::bigint, $4::bigint - {spent}), 0)").Replace(sql)
	return strings.Replace(sql, "{upto}", "", 1), strings.Replace(sql, "{upto}", " AND j.queue < $5::text", 1)
}

// countingSQL bounds the milliseconds of each statement that follows in the transaction, and makes
// them answer group by group.
const countingSQL = `SELECT set_config('statement_timeout', $1::text, true), set_config('enable_hashagg', 'off', true)`

// nextQueueSQL selects the first queue after $2 and before $3, of those of $1 and of those that had workers.
const nextQueueSQL = `
SELECT min(q.name) FROM (SELECT unnest($1::text[]) AS name UNION ALL SELECT name FROM {s}.river_queue) q
WHERE q.name > $2::text AND ($3::text = '' OR q.name < $3)`

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
