package postgres

import "strings"

// Statements about the places of limits.
//
// Whoever gives, takes or counts places of a key locks the key's row of
// taskctx_limit_key before, by a statement that does no more: each later statement of
// the transaction then sees the commits for which that one waited. Keys are locked in
// one order, after heads of journals and before any job.

// limitStatements are those of limits.
type limitStatements struct {
	notDue, addNewPlaces, roomsUnpaused                                       string
	addKeys, lockKeys, limitsOf, rooms, placesOf, held, addPlaces, leave      string
	letIn, letInUnpaused, grant, wakeGranted                                  string
	succeed, claim, claimAfter, claimFound, claimGranted, claimGrantedAfter   string
	putAside, putAsideOwn                                                     string
	set, clear, ofRule, counts, pausedPlaces                                  string
	begin, beginHeld, letInOpen, wakeRates, openRates, nextRate, forgetStarts string
	sweep, hurrySweep, forget, postpone, placeKeys, dropPlaces                string
}

func newLimitStatements() limitStatements {
	return limitStatements{
		notDue: notDueSQL, addNewPlaces: addNewPlacesSQL, roomsUnpaused: roomsUnpausedSQL,
		addKeys: addLimitKeysSQL, lockKeys: lockLimitKeysSQL, limitsOf: limitsOfSQL, rooms: roomsSQL, placesOf: placesOfSQL,
		held: heldSQL, addPlaces: addPlacesSQL, leave: leavePlacesSQL, letIn: letInSQL, letInUnpaused: letInUnpausedSQL,
		succeed: succeedAndLeaveSQL, claim: holding(forSome(claimSQL("$5"), claimPick).all),
		claimAfter:        holding(forSome(claimSQL("$8"), claimAfterPick).all),
		claimFound:        holding(forSome(claimSQL("$6"), claimFoundPick).all),
		claimGranted:      holding(forSome(claimGrantedSQL("$5"), orGranted(claimPick, "$1", "$2", "$3", "$4")).all),
		claimGrantedAfter: holding(forSome(claimGrantedSQL("$8"), orGranted(claimAfterPick, "$1", "$5", "$6", "$7")).all),
		grant:             grantSQL, wakeGranted: wakeGrantedSQL,
		putAside: strings.NewReplacer(
			"{which}", "j.id = o.id AND j.state = 'available' AND $1::text = ''", "{back}", "").Replace(putAsideSQL),
		putAsideOwn: strings.NewReplacer("{which}", "{own} AND NOT {asked}", "{back}", putBackSQL).Replace(putAsideSQL),
		set:         setLimitSQL, clear: clearLimitSQL, ofRule: keysOfRuleSQL, counts: limitCountsSQL, pausedPlaces: pausedPlacesSQL,
		begin: beginRatedSQL, beginHeld: beginHeldSQL, letInOpen: letInOpenSQL,
		wakeRates: wakeRatesSQL, openRates: openRatesSQL, nextRate: nextRateSQL, forgetStarts: forgetStartsSQL,
		sweep: sweepPlacesSQL, hurrySweep: hurrySweepSQL, forget: forgetLimitKeysSQL, postpone: postponeSQL,
		placeKeys: placeKeysSQL, dropPlaces: dropPlacesSQL,
	}
}

func (l *limitStatements) texts() []*string {
	return []*string{
		&l.succeed, &l.claim, &l.claimAfter, &l.claimFound, &l.claimGranted, &l.claimGrantedAfter, &l.grant, &l.wakeGranted,
		&l.notDue, &l.addNewPlaces, &l.roomsUnpaused,
		&l.begin, &l.beginHeld, &l.letInOpen, &l.wakeRates, &l.openRates, &l.nextRate, &l.forgetStarts,
		&l.addKeys, &l.lockKeys, &l.limitsOf, &l.rooms, &l.placesOf, &l.held, &l.addPlaces, &l.leave, &l.letIn, &l.letInUnpaused,
		&l.putAside, &l.putAsideOwn, &l.set, &l.clear, &l.ofRule, &l.counts, &l.pausedPlaces,
		&l.sweep, &l.hurrySweep, &l.forget, &l.postpone, &l.placeKeys, &l.dropPlaces,
	}
}

// anyPause holds while something is paused.
const anyPause = `(EXISTS (SELECT FROM {s}.river_queue WHERE paused_at IS NOT NULL) OR EXISTS (SELECT FROM {s}.taskctx_pause))`

// firstWaiters selects the first that wait for a place of the key k, up to most, but for
// those that are paused. An order has no exception: there the first waits for the end of
// the pause, and the others for it. While something is paused, the jobs of each queue and
// name are a lane of their own.
func firstWaiters(most string) string {
	columns := "p.job_id, p.ordered, p.most, p.ctid AS at"
	return `(SELECT ` + columns + ` FROM {s}.taskctx_place p WHERE NOT ` + anyPause + ` AND p.key = k.key AND NOT p.held
		ORDER BY p.key, p.priority, p.due, p.turn LIMIT ` + most + `)
	UNION ALL
	(WITH RECURSIVE lane AS (
		(SELECT p.queue, p.kind FROM {s}.taskctx_place p WHERE ` + anyPause + ` AND p.key = k.key AND NOT p.held
			ORDER BY p.key, p.queue, p.kind LIMIT 1)
		UNION ALL
		SELECT n.queue, n.kind FROM lane l CROSS JOIN LATERAL (
			SELECT p.queue, p.kind FROM {s}.taskctx_place p WHERE p.key = k.key AND NOT p.held AND (p.queue, p.kind) > (l.queue, l.kind)
			ORDER BY p.key, p.queue, p.kind LIMIT 1) n
	)
	SELECT ` + columns + ` FROM (
		SELECT l.queue, l.kind, EXISTS (SELECT FROM {s}.river_queue q WHERE q.name = l.queue AND q.paused_at IS NOT NULL)
			OR EXISTS (SELECT FROM {s}.taskctx_pause n WHERE n.name = l.kind) AS paused FROM lane l OFFSET 0
	) l CROSS JOIN LATERAL (
		SELECT p.*, p.ctid FROM {s}.taskctx_place p WHERE p.key = k.key AND p.queue = l.queue AND p.kind = l.kind AND NOT p.held
		ORDER BY p.key, p.queue, p.kind, p.priority, p.due, p.turn LIMIT CASE WHEN l.paused THEN 1 ELSE ` + most + ` END
	) p WHERE ` + anyPause + ` AND (p.ordered OR NOT l.paused) ORDER BY p.priority, p.due, p.turn LIMIT ` + most + `)`
}

// firstUnpaused is firstWaiters while nothing is paused, and selects none otherwise: it is
// planned, and begins, in a fraction of the time.
func firstUnpaused(most string) string {
	return `(SELECT p.job_id, p.ordered, p.most, p.ctid AS at FROM {s}.taskctx_place p WHERE p.key = k.key AND NOT p.held
		AND NOT ` + anyPause + ` ORDER BY p.key, p.priority, p.due, p.turn LIMIT ` + most + `)`
}

// isAside holds for a job that waits for a place.
const isAside = `j.state::text = 'pending' AND coalesce(j.metadata -> 'taskctx' ? 'limit', false)`

// insertLimited makes of insertSQL the statement for tasks with limits. $14 are the
// rules for whose places they wait, empty for none.
func insertLimited(text string) string {
	return strings.NewReplacer(
		"r.metadata::jsonb",
		"CASE WHEN r.aside = '' THEN r.metadata::jsonb ELSE jsonb_set(r.metadata::jsonb, '{taskctx,limit}', to_jsonb(r.aside)) END",
		"CASE WHEN r.due > now()", "CASE WHEN r.aside <> '' THEN 'pending' WHEN r.due > now()",
		"$10::text[])", "$10::text[], $14::text[])",
		"tags, n)", "tags, aside, n)",
	).Replace(text)
}

const addLimitKeysSQL = `
INSERT INTO {s}.taskctx_limit_key (key, rule_key, rule, per)
SELECT r.key, r.rule_key, r.rule, r.per
FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::bigint[]) WITH ORDINALITY AS r(key, rule_key, rule, per, n) ORDER BY r.n
ON CONFLICT (key) DO NOTHING`

const lockLimitKeysSQL = `SELECT FROM {s}.taskctx_limit_key WHERE key = ANY($1::bytea[]) ORDER BY key FOR UPDATE`

// limitsOfSQL selects jobs' limits, each once: of a text itself, of an array its text.
const limitsOfSQL = `
SELECT DISTINCT j.metadata #>> '{taskctx,limits}' FROM {s}.river_job j
WHERE j.id = ANY($1::bigint[]) AND j.metadata #>> '{taskctx,limits}' IS NOT NULL`

// placeKeysSQL selects the keys under which jobs hold places or wait for them.
const placeKeysSQL = `SELECT DISTINCT p.key FROM {s}.taskctx_place p WHERE p.job_id = ANY($1::bigint[])`

// roomsSQL selects, by the place in $1, how many places of a key are held, of a rate by
// the runs that count as well, whether tasks wait for one, what SetLimit has set, negative
// for nothing, and whether the time of a rate has come.
var roomsSQL = `
SELECT k.n, h.n + t.n, w.n > 0, coalesce(s.most, -1),
	coalesce((SELECT x.wake <= statement_timestamp() FROM {s}.taskctx_limit_key x WHERE x.key = k.key), false), ` + anyPause + `
FROM unnest($1::bytea[]) WITH ORDINALITY AS k(key, n)
CROSS JOIN LATERAL (SELECT count(*) AS n FROM {s}.taskctx_place p WHERE p.key = k.key AND p.held) h
CROSS JOIN LATERAL (SELECT count(*) AS n FROM {s}.taskctx_start t WHERE t.key = k.key AND t.until > statement_timestamp()) t
CROSS JOIN LATERAL (SELECT count(*) AS n FROM (` + firstWaiters("1") + `) p) w
LEFT JOIN LATERAL ({set}) s ON true`

// roomsUnpausedSQL is roomsSQL for the time in which nothing is paused.
const roomsUnpausedSQL = `
SELECT k.n, (SELECT count(*) FROM {s}.taskctx_place p WHERE p.key = k.key AND p.held)
		+ (SELECT count(*) FROM {s}.taskctx_start t WHERE t.key = k.key AND t.until > statement_timestamp()),
	(SELECT true FROM {s}.taskctx_place p WHERE p.key = k.key AND NOT p.held LIMIT 1) IS NOT NULL,
	coalesce((SELECT l.most FROM {s}.taskctx_limit l WHERE l.rule_key = x.rule_key), -1),
	coalesce(x.wake <= statement_timestamp(), false), ` + anyPause + `
FROM unnest($1::bytea[]) WITH ORDINALITY AS k(key, n)
CROSS JOIN LATERAL (SELECT x.rule_key, x.wake FROM {s}.taskctx_limit_key x WHERE x.key = k.key OFFSET 0) x`

// setOf selects what SetLimit has set for the key k.
const setOf = `SELECT l.most FROM {s}.taskctx_limit_key x CROSS JOIN LATERAL (
	SELECT l.most FROM {s}.taskctx_limit l WHERE l.rule_key = x.rule_key OFFSET 0) l WHERE x.key = k.key OFFSET 0`

// notDueSQL selects, by their places, jobs that are due later or paused, and whether they
// are due later.
const notDueSQL = `
SELECT r.n, coalesce(r.due > now(), false) FROM unnest($1::text[], $2::timestamptz[], $3::text[]) WITH ORDINALITY AS r(queue, due, kind, n)
WHERE r.due > now() OR EXISTS (SELECT FROM {s}.river_queue q WHERE q.name = r.queue AND q.paused_at IS NOT NULL)
	OR EXISTS (SELECT FROM {s}.taskctx_pause n WHERE n.name = r.kind)`

// placesOfSQL selects which places jobs hold. Whether they are held is no condition on the
// table: for one, an index of all that are held would be read while the statistics are those
// of an empty table.
const placesOfSQL = `
SELECT p.job_id, p.n FROM (SELECT p.* FROM {s}.taskctx_place p WHERE p.job_id = ANY($1::bigint[]) OFFSET 0) p WHERE p.held`

// heldSQL selects how many places each job holds.
const heldSQL = `
SELECT p.job_id, count(*) FILTER (WHERE p.held) FROM {s}.taskctx_place p WHERE p.job_id = ANY($1::bigint[]) GROUP BY 1`

// holding makes a claim select how many places each job holds, too. Who takes places from
// a job that is available changes its row: a claim that does not see that does not see the
// job.
func holding(claim string) string {
	return claim + ", (SELECT count(*) FILTER (WHERE p.held) FROM {s}.taskctx_place p WHERE p.job_id = j.id)"
}

// succeedAndLeaveSQL is succeedSQL for jobs with limits, which give up their places.
const succeedAndLeaveSQL = `
WITH ended AS (` + succeedSQL + `), gone AS (
	DELETE FROM {s}.taskctx_place WHERE job_id = ANY(ARRAY(SELECT id FROM ended))
)
SELECT id, attempt FROM ended`

// addPlacesSQL notes that jobs hold places, or wait for them. Those that keep an order
// go by their turn alone.
const addPlacesSQL = addNewPlacesSQL + `
ON CONFLICT (job_id, n) DO UPDATE SET held = excluded.held, priority = excluded.priority, due = excluded.due, turn = excluded.turn,
	queue = excluded.queue, kind = excluded.kind`

// addNewPlacesSQL is addPlacesSQL for jobs that have none.
const addNewPlacesSQL = `
INSERT INTO {s}.taskctx_place AS p (job_id, n, key, most, ordered, held, priority, due, turn, queue, kind)
SELECT r.job, r.n, r.key, r.most, r.ordered, r.held, CASE WHEN r.ordered THEN 0 ELSE r.priority END,
	CASE WHEN r.ordered THEN '-infinity' ELSE coalesce(r.due, now()) END,
	CASE WHEN r.ordered THEN nextval('{s}.taskctx_turn'::regclass) ELSE r.job END, r.queue, r.kind
FROM unnest($1::bigint[], $2::smallint[], $3::bytea[], $4::integer[], $5::boolean[], $6::boolean[], $7::smallint[], $8::timestamptz[],
	$9::text[], $10::text[]) AS r(job, n, key, most, ordered, held, priority, due, queue, kind)`

// leavePlacesSQL gives up the places of jobs, as their states want it: all of one that
// has ended or is gone, and of one that neither runs nor waits for a place those of
// limits that keep no order. It changes the row of one that may be claimed; see holding.
const leavePlacesSQL = `
WITH j AS MATERIALIZED (
	SELECT j.id, j.state::text AS state, {aside} AS aside FROM {s}.river_job j WHERE j.id = ANY($1::bigint[]) ORDER BY j.id FOR UPDATE
), p AS MATERIALIZED (
	SELECT p.ctid AS at, p.job_id, p.ordered FROM {s}.taskctx_place p WHERE p.job_id = ANY($1::bigint[])
), gone AS MATERIALIZED (
	SELECT p.at, j.id, j.state FROM p LEFT JOIN j ON j.id = p.job_id
	WHERE j.id IS NULL OR j.state IN ('completed', 'cancelled', 'discarded') OR NOT p.ordered AND j.state <> 'running' AND NOT j.aside
), changed AS (
	UPDATE {s}.river_job SET state = state WHERE id = ANY(ARRAY(SELECT id FROM gone WHERE state = 'available'))
)
DELETE FROM {s}.taskctx_place WHERE ctid = ANY(ARRAY(SELECT at FROM gone))`

// postponeSQL makes the first job that waits for a key's place the last one, unless the
// key keeps an order.
var postponeSQL = `
UPDATE {s}.taskctx_place SET priority = 32767, due = now() WHERE ctid = ANY(ARRAY(
	SELECT p.at FROM (SELECT $1::bytea AS key) k CROSS JOIN LATERAL (` + firstWaiters("1") + `) p WHERE NOT p.ordered))
RETURNING job_id`

// putAsideSQL puts jobs aside that have to wait for a place, $4 are the rules. {which}
// are those that may be, {back} undoes their claim by the worker $1.
const putAsideSQL = `
UPDATE {s}.river_job j SET state = 'pending', {back}
	metadata = {metadata} || jsonb_build_object('taskctx', ({envelope} - 'waits') || jsonb_build_object('limit', o.rule))
FROM unnest($2::bigint[], $3::smallint[], $4::text[]) AS o(id, attempt, rule)
WHERE {which} AND j.id = ANY($2::bigint[])`

const putBackSQL = `
	attempt = greatest(j.attempt::int - 1, 0), attempted_at = CASE WHEN j.attempt > 1 THEN j.attempted_at END,
	attempted_by = (j.attempted_by[:])[:array_length(j.attempted_by, 1) - 1],`

const setLimitSQL = `
INSERT INTO {s}.taskctx_limit (rule_key, rule, most) VALUES ($1, $2, $3) ON CONFLICT (rule_key) DO UPDATE SET most = excluded.most`

const clearLimitSQL = `DELETE FROM {s}.taskctx_limit WHERE rule_key = $1`

// keysOfRuleSQL selects keys of a rule after another.
const keysOfRuleSQL = `
SELECT key FROM {s}.taskctx_limit_key WHERE rule_key = $1 AND key > $2 ORDER BY rule_key, key LIMIT $3`

const limitCountsSQL = `
SELECT c.rule, c.set, max(c.per), sum(c.keys)::bigint, sum(c.held)::bigint, sum(c.waiting)::bigint FROM (
	SELECT x.rule, coalesce(l.most, -1) AS set, max(x.per) AS per, count(*) AS keys, sum(p.held) AS held, sum(p.waiting) AS waiting
	FROM (SELECT key, count(*) FILTER (WHERE held) AS held, count(*) FILTER (WHERE NOT held) AS waiting FROM (
			SELECT key, held FROM {s}.taskctx_place
			UNION ALL
			SELECT key, true FROM {s}.taskctx_start WHERE until > statement_timestamp()
		) p GROUP BY key) p
	JOIN {s}.taskctx_limit_key x ON x.key = p.key LEFT JOIN {s}.taskctx_limit l ON l.rule_key = x.rule_key GROUP BY 1, 2
	UNION ALL
	SELECT rule, most, 0, 0, 0, 0 FROM {s}.taskctx_limit
) c GROUP BY 1, 2`

// pausedPlacesSQL selects available jobs of the queue $1 or of the name $2 that hold
// places which others could have.
const pausedPlacesSQL = `
SELECT DISTINCT p.job_id FROM {s}.taskctx_place p JOIN {s}.river_job j ON j.id = p.job_id
WHERE p.held AND NOT p.ordered AND j.state::text = 'available' AND (j.queue = $1 OR j.kind = $2)`

// sweepPlacesSQL looks at the next $1 keys: which jobs hold places that they should not,
// which keys have free places for which jobs wait, and which have neither holders nor
// waiters. The first columns are whether there are more, and
// whether to go on with them at once. After the last key it begins with
// the first again, in $2 µs. Who comes while another worker is at it gets none.
var sweepPlacesSQL = `
WITH c AS MATERIALIZED (
	SELECT after, hurry FROM {s}.taskctx_scan WHERE due <= statement_timestamp() FOR UPDATE SKIP LOCKED
), k AS MATERIALIZED (
	SELECT key FROM {s}.taskctx_limit_key WHERE key > (SELECT after FROM c) ORDER BY key LIMIT $1
), n AS MATERIALIZED (
	SELECT count(*) = $1 AS more, max(encode(key, 'hex')) AS last FROM k
), got AS (
	UPDATE {s}.taskctx_scan s SET after = CASE WHEN n.more THEN decode(n.last, 'hex') ELSE '' END,
		due = CASE WHEN n.more THEN s.due ELSE statement_timestamp() + $2::bigint * interval '1 microsecond' END, hurry = s.hurry AND n.more
	FROM n WHERE EXISTS (SELECT FROM c)
), f AS MATERIALIZED (
	SELECT k.key, h.n AS held, f.most IS NOT NULL AS waits, CASE WHEN f.ordered THEN 1 ELSE coalesce(s.most, f.most) END - h.n AS room
	FROM k
	CROSS JOIN LATERAL (SELECT (SELECT count(*) FROM {s}.taskctx_place p WHERE p.key = k.key AND p.held)::int
		+ (SELECT count(*) FROM {s}.taskctx_start t WHERE t.key = k.key AND t.until > statement_timestamp())::int AS n OFFSET 0) h
	LEFT JOIN LATERAL (` + firstWaiters("1") + `) f ON true
	LEFT JOIN LATERAL ({set}) s ON true
)
SELECT (SELECT more FROM n), EXISTS (SELECT FROM c WHERE hurry), ARRAY(
	SELECT DISTINCT p.job_id FROM k CROSS JOIN LATERAL (
		SELECT p.job_id, p.ordered FROM {s}.taskctx_place p WHERE p.key = k.key AND p.held OFFSET 0) p
	LEFT JOIN LATERAL (
		SELECT j.id, j.state::text AS state, {aside} AS aside, j.queue, j.kind
		FROM {s}.river_job j WHERE j.id = p.job_id OFFSET 0) j ON true
	WHERE j.id IS NULL OR j.state IN ('completed', 'cancelled', 'discarded') OR NOT p.ordered AND (
		j.state IN ('scheduled', 'retryable') OR j.state = 'pending' AND NOT j.aside OR j.state = 'available' AND (
			EXISTS (SELECT FROM {s}.river_queue q WHERE q.name = j.queue AND q.paused_at IS NOT NULL)
			OR EXISTS (SELECT FROM {s}.taskctx_pause n WHERE n.name = j.kind)))
	LIMIT 500
), ARRAY(SELECT key FROM f WHERE waits AND room > 0), ARRAY(SELECT key FROM f WHERE NOT waits AND held = 0
	AND (SELECT true FROM {s}.taskctx_place p WHERE p.key = f.key AND NOT p.held LIMIT 1) IS NULL)`

// hurrySweepSQL has all keys looked at now, since something was resumed.
const hurrySweepSQL = `UPDATE {s}.taskctx_scan SET after = '', due = '-infinity', hurry = true`

// forgetLimitKeysSQL forgets keys without places. They are locked. Places are asked for by
// key: as a join it would read them all.
const forgetLimitKeysSQL = `
DELETE FROM {s}.taskctx_limit_key k WHERE k.key = ANY($1::bytea[])
	AND (SELECT true FROM {s}.taskctx_place p WHERE p.key = k.key AND p.held LIMIT 1) IS NULL
	AND (SELECT true FROM {s}.taskctx_place p WHERE p.key = k.key AND NOT p.held LIMIT 1) IS NULL
	AND (SELECT true FROM {s}.taskctx_start t WHERE t.key = k.key AND t.until > statement_timestamp() LIMIT 1) IS NULL`
