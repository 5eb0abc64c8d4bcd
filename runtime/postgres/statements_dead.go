package postgres

// Statements for dead rows that stay; see deadRows.

// readsSQL selects how many index entries this transaction has read, and
// earlier ones that the server has not counted yet; and the time.
const readsSQL = `
SELECT coalesce(pg_stat_get_xact_tuples_returned(to_regclass('{s}.river_job_prioritized_fetching_index')), 0)
	+ coalesce(pg_stat_get_xact_tuples_returned(to_regclass('{s}.taskctx_due')), 0), now()`

// belowSQL selects jobs between two times that are below the marks of their
// queue and priority.
const belowSQL = `
SELECT a.id FROM unnest($1::text[], $2::smallint[], $3::timestamptz[]) AS q(name, priority, mark)
CROSS JOIN LATERAL (
	SELECT id FROM {s}.river_job
	WHERE state = 'available' AND queue = q.name AND priority = q.priority
		AND scheduled_at <= q.mark AND scheduled_at >= $4 AND scheduled_at < $5 AND kind = ANY($6::text[])
	ORDER BY scheduled_at, id LIMIT 250
) a
LIMIT 1000`

// runningSQL selects jobs between two times that workers of ours run.
const runningSQL = `
SELECT r.id, r.worker FROM {s}.river_queue q
CROSS JOIN (VALUES (1::smallint), (2::smallint), (3::smallint), (4::smallint)) AS p(priority)
CROSS JOIN LATERAL (
	SELECT j.id, {lastworker} AS worker FROM {s}.river_job j
	WHERE j.state = 'running' AND j.queue = q.name AND j.priority = p.priority
		AND j.scheduled_at >= $1 AND j.scheduled_at < $2
) r
WHERE r.worker LIKE '` + ownerPrefix + `%'`

// holdersSQL selects the keepers of the oldest row versions: a session, a
// standby or its slot, a prepared transaction; since which transaction, and
// for how many seconds if that is known. Vacuum keeps none.
const holdersSQL = `
SELECT h.kind, h.name, h.detail, h.xid, h.seconds FROM (
	SELECT 'session' AS kind, a.pid::text AS name,
		concat_ws(', ', 'application_name ' || nullif(a.application_name, ''), 'user ' || a.usename::text, 'state ' || a.state,
			CASE WHEN a.backend_type <> 'client backend' THEN a.backend_type END) AS detail,
		CASE WHEN coalesce(age(a.backend_xid), 0) > coalesce(age(a.backend_xmin), 0)
			THEN a.backend_xid ELSE a.backend_xmin END::text AS xid,
		coalesce(extract(epoch FROM now() - a.xact_start)::float8, 0) AS seconds,
		greatest(age(a.backend_xmin), age(a.backend_xid)) AS behind
	FROM pg_catalog.pg_stat_activity a
	WHERE a.pid <> pg_backend_pid() AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
		AND (a.datname = current_database() OR a.datname IS NULL) AND a.backend_type <> 'autovacuum worker'
	UNION ALL
	SELECT 'replication slot', s.slot_name::text,
		concat_ws(', ', 'type ' || s.slot_type, CASE WHEN s.active THEN 'active' ELSE 'not active' END),
		s.xmin::text, 0, age(s.xmin)
	FROM pg_catalog.pg_replication_slots s WHERE s.xmin IS NOT NULL
	UNION ALL
	SELECT 'prepared transaction', p.gid, 'user ' || p.owner::text, p.transaction::text,
		extract(epoch FROM now() - p.prepared)::float8, age(p.transaction)
	FROM pg_catalog.pg_prepared_xacts p WHERE p.database = current_database()
) h ORDER BY h.behind DESC, h.seconds DESC LIMIT 1`
