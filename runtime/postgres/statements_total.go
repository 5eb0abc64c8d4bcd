package postgres

// Values that other programs wrote count as missing unless they have the right
// type and range: a statement that failed on one job would hold up the others.
// Only the bad job may suffer from its fault.

const (
	anyMetadata = `CASE WHEN jsonb_typeof(j.metadata) = 'object' THEN j.metadata ELSE '{}' END`
	anyEnvelope = `CASE WHEN jsonb_typeof(j.metadata -> 'taskctx') = 'object' THEN j.metadata -> 'taskctx' ELSE '{}' END`
	anyEnded    = `CASE WHEN jsonb_typeof(j.metadata -> 'taskctx' -> 'ended') = 'number'
		THEN greatest(least((j.metadata -> 'taskctx' ->> 'ended')::numeric, 30000), 0)::int ELSE 0 END`
	anyParked = `CASE WHEN ` + hasParked + `
		THEN to_timestamp(greatest(least((j.metadata -> 'taskctx' ->> 'parked')::numeric, 1e17), 0)::float8 / 1000000) END`
	// parentOf is the job of the parent in whose journal a child's end is recorded, and
	// entryOf the name of the entry: of envelope.Kin, or as versions before wrote them.
	parentOf = `CASE WHEN jsonb_typeof(j.metadata #> '{taskctx,kin}') = 'string'
		THEN substring(j.metadata #>> '{taskctx,kin}' FROM '^([0-9]{1,18}) ')::bigint
		WHEN jsonb_typeof(j.metadata #> '{taskctx,of}') = 'number'
		THEN greatest(least((j.metadata #>> '{taskctx,of}')::numeric, 1e18), 0)::bigint END`
	entryOf = `CASE WHEN jsonb_typeof(j.metadata #> '{taskctx,kin}') = 'string'
		THEN substr(j.metadata #>> '{taskctx,kin}', strpos(j.metadata #>> '{taskctx,kin}', ' ') + 1)
		ELSE j.metadata #>> '{taskctx,entry}' END`
	// hasParked holds for a job that was put aside, or has the mark of one.
	hasParked = `coalesce(jsonb_typeof(j.metadata -> 'taskctx' -> 'parked') = 'number', false)`
	// anyErrors are the errors that can be appended to.
	anyErrors = `CASE WHEN coalesce(array_ndims(j.errors), 1) = 1 THEN j.errors[:] END`
	// anyWorkers are the workers that had the job, the last 19 at most, in a
	// form that can be appended to.
	anyWorkers = `CASE WHEN coalesce(array_ndims(j.attempted_by), 1) = 1
		THEN (j.attempted_by[:])[array_length(j.attempted_by, 1) - 18:] END`
	// oursOrNone holds unless the last worker that had the job is one of River's.
	oursOrNone = `coalesce(` + lastWorker + ` LIKE '` + ownerPrefix + `%', true)`
	lastWorker = `j.attempted_by[array_upper(j.attempted_by, 1)]`
)

// briefMetadata is the metadata without results, memos and texts of those.
const briefMetadata = `CASE WHEN jsonb_typeof(j.metadata) <> 'object' THEN j.metadata
	WHEN jsonb_typeof(j.metadata -> 'taskctx') <> 'object' THEN j.metadata - 'output'
	ELSE (j.metadata - 'output') || jsonb_build_object('taskctx',
		(j.metadata -> 'taskctx') - ARRAY['args', 'result', 'memo', 'memo_text']) END`

// within is a time that Go and JSON can hold: from the year 1 to 9999.
func within(column string) string {
	return `CASE WHEN ` + column + ` IS NOT NULL THEN
		least(greatest(` + column + `, '0001-01-01 00:00:00+00'), '9999-12-31 00:00:00+00') END`
}

// lifetime is how many seconds a record is kept, by a key of the envelope; 0
// if it has none.
func lifetime(key string) string {
	return `(CASE WHEN jsonb_typeof(metadata -> 'taskctx' -> '` + key + `') = 'number' THEN
		greatest(least((metadata -> 'taskctx' ->> '` + key + `')::numeric, 1e19), 0)::float8 / 1e9 ELSE 0 END)`
}

// heldFor is for how many seconds from its making a job holds its key although
// it has succeeded.
var heldFor = `(CASE WHEN metadata -> 'taskctx' ? 'key' AND NOT metadata -> 'taskctx' ? 'key_hold' THEN ` +
	lifetime("key_for") + ` ELSE 0 END)`

// Records without a time are treated as if they were kept from another time:
// those that succeeded, and the others.
const (
	keepUnsaid       = 1e12
	keepFailedUnsaid = 2e12
)

// epoch is a time in seconds since 1970.
func epoch(column string) string {
	return `date_part('epoch', ` + column + ` - '1970-01-01 00:00:00+00'::timestamptz)`
}

// expiry is when a record of ours expires, in seconds since 1970, null for
// others. It is the expression of an index: a change needs a migration.
var expiry = `CASE
	WHEN NOT isfinite(finalized_at) OR NOT isfinite(created_at) THEN NULL
	WHEN NOT (metadata ? 'taskctx' OR coalesce(attempted_by[array_upper(attempted_by, 1)] LIKE '` + ownerPrefix + `%', false)) THEN NULL
	WHEN state = 'completed' THEN CASE WHEN ` + lifetime("keep") + ` > 0
		THEN greatest(` + epoch("finalized_at") + ` + ` + lifetime("keep") + `, ` + epoch("created_at") + ` + ` + heldFor + `)
		ELSE ` + epoch("finalized_at") + ` + 1e12::float8 END
	WHEN ` + lifetime("keep_failed") + ` > 0 THEN ` + epoch("finalized_at") + ` + ` + lifetime("keep_failed") + `
	ELSE ` + epoch("finalized_at") + ` + 2e12::float8 END`
