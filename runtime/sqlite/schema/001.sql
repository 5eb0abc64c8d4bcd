-- taskctx tasks, schema version 1.
--
-- Times are nanoseconds since 1970 in UTC, and 4611686018427387904 is never.
-- For reading, use the view "task", with any sqlite3 from 3.32 on. Columns that a run changes have values of
-- the same width before and after, so that a row stays where it is.

CREATE TABLE @tasks (
  seq         INTEGER PRIMARY KEY,  -- in the order of enqueueing
  -- 2 pending, 3 retrying and due again, 4 running, 5 parked (no worker that
  -- saw it knows its name), 6 scheduled, 7 retrying later, 8 succeeded,
  -- 9 failed, 10 cancelled
  state       INTEGER NOT NULL DEFAULT 2,
  attempt     INTEGER NOT NULL DEFAULT 0,
  -- Who runs it or ran it last: workers.id << 36, plus the number of the claim.
  -- No two claims ever have the same lease, and only its holder may write an
  -- outcome.
  lease       INTEGER NOT NULL DEFAULT 4611686018427387904,
  priority    INTEGER NOT NULL DEFAULT 0,
  due         INTEGER NOT NULL DEFAULT (CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000000),
  started_at  INTEGER NOT NULL DEFAULT 4611686018427387904,
  ended_at    INTEGER NOT NULL DEFAULT 4611686018427387904,
  keep        INTEGER NOT NULL DEFAULT 3600000000000, -- how long after the end
  id          BLOB    NOT NULL UNIQUE DEFAULT (randomblob(16)),
  name        TEXT    NOT NULL,
  queue       TEXT    NOT NULL DEFAULT 'default',
  args        TEXT,                 -- one JSON object
  v           INTEGER NOT NULL DEFAULT 0, -- 0: enqueued by hand, with a name and args only
  sig         TEXT,
  retries     INTEGER NOT NULL DEFAULT 0,
  enqueued_at INTEGER NOT NULL DEFAULT 4611686018427387904,
  parent      BLOB,
  root        BLOB,
  extra       TEXT,                 -- JSON: what few tasks have, such as tags
  result      TEXT,                 -- JSON
  reason      TEXT,                 -- of the latest run, or of waiting
  memo        TEXT                  -- JSON: what the app keeps with the task
);

CREATE INDEX @ready   ON @tasks(queue, priority DESC, due)       WHERE state <= 3;
CREATE INDEX @running ON @tasks(lease)                           WHERE state = 4;
CREATE INDEX @parked  ON @tasks(queue, name, priority DESC, due) WHERE state = 5;
CREATE INDEX @later   ON @tasks(due)                             WHERE state IN (6, 7);

-- Running tasks that were asked to stop.
CREATE TABLE @stops (
  seq    INTEGER PRIMARY KEY,
  reason TEXT NOT NULL
);

-- Unique keys that are held, until their time.
CREATE TABLE @keys (
  key   TEXT PRIMARY KEY,
  task  BLOB NOT NULL,
  until INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX @keys_until ON @keys(until);

-- Ended tasks by the time until which they are kept: a row for all that ended
-- in one transaction.
CREATE TABLE @purges (
  at    INTEGER NOT NULL,
  n     INTEGER NOT NULL, -- tells rows of one time apart
  tasks TEXT    NOT NULL, -- JSON: an array of tasks.seq
  PRIMARY KEY (at, n)
) WITHOUT ROWID;

-- Workers. A live one changes beat every fifth of its lease; one whose beat
-- another worker sees unchanged for the length of the lease is lost.
CREATE TABLE @workers (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  name       TEXT    NOT NULL,
  host       TEXT    NOT NULL,
  pid        INTEGER NOT NULL,
  names      TEXT    NOT NULL, -- JSON: the task names that it can run
  lease      INTEGER NOT NULL, -- nanoseconds
  beat       INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at   INTEGER NOT NULL DEFAULT 4611686018427387904
);

CREATE INDEX @workers_live ON @workers(id) WHERE ended_at = 4611686018427387904;

INSERT INTO sqlite_sequence(name, seq) VALUES ('@workers', 16384);

CREATE VIEW @task AS
SELECT
  t.seq,
  lower(substr(hex(t.id), 1, 8) || '-' || substr(hex(t.id), 9, 4) || '-' || substr(hex(t.id), 13, 4) || '-' ||
        substr(hex(t.id), 17, 4) || '-' || substr(hex(t.id), 21)) AS id,
  t.name,
  t.queue,
  CASE
    WHEN t.state = 2 THEN 'pending'
    WHEN t.state = 4 THEN 'running'
    WHEN t.state = 5 THEN iif(t.attempt = 0, 'pending', 'retrying')
    WHEN t.state = 6 THEN iif(t.due <= (julianday('now') - 2440587.5) * 86400e9, 'pending', 'scheduled')
    WHEN t.state = 8 THEN 'succeeded'
    WHEN t.state = 9 THEN 'failed'
    WHEN t.state = 10 THEN 'cancelled'
    ELSE 'retrying'
  END AS state,
  t.attempt,
  t.retries,
  t.priority,
  t.args,
  json_extract(t.extra, '$.tags') AS tags,
  t.result,
  t.reason,
  strftime('%Y-%m-%dT%H:%M:%fZ', nullif(t.enqueued_at, 4611686018427387904) / 1e9, 'unixepoch') AS enqueued_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', t.due / 1e9, 'unixepoch') AS due,
  strftime('%Y-%m-%dT%H:%M:%fZ', nullif(t.started_at, 4611686018427387904) / 1e9, 'unixepoch') AS started_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', nullif(t.ended_at, 4611686018427387904) / 1e9, 'unixepoch') AS ended_at,
  (SELECT w.name FROM @workers w WHERE w.id = t.lease >> 36) AS worker,
  t.memo
FROM @tasks t;
