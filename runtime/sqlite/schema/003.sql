-- taskctx tasks, from schema version 2 to 3: pauses. A program that knows version
-- 1 can go on with the file, and runs what is paused.

-- Queues that are paused, and names of tasks; the other of the two is empty.
CREATE TABLE @pauses (
  queue TEXT    NOT NULL,
  name  TEXT    NOT NULL,
  since INTEGER NOT NULL,
  PRIMARY KEY (queue, name)
) WITHOUT ROWID;

INSERT OR REPLACE INTO taskctx_schema(version, readable_from) VALUES (3, 1);
