-- taskctx tasks, from schema version 4 to 5: what dashboards show of workers. A
-- program that knows version 1 can go on with the file.

ALTER TABLE @workers ADD COLUMN slots INTEGER NOT NULL DEFAULT 0;         -- 0: not known
ALTER TABLE @workers ADD COLUMN queues TEXT NOT NULL DEFAULT '[]';        -- JSON: what it serves
ALTER TABLE @workers ADD COLUMN seen_at INTEGER NOT NULL DEFAULT 4611686018427387904; -- of its last beat

INSERT OR REPLACE INTO taskctx_schema(version, readable_from) VALUES (5, 1);
