-- taskctx tasks, from schema version 5 to 6: limits. A program that knows version 1
-- can go on with the file: it leaves tasks in the states 12 and 13 alone.

-- tasks.state 12: pending, and put aside until a limit has a place for it; 13: the
-- same of one that is retried.
CREATE INDEX @limited ON @tasks(queue) WHERE state IN (12, 13);

-- The places that tasks hold under limits, and the tasks that wait for one. A place
-- counts only while its task has not ended.
CREATE TABLE @places (
  task     INTEGER NOT NULL,           -- tasks.seq
  n        INTEGER NOT NULL,           -- which of the task's limits
  key      TEXT    NOT NULL,
  rule     TEXT    NOT NULL,
  most     INTEGER NOT NULL,
  ordered  INTEGER NOT NULL,           -- the place is kept until the task has ended
  held     INTEGER NOT NULL,           -- 0: the task waits for it, in the order of
  priority INTEGER NOT NULL,
  due      INTEGER NOT NULL,
  turn     INTEGER NOT NULL,
  PRIMARY KEY (task, n)
) WITHOUT ROWID;

CREATE INDEX @places_held ON @places(key) WHERE held = 1;
CREATE INDEX @places_wait ON @places(key, priority DESC, due, turn) WHERE held = 0;

-- What was set for the limits of a rule, in the place of places.most.
CREATE TABLE @limits (
  rule TEXT PRIMARY KEY,
  most INTEGER NOT NULL
) WITHOUT ROWID;

DROP VIEW @task;

CREATE VIEW @task AS
SELECT
  t.seq,
  lower(substr(hex(t.id), 1, 8) || '-' || substr(hex(t.id), 9, 4) || '-' || substr(hex(t.id), 13, 4) || '-' ||
        substr(hex(t.id), 17, 4) || '-' || substr(hex(t.id), 21)) AS id,
  t.name,
  t.queue,
  CASE
    WHEN t.state IN (2, 12) THEN 'pending'
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

INSERT OR REPLACE INTO taskctx_schema(version, readable_from) VALUES (6, 1);
