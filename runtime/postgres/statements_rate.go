package postgres

// Statements about rates. A run that has begun under one is a row of taskctx_start as
// long as it counts: it holds a place of the key like a job that was let in. What is
// asked and written after the lock on a key goes by statement_timestamp, which lies
// after it.

// beginRatedSQL counts runs that begin now, $4 is for how many µs they do, and takes from
// their jobs the places by which these were let in. A record tells the moment that counts,
// not the one in which the claim began to wait for the lock.
const beginRatedSQL = `
WITH b AS MATERIALIZED (
	SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::bytea[], $4::bigint[]) AS r(job, n, key, spacing)
), dropped AS (
	DELETE FROM {s}.taskctx_place p USING b WHERE p.job_id = ANY($1::bigint[]) AND p.job_id = b.job AND p.n = b.n
), stamped AS (
	UPDATE {s}.river_job j SET attempted_at = statement_timestamp() WHERE j.id = ANY($1::bigint[]) AND j.state::text = 'running'
), over AS (
	DELETE FROM {s}.taskctx_start WHERE key = ANY($3::bytea[]) AND until <= statement_timestamp()
)
INSERT INTO {s}.taskctx_start (key, until)
SELECT b.key, statement_timestamp() + b.spacing * interval '1 microsecond' FROM b`

// beginHeldSQL is beginRatedSQL for jobs that hold all their places: they begin unless more
// hold places of a rate than may, $5, since SetLimit has set fewer. It selects those that do.
var beginHeldSQL = `
WITH b AS MATERIALIZED (
	SELECT r.*, (SELECT count(*) FROM {s}.taskctx_place p WHERE p.key = r.key AND p.held)
			+ (SELECT count(*) FROM {s}.taskctx_start t WHERE t.key = r.key AND t.until > statement_timestamp())
			<= coalesce((SELECT s.most FROM (SELECT r.key AS key) k CROSS JOIN LATERAL ({set}) s), r.most) AS fits
	FROM unnest($1::bigint[], $2::smallint[], $3::bytea[], $4::bigint[], $5::integer[]) AS r(job, n, key, spacing, most)
), ok AS MATERIALIZED (
	SELECT b.* FROM b WHERE b.job <> ALL(ARRAY(SELECT job FROM b WHERE NOT fits))
), dropped AS (
	DELETE FROM {s}.taskctx_place p USING ok WHERE p.job_id = ANY($1::bigint[]) AND p.job_id = ok.job AND p.n = ok.n
), stamped AS (
	UPDATE {s}.river_job j SET attempted_at = statement_timestamp()
	WHERE j.id = ANY($1::bigint[]) AND j.id = ANY(ARRAY(SELECT job FROM ok)) AND j.state::text = 'running'
), over AS (
	DELETE FROM {s}.taskctx_start WHERE key = ANY($3::bytea[]) AND until <= statement_timestamp()
), began AS (
	INSERT INTO {s}.taskctx_start (key, until)
	SELECT ok.key, statement_timestamp() + ok.spacing * interval '1 microsecond' FROM ok
)
SELECT DISTINCT job FROM ok`

// letInOpenSQL is letInUnpausedSQL for those of the keys that are rates whose time has come.
// While something is paused the upkeep opens them.
var letInOpenSQL = letInOf(`(SELECT x.key FROM {s}.taskctx_limit_key x
	WHERE x.key = ANY($1::bytea[]) AND x.wake <= statement_timestamp()) k`, firstUnpaused)

// wakeRatesSQL notes when each rate has room for a job that waits, now or when the next run
// counts no more, and tells the workers if it is soon. It is never, if those that wait are
// paused and there is room. Runs that began one after the other count no more one after the
// other, and whoever looks then costs all workers something: so it is when a twentieth of
// the rate has room, or a little later than the first, 1/400 of its time and 25 ms at most.
var wakeRatesSQL = `
WITH w AS MATERIALIZED (
	SELECT k.key, CASE WHEN f.most IS NOT NULL AND r.n < coalesce(s.most, f.most) THEN statement_timestamp()
		WHEN a.most IS NOT NULL AND r.n >= coalesce(s.most, a.most) THEN
			(SELECT least(max(t.until), min(t.until) + least(k.per / 400000, 25000) * interval '1 microsecond') FROM (
				SELECT t.until FROM {s}.taskctx_start t WHERE t.key = k.key AND t.until > statement_timestamp()
				ORDER BY t.key, t.until LIMIT greatest(coalesce(s.most, a.most) / 20, 1)) t) END AS at
	FROM (SELECT x.key, x.per FROM {s}.taskctx_limit_key x WHERE x.key = ANY($1::bytea[])) k
	CROSS JOIN LATERAL (SELECT (SELECT count(*) FROM {s}.taskctx_place p WHERE p.key = k.key AND p.held)
		+ (SELECT count(*) FROM {s}.taskctx_start t WHERE t.key = k.key AND t.until > statement_timestamp()) AS n OFFSET 0) r
	LEFT JOIN LATERAL (` + firstWaiters("1") + `) f ON true
	LEFT JOIN LATERAL (SELECT p.most FROM {s}.taskctx_place p WHERE p.key = k.key AND NOT p.held LIMIT 1) a ON true
	LEFT JOIN LATERAL ({set}) s ON true
), up AS (
	UPDATE {s}.taskctx_limit_key k SET wake = w.at FROM w WHERE k.key = ANY($1::bytea[]) AND k.key = w.key
		AND k.wake IS DISTINCT FROM w.at RETURNING k.wake
)
SELECT pg_notify($2::text, (extract(epoch FROM s.at - statement_timestamp()) * 1000000)::bigint::text)
FROM (SELECT min(wake) AS at FROM up) s WHERE s.at < statement_timestamp() + $3::bigint * interval '1 microsecond'`

// openRatesSQL locks some of the rates whose time has come, but for those that another
// worker looks at.
const openRatesSQL = `
SELECT key, per FROM {s}.taskctx_limit_key WHERE key = ANY(ARRAY(
	SELECT key FROM {s}.taskctx_limit_key WHERE wake <= statement_timestamp() ORDER BY wake LIMIT $1))
	AND wake <= statement_timestamp() ORDER BY key FOR UPDATE SKIP LOCKED`

const nextRateSQL = `
SELECT coalesce(extract(epoch FROM (SELECT min(wake) FROM {s}.taskctx_limit_key WHERE wake IS NOT NULL) - clock_timestamp()), -1)::float8,
	EXISTS (SELECT FROM {s}.taskctx_limit_key WHERE wake IS NOT NULL)`

const forgetStartsSQL = `DELETE FROM {s}.taskctx_start WHERE key = ANY($1::bytea[]) AND until <= statement_timestamp()`
