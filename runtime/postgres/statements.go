package postgres

import "strings"

// statements are the engine's SQL, for its schema. They treat River's tables
// as River's own clients do: the same states, the same order of fetching, the
// same notifications.
type statements struct {
	insertChannel, controlChannel, dueChannel string

	readMark, nextNumbers, insert, stored              string
	addKeys, lockKeys, takeKeys                        string
	claim, claimAfter, claimFound                      lotSQL
	succeed, conclude, saveMemo, note                  string
	end, endWith                                       string
	leave, beat, others, workers, mine, mineOf         string
	takeOver, takeOverOf, runningOf, wasLost           string
	takeOverStopped, expireOf                          string
	promote, promoteUnique, park, unpark, expire       lotSQL
	clean                                              lotSQL
	cleanKeys, queues, paused                          string
	get, lockJob, cancel, retry, runNow, remove, ended string
	list, listBrief, window                            string
	windowNewest, alive, oldest, oldestAside           string
	countBegin, cost, sample, tail, nextQueue          string
	groups, groupsTo, marks, marksTo                   string
	reads, below, running, holders                     string

	insertLimited, replace, tell string

	journal journalStatements
	limit   limitStatements
}

// journalStatements are those about journals.
type journalStatements struct {
	makeHeads, lockHeads, suspend, arrive, arriveHere, arriveGone, parents, markBereft string
	read, ownRun, named, add, addFirst, count, addOne, signal                          string
	due, wake, unseen, heads, forget, endedFamily, missed                              string
	bereft, isBereft, bereftChildren, bereftAt, forgetFailed, redo, recount, stopped   string
}

// lotSQL is a statement for the first of the rows that it finds, some at a
// time.
type lotSQL struct {
	// all is the statement. Its first parameters are those of first.
	all string
	// first finds the ids of the rows, without locking them.
	first string
}

// forSome makes the statement for the rows that pick finds. In text, {pick}
// stands for pick; in pick, {lock} stands for the lock on its rows, and {row}
// for its result.
func forSome(text, pick string) lotSQL {
	locked := strings.NewReplacer("{lock}", "FOR UPDATE SKIP LOCKED", "{row}", "ctid").Replace(pick)
	return lotSQL{
		all:   strings.ReplaceAll(text, "{pick}", locked),
		first: "SELECT id FROM (" + strings.NewReplacer("{lock}", "", "{row}", "id").Replace(pick) + ") p",
	}
}

// schemaReplacer puts the schema into statements, and the conditions that several have.
// {s} is the schema as an identifier, {seq} the sequence of River's jobs.
func schemaReplacer(schema string) *strings.Replacer {
	own := quoted(schema)
	read := strings.ReplaceAll(readOf, "{s}", own)
	return strings.NewReplacer(
		"{set}", strings.ReplaceAll(setOf, "{s}", own), "{s}", own, "{seq}", own+".river_job_id_seq",
		"{columns}", withPaused(jobColumns, schema),
		"{briefcolumns}", withPaused(jobColumnsOf("NULL::jsonb", briefMetadata), schema),
		"{again}", isAgain, "{later}", isLater, "{waits}", isWaits, "{aside}", isAside, "{asked}", asked,
		"{durable}", strings.ReplaceAll(isDurable, "{s}", own),
		"{marked}", isMarked, "{own}", ownsJob, "{mine}", runningOfUs, "{stopped}", stopAsked,
		"{metadata}", anyMetadata, "{envelope}", anyEnvelope, "{ended}", anyEnded, "{parked}", anyParked,
		"{of}", "("+parentOf+")", "{entry}", entryOf,
		"{isparked}", hasParked, "{errors}", anyErrors, "{workers}", anyWorkers, "{lastworker}", lastWorker,
		"{ours}", oursOrNone,
		"{created}", within("j.created_at"), "{scheduled}", within("j.scheduled_at"),
		"{cost}", strings.ReplaceAll(readCost, "{read}", read), "{spent}", strings.ReplaceAll(spentCost, "{read}", read),
		"{free}", strings.ReplaceAll(freeKey, "{s}", own), "{expiry}", "("+expiry+")",
		"{now}", epoch("now()"), "{made}", "CASE WHEN isfinite(created_at) THEN "+epoch("created_at")+" ELSE 0 END",
		"{heldfor}", heldFor)
}

// newStatements returns the statements on a schema.
func newStatements(schema string) statements {
	s := statements{
		// River's channels are prefixed with the schema.
		insertChannel: schema + ".river_insert", controlChannel: schema + ".river_control",
		dueChannel: schema + ".taskctx_due",

		tell: tellSQL, readMark: readMarkSQL, nextNumbers: nextNumbersSQL,
		insert: insertSQL, insertLimited: insertLimited(insertSQL), stored: storedSQL, replace: replaceSQL,
		addKeys: addKeysSQL, lockKeys: lockKeysSQL, takeKeys: takeKeysSQL,
		claim: forSome(claimSQL("$5"), claimPick), claimAfter: forSome(claimSQL("$8"), claimAfterPick),
		claimFound: forSome(claimSQL("$6"), claimFoundPick),
		end:        endSQL, endWith: endWithSQL,
		succeed: succeedSQL, conclude: concludeSQL, saveMemo: saveMemoSQL, note: noteSQL,
		leave: leaveSQL, beat: beatSQL, others: othersSQL, workers: workersSQL, mine: mineSQL, mineOf: mineOfSQL,
		takeOver:        takeOverWhere("j.state = 'running' AND " + notStopped),
		takeOverOf:      takeOverWhere("j.id = ANY($5::bigint[]) AND j.state::text = 'running' AND " + notStopped),
		takeOverStopped: takeOverWhere("j.id = ANY($5::bigint[]) AND j.state::text = 'running'"),
		expireOf:        forSome(expireSQL, strings.Replace(expirePick, "j.id <> ALL(", "j.id = ANY(", 1)).all,
		runningOf:       runningOfSQL, wasLost: wasLostSQL,
		promote: forSome(promoteSQL, promotePick), promoteUnique: forSome(promoteUniqueSQL, promoteUniquePick),
		park: forSome(parkSQL, parkPick), unpark: forSome(unparkSQL, unparkPick), expire: forSome(expireSQL, expirePick),
		clean: forSome(cleanSQL, cleanPick), cleanKeys: cleanKeysSQL,
		queues: queuesSQL, paused: pausedSQL,
		get: getSQL, lockJob: lockJobSQL, cancel: cancelSQL, retry: retrySQL, runNow: runNowSQL, remove: removeSQL, ended: endedSQL,
		list: listSQL, listBrief: listBriefSQL, window: windowSQL,
		windowNewest: windowNewestSQL, alive: aliveSQL, oldest: oldestSQL, oldestAside: oldestAsideSQL,
		countBegin: countBeginSQL, cost: costSQL, sample: sampleSQL, tail: tailSQL, nextQueue: nextQueueSQL,
		reads: readsSQL, below: belowSQL, running: runningSQL, holders: holdersSQL,
		journal: journalStatements{
			makeHeads: makeHeadsSQL, lockHeads: lockHeadsSQL, suspend: suspendSQL,
			arrive:     strings.Replace(arriveSQL, "{which}", endedOf, 1),
			arriveHere: strings.Replace(arriveSQL, "{which}", endedHereOf, 1),
			arriveGone: strings.Replace(arriveSQL, "{which}", goneOf, 1),
			parents:    parentsSQL, markBereft: markBereftSQL,
			read: journalSQL, ownRun: ownRunSQL, named: namedEntriesSQL, addOne: addOneSQL, signal: signalSQL,
			add:      strings.Replace(addEntriesSQL, "{new}", "", 1),
			addFirst: strings.Replace(addFirstSQL, "{new}", "ON CONFLICT DO NOTHING", 1), count: countEntriesSQL,
			due: dueWaitsSQL, wake: wakeSQL, unseen: unseenEndsSQL, heads: headsSQL, forget: forgetJournalsSQL, endedFamily: endedFamilySQL,
			missed: missedSQL,
			bereft: bereftSQL, isBereft: isBereftSQL, bereftChildren: bereftChildrenSQL, bereftAt: bereftAtSQL,
			forgetFailed: forgetFailedSQL, redo: redoEntriesSQL, recount: recountSQL, stopped: stoppedOfSQL,
		},
	}
	s.groups, s.groupsTo = countParts(groupsSQL)
	s.marks, s.marksTo = countParts(marksSQL)
	s.limit = newLimitStatements()
	r := schemaReplacer(schema)
	for _, text := range append(s.limit.texts(), s.texts()...) {
		*text = r.Replace(*text)
	}
	for _, l := range []*lotSQL{
		&s.claim, &s.claimAfter, &s.claimFound, &s.promote, &s.promoteUnique, &s.park, &s.unpark, &s.expire,
		&s.clean,
	} {
		l.all, l.first = r.Replace(l.all), r.Replace(l.first)
	}
	return s
}

// takeOverWhere makes of takeOverSQL the statement for the jobs of a condition.
func takeOverWhere(which string) string { return strings.ReplaceAll(takeOverSQL, "{which}", which) }

// texts are the statements that are no lots, but for those of limits.
func (s *statements) texts() []*string {
	j := &s.journal
	return []*string{
		&s.readMark, &s.nextNumbers, &s.insert, &s.insertLimited, &s.stored, &s.replace,
		&s.addKeys, &s.lockKeys, &s.takeKeys,
		&s.succeed, &s.conclude, &s.end, &s.endWith, &s.saveMemo, &s.note,
		&s.leave, &s.beat, &s.others, &s.workers, &s.mine, &s.mineOf, &s.takeOver, &s.takeOverOf, &s.runningOf, &s.wasLost,
		&s.takeOverStopped, &s.expireOf,
		&s.cleanKeys, &s.queues, &s.paused,
		&s.get, &s.lockJob, &s.cancel, &s.retry, &s.runNow, &s.remove, &s.ended,
		&s.list, &s.listBrief, &s.window, &s.countBegin, &s.cost, &s.sample, &s.tail, &s.nextQueue,
		&s.groups, &s.groupsTo, &s.marks, &s.marksTo,
		&s.windowNewest, &s.alive, &s.oldest, &s.oldestAside,
		&s.reads, &s.below, &s.running, &s.holders,
		&j.makeHeads, &j.lockHeads, &j.suspend, &j.arrive, &j.arriveHere, &j.arriveGone, &j.parents, &j.markBereft,
		&j.read, &j.ownRun, &j.named, &j.add, &j.addFirst, &j.count, &j.addOne, &j.signal,
		&j.due, &j.wake, &j.unseen, &j.heads, &j.forget, &j.endedFamily, &j.missed,
		&j.bereft, &j.isBereft, &j.bereftChildren, &j.bereftAt, &j.forgetFailed, &j.redo, &j.recount, &j.stopped,
	}
}

// Bytes are read as text, which no setting of a session changes.
const readMarkSQL = `SELECT encode(mark, 'hex') FROM {s}.taskctx_schema`

const nextNumbersSQL = `SELECT nextval('{seq}'::regclass) FROM generate_series(1, $1::bigint)`

// tellSQL notifies the workers of queues.
const tellSQL = `SELECT pg_notify($1::text, json_build_object('queue', q)::text) FROM unnest($2::text[]) q`

// storedSQL finds out whether the jobs with these numbers are the ones to
// insert.
const storedSQL = `
SELECT count(*) FROM {s}.river_job j
JOIN unnest($1::bigint[], $2::text[], $3::timestamptz[]) AS r(id, kind, at) ON j.id = r.id AND j.kind = r.kind
WHERE r.at IS NULL OR j.created_at = r.at`

// insertSQL inserts jobs. A task due later is scheduled, by the server's
// clock. It notifies the workers of each queue with new tasks as River does,
// and ours if something is due before they look next.
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

// keyUntil is when to look whether a key is free. A key whose job's end
// decides that has such a time too.
const keyUntil = `now() + CASE WHEN r.hold IN (1, 2) THEN interval '1 day' ELSE r.held * interval '1 microsecond' END`

const addKeysSQL = `
INSERT INTO {s}.taskctx_key AS k (key, job_id, until, hold)
SELECT r.key, r.job, ` + keyUntil + `, r.hold
FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::smallint[]) WITH ORDINALITY AS r(key, job, held, hold, n)
ORDER BY r.n
ON CONFLICT (key) DO NOTHING RETURNING encode(key, 'hex'), job_id`

const lockKeysSQL = `SELECT encode(key, 'hex'), job_id FROM {s}.taskctx_key WHERE key = ANY($1::bytea[]) ORDER BY key FOR UPDATE`

const takeKeysSQL = `
UPDATE {s}.taskctx_key k SET job_id = r.job, until = ` + keyUntil + `, hold = r.hold
FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::smallint[]) AS r(key, job, held, hold)
WHERE k.key = r.key AND k.job_id <> r.job AND {free}
RETURNING encode(k.key, 'hex'), k.job_id`

// freeKey holds when nobody holds the key k any more, as engine.KeyHold.Free.
const freeKey = `CASE WHEN k.hold = 3 THEN k.until <= now() ELSE coalesce((
	SELECT CASE k.hold
		WHEN 1 THEN j.state IN ('completed', 'cancelled', 'discarded')
		WHEN 2 THEN j.state IN ('completed', 'cancelled', 'discarded') OR j.attempted_at IS NOT NULL
		ELSE j.state IN ('cancelled', 'discarded') OR k.until <= now() END
	FROM {s}.river_job j WHERE j.id = k.job_id), true) END`
