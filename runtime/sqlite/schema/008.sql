-- taskctx tasks, from schema version 7 to 8: the history. A program that knows version
-- 1 can go on with the file.

-- How many tasks something happened to, in each minute, hour and day. A few rows are
-- added to once a minute by each process that counts.
CREATE TABLE @history (
  step  INTEGER NOT NULL,  -- in seconds
  at    INTEGER NOT NULL,  -- in seconds since 1970
  queue TEXT    NOT NULL,  -- '' for all queues
  kind  TEXT    NOT NULL,
  tasks INTEGER NOT NULL,
  PRIMARY KEY (step, at, queue, kind)
) WITHOUT ROWID;

INSERT OR REPLACE INTO taskctx_schema(version, readable_from) VALUES (8, 1);
