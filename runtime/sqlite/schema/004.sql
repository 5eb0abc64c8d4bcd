-- taskctx tasks, from schema version 3 to 4: journals. A program that knows
-- version 1 can go on with the file: it leaves tasks in state 11 alone.

-- tasks.state 11: suspended, until what its journal waits for has come, or its
-- due time.
CREATE INDEX @waiting ON @tasks(due) WHERE state = 11;

-- The journals of tasks that remember something, or have waited.
CREATE TABLE @journals (
  task   INTEGER PRIMARY KEY,         -- tasks.seq
  came   INTEGER NOT NULL DEFAULT 0,  -- the greatest entries.came
  failed INTEGER NOT NULL DEFAULT 0,  -- children that ended, and did not succeed
  others INTEGER NOT NULL DEFAULT 0,  -- entries that are no children
  bytes  INTEGER NOT NULL DEFAULT 0,  -- of names, values, results and reasons
  -- While the task waits: when it was due before, which is NULL if it does not
  -- wait, and for what it waits.
  due       INTEGER,
  seen      INTEGER NOT NULL DEFAULT 0,
  need      INTEGER NOT NULL DEFAULT 0,
  fail_fast INTEGER,                  -- the failed ones that it knows; NULL: they do not matter
  name      TEXT,                     -- the only entry that counts
  -- The task has failed (9) or was cancelled (10), and its children are to be
  -- cancelled, those after the entry bereft_at.
  bereft    INTEGER,
  bereft_at INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX @sleeping ON @journals(task) WHERE due IS NOT NULL;

CREATE INDEX @bereft ON @journals(task) WHERE bereft IS NOT NULL;

CREATE TABLE @entries (
  seq     INTEGER PRIMARY KEY,        -- in the order of recording
  task    INTEGER NOT NULL,           -- tasks.seq
  kind    TEXT    NOT NULL,           -- s step, c child, g signal, t rest
  name    TEXT    NOT NULL,
  key     TEXT,                       -- of a signal that counts once
  attempt INTEGER NOT NULL DEFAULT 0,
  value   TEXT,
  child   BLOB,
  orphan  INTEGER NOT NULL DEFAULT 0, -- the child goes on when its parent has ended
  came    INTEGER NOT NULL DEFAULT 0,
  state   TEXT,                       -- in which the child ended
  result  TEXT,
  reason  TEXT
);

CREATE INDEX @entries_of ON @entries(task);
CREATE UNIQUE INDEX @entry_names ON @entries(task, name) WHERE kind <> 'g';
CREATE INDEX @signal_names ON @entries(task, name) WHERE kind = 'g';

CREATE TRIGGER @forget_journal AFTER DELETE ON @tasks
WHEN EXISTS (SELECT 1 FROM @journals WHERE task = old.seq) BEGIN
  DELETE FROM @journals WHERE task = old.seq;
  DELETE FROM @entries WHERE task = old.seq;
END;

DROP VIEW @task;

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
    WHEN t.state = 11 THEN 'waiting'
    ELSE 'retrying'
  END AS state,
  t.attempt,
  t.retries,
  t.priority,
  t.args,
  CASE WHEN typeof(t.extra) = 'text' AND json_valid(t.extra) THEN json_extract(t.extra, '$.tags') END AS tags,
  t.result,
  t.reason,
  strftime('%Y-%m-%dT%H:%M:%fZ', nullif(t.enqueued_at, 4611686018427387904) / 1e9, 'unixepoch') AS enqueued_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', nullif(t.due, 4611686018427387904) / 1e9, 'unixepoch') AS due,
  strftime('%Y-%m-%dT%H:%M:%fZ', nullif(t.started_at, 4611686018427387904) / 1e9, 'unixepoch') AS started_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', nullif(t.ended_at, 4611686018427387904) / 1e9, 'unixepoch') AS ended_at,
  (SELECT w.name FROM @workers w WHERE w.id = t.lease >> 36) AS worker,
  t.memo
FROM @tasks t;

INSERT OR REPLACE INTO taskctx_schema(version, readable_from) VALUES (4, 1);
