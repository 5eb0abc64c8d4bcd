package postgres

import "strings"

// Statements that let in jobs that wait for a place.

// letInSQL gives the free places of keys to the first jobs that wait for them, up to
// $3 of a key. One of a paused queue becomes available without the place, for which
// nobody waits then. It notifies the workers of those that it has let in, unless the
// channel $2 is empty. The columns are their numbers, queues and names, whether there may be more,
// and whether something is paused.
var letInSQL = letInOf("unnest($1::bytea[]) AS k(key)", firstWaiters)

// letInUnpausedSQL is letInSQL for the time in which nothing is paused.
var letInUnpausedSQL = letInOf("unnest($1::bytea[]) AS k(key)", firstUnpaused)

// letInOf makes letInSQL for keys and those that wait for them.
func letInOf(keys string, first func(most string) string) string {
	return fitting(keys, "$3", first) + `, j AS MATERIALIZED (
	SELECT j.id, {aside} AS aside,
		EXISTS (SELECT FROM {s}.river_queue q WHERE q.name = j.queue AND q.paused_at IS NOT NULL)
			OR EXISTS (SELECT FROM {s}.taskctx_pause n WHERE n.name = j.kind) AS paused
	FROM {s}.river_job j WHERE j.id = ANY(ARRAY(SELECT job_id FROM w WHERE fits)) ORDER BY j.id FOR UPDATE OF j
), held AS (
	UPDATE {s}.taskctx_place SET held = true WHERE ctid = ANY(ARRAY(
		SELECT w.at FROM w JOIN j ON j.id = w.job_id WHERE w.fits AND j.aside AND (w.ordered OR NOT j.paused)))
), dropped AS (
	DELETE FROM {s}.taskctx_place WHERE ctid = ANY(ARRAY(
		SELECT w.at FROM w LEFT JOIN j ON j.id = w.job_id
		WHERE w.fits AND (j.id IS NULL OR NOT j.aside OR j.paused AND NOT w.ordered))) RETURNING key
), woken AS (
	UPDATE {s}.river_job j SET ` + wokenColumns + `
	WHERE j.id = ANY(ARRAY(SELECT id FROM j WHERE aside)) AND {aside}
	RETURNING j.id, j.queue, j.kind
), told AS (
	SELECT pg_notify($2::text, json_build_object('queue', q.queue)::text) FROM (SELECT DISTINCT queue FROM woken) q WHERE $2 <> ''
)
SELECT ARRAY(SELECT id FROM woken), ARRAY(SELECT queue FROM woken), ARRAY(SELECT kind FROM woken), (SELECT count(*) FROM told),
	EXISTS (SELECT FROM dropped) OR EXISTS (SELECT FROM k WHERE room > $3::integer), ` + anyPause + `
`
}

// fitting are the first CTEs of a statement that lets jobs in: k are the keys with free places
// and jobs that wait for them, w the first of these, up to lot of a key, of which those that
// fit are let in.
func fitting(keys, lot string, first func(most string) string) string {
	return `
WITH k AS MATERIALIZED (
	SELECT k.key, h.n AS held, s.most AS set, CASE WHEN f.ordered THEN 1 ELSE coalesce(s.most, f.most) END - h.n AS room
	FROM ` + keys + `
	CROSS JOIN LATERAL (` + first("1") + `) f
	CROSS JOIN LATERAL (SELECT (SELECT count(*) FROM {s}.taskctx_place p WHERE p.key = k.key AND p.held)::int
		+ (SELECT count(*) FROM {s}.taskctx_start t WHERE t.key = k.key AND t.until > statement_timestamp())::int AS n OFFSET 0) h
	LEFT JOIN LATERAL ({set}) s ON true
), w AS MATERIALIZED (
	SELECT w.job_id, w.ordered, w.at, bool_and(k.held + w.rn <= CASE WHEN w.ordered THEN 1 ELSE coalesce(k.set, w.most) END)
		OVER (PARTITION BY k.key ORDER BY w.rn) AS fits
	FROM k CROSS JOIN LATERAL (
		SELECT p.*, row_number() OVER () AS rn FROM (
			` + first("greatest(least(k.room, "+lot+"::integer), 0)") + `
		) p
	) w WHERE k.room > 0
)`
}

// grantSQL is letInUnpausedSQL for a worker that claims next in its transaction: it gives the
// places to the jobs, which go on waiting. What it claims of them is changed once.
var grantSQL = fitting("unnest($1::bytea[]) AS k(key)", "$2", firstUnpaused) + `, j AS MATERIALIZED (
	SELECT j.id, j.queue, j.kind, {aside} AS aside FROM {s}.river_job j
	WHERE j.id = ANY(ARRAY(SELECT job_id FROM w WHERE fits)) ORDER BY j.id FOR UPDATE OF j
), held AS (
	UPDATE {s}.taskctx_place SET held = true WHERE ctid = ANY(ARRAY(
		SELECT w.at FROM w JOIN j ON j.id = w.job_id WHERE w.fits AND j.aside))
), dropped AS (
	DELETE FROM {s}.taskctx_place WHERE ctid = ANY(ARRAY(
		SELECT w.at FROM w LEFT JOIN j ON j.id = w.job_id WHERE w.fits AND (j.id IS NULL OR NOT j.aside))) RETURNING key
)
SELECT ARRAY(SELECT id FROM j WHERE aside), ARRAY(SELECT queue FROM j WHERE aside), ARRAY(SELECT kind FROM j WHERE aside),
	length(set_config('taskctx.granted', ARRAY(SELECT id FROM j WHERE aside)::text, true)),
	EXISTS (SELECT FROM dropped) OR EXISTS (SELECT FROM k WHERE room > $2::integer), ` + anyPause

// granted are the jobs to which grantSQL has given places in this transaction.
const granted = `current_setting('taskctx.granted')::bigint[]`

// wakeGrantedSQL lets those of them go that were not claimed.
const wakeGrantedSQL = `
UPDATE {s}.river_job j SET ` + wokenColumns + ` WHERE j.id = ANY(` + granted + `) AND {aside}`

// wokenColumns are those of a job that waits for a place no more.
const wokenColumns = `
		state = CASE WHEN j.scheduled_at <= now() THEN 'available' WHEN {again} THEN 'retryable' ELSE 'scheduled' END::{s}.river_job_state,
		metadata = ` + wokenMetadata

// wokenMetadata is its metadata.
const wokenMetadata = `{metadata} || jsonb_build_object('taskctx', {envelope} - 'limit')`

// claimGrantedSQL is claimSQL for jobs some of which wait for a place that they have now.
func claimGrantedSQL(owner string) string {
	return strings.Replace(claimSQL(owner), "state = 'running',",
		"state = 'running', metadata = CASE WHEN j.state::text = 'pending' THEN "+wokenMetadata+" ELSE j.metadata END,", 1)
}

// orGranted makes a pick find the jobs of grantSQL as well, each where it would be found if it
// had been let in before.
func orGranted(pick, queues, names, pass, want string) string {
	const columns = "{row}, queue, priority, scheduled_at, id"
	pick = strings.NewReplacer("SELECT a.{row} FROM", "SELECT a.* FROM", "SELECT {row} FROM", "SELECT "+columns+" FROM").Replace(pick)
	return `
	SELECT u.{row} FROM (
		(` + pick + `)
		UNION ALL
		(SELECT ` + columns + ` FROM (
			SELECT {row}, queue, priority, scheduled_at, id, kind FROM {s}.river_job WHERE id = ANY(` + granted + `) OFFSET 0
		) r WHERE queue = ANY(` + queues + `::text[]) AND kind = ANY(` + names + `::text[]) AND scheduled_at <= now()
			AND id <> ALL(` + pass + `::bigint[]))
	) u
	ORDER BY array_position(` + queues + `::text[], u.queue), u.priority, u.scheduled_at, u.id
	LIMIT ` + want + `::bigint`
}
