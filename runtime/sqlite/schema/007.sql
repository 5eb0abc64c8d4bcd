-- taskctx tasks, from schema version 6 to 7: rates. A program that knows version 1
-- can go on with the file: it parks tasks with rates.

-- The time of a rate, 0 of a limit. Its place is held until the task begins.
ALTER TABLE @places ADD COLUMN per INTEGER NOT NULL DEFAULT 0;

-- The runs that began under each key of a rate, counted by k, while they may count.
CREATE TABLE @starts (
  key TEXT    NOT NULL,
  k   INTEGER NOT NULL,
  at  INTEGER NOT NULL,
  PRIMARY KEY (key, k)
) WITHOUT ROWID;

-- The keys of rates. At wake the next task that waits for the key may begin.
CREATE TABLE @rates (
  key  TEXT PRIMARY KEY,
  rule TEXT    NOT NULL,
  per  INTEGER NOT NULL,
  wake INTEGER
) WITHOUT ROWID;

CREATE INDEX @rates_wake ON @rates(wake) WHERE wake IS NOT NULL;

INSERT OR REPLACE INTO taskctx_schema(version, readable_from) VALUES (7, 1);
