-- taskctx tasks, from schema version 8 to 9: what is counted, by indexes alone. A
-- program that knows version 1 can go on with the file.

-- Tasks that are retried, among those that are ready or parked.
CREATE INDEX @again ON @tasks(queue, state) WHERE state = 3 OR state = 5 AND attempt > 0;

-- Tasks that wait for a time, a limit or their journal.
DROP INDEX @limited;
CREATE INDEX @delayed ON @tasks(queue, state, due) WHERE state IN (6, 7, 11, 12, 13);

-- What has ended badly, with the time until which it is kept.
DROP INDEX @bad;
CREATE INDEX @badly ON @tasks(queue, state, ended_at + CASE WHEN keep_failed <= 0 THEN keep ELSE keep_failed END)
  WHERE state IN (9, 10);

INSERT OR REPLACE INTO taskctx_schema(version, readable_from) VALUES (9, 1);
