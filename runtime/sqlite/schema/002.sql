-- taskctx tasks, from schema version 1 to 2. A program that knows version 1
-- can go on with the file.

-- How long the record of a failed or cancelled task stays after its end. 0 in a
-- task that waits or runs: as the engine that ends it is configured. 0 in one
-- that has ended: as long as keep says.
ALTER TABLE @tasks ADD COLUMN keep_failed INTEGER NOT NULL DEFAULT 0;

-- Who holds a key for how long: 0 until its time, unless the task fails, is
-- cancelled or deleted; 1 until the task ends; 2 until it first runs; 3 until its
-- time, whatever becomes of the task. Of 1 and 2, until is never.
ALTER TABLE @keys ADD COLUMN hold INTEGER NOT NULL DEFAULT 0;

-- What has ended badly, to be counted. It costs those that succeed nothing.
CREATE INDEX @bad ON @tasks(queue, state) WHERE state IN (9, 10);

-- The view shows rows of any shape.
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
  strftime('%Y-%m-%dT%H:%M:%fZ', t.due / 1e9, 'unixepoch') AS due,
  strftime('%Y-%m-%dT%H:%M:%fZ', nullif(t.started_at, 4611686018427387904) / 1e9, 'unixepoch') AS started_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', nullif(t.ended_at, 4611686018427387904) / 1e9, 'unixepoch') AS ended_at,
  (SELECT w.name FROM @workers w WHERE w.id = t.lease >> 36) AS worker,
  t.memo
FROM @tasks t;

INSERT OR REPLACE INTO taskctx_schema(version, readable_from) VALUES (2, 1);
