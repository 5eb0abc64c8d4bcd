package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/postgres"
)

// TestCounts_BesideDeadEntries: where many jobs have ended and no vacuum has removed
// their entries, Counts does not read these, and tells of the few that wait.
//
// Proves: RELIABILITY 31
func TestCounts_BesideDeadEntries(t *testing.T) {
	slow(t)
	ctx := t.Context()
	url := servertest.Postgres(t)
	cfg := postgres.Config{Schema: newSchema(t, url)}
	e := open(t, url, cfg)
	c, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer c.Close(context.Background())
	exec := func(sql string, args ...any) {
		t.Helper()
		_, err := c.Exec(ctx, sql, args...)
		require.NoError(t, err, sql)
	}
	exec("SET search_path = " + cfg.Schema)
	exec("ALTER TABLE river_job SET (autovacuum_enabled = false)")
	exec("DROP INDEX river_job_args_index, river_job_metadata_index, river_job_kind") // they are slow to fill, and serve others
	snapshot, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer snapshot.Close(context.Background())
	_, err = snapshot.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM "+cfg.Schema+".river_job")
	require.NoError(t, err)

	const ended, calls = 250_000, 3
	put := func(queue string, n int, due time.Duration) {
		t.Helper()
		exec(`INSERT INTO river_job (kind, args, max_attempts, metadata, queue, state, scheduled_at)
			SELECT 'scale.t', '{}', 4, '{"taskctx": {"v": 1}}', $1, 'available', now() + $3 * interval '1 second'
			FROM generate_series(1, $2::int)`, queue, n, due.Seconds())
	}
	put("busy", ended, -time.Hour)
	exec(`UPDATE river_job SET state = 'completed', finalized_at = now()`)
	put("slow", 700, -time.Minute)
	put("busy", 5, 0)

	read := func() (n int) {
		require.NoError(t, c.QueryRow(ctx, `SELECT coalesce(sum(idx_tup_read), 0) FROM pg_stat_user_indexes
			WHERE relid = 'river_job'::regclass`).Scan(&n))
		return n
	}
	before := read()
	for range calls {
		counts, err := e.Counts(ctx)
		require.NoError(t, err)
		got := make(map[string]engine.Count)
		for _, c := range counts {
			got[c.Queue+" "+string(c.State)] = c
		}
		assert.InDelta(t, ended, got["busy succeeded"].Tasks, ended/2)
		assert.True(t, got["busy succeeded"].Estimated)
		assert.EqualValues(t, 700, got["slow pending"].Tasks)
		assert.WithinDuration(t, time.Now().Add(-time.Minute), got["slow pending"].Oldest, time.Minute)
		assert.EqualValues(t, 5, got["busy pending"].Tasks)
	}
	require.NoError(t, e.Close()) // its connections tell what they have read
	require.Eventually(t, func() bool { return read() > before }, time.Minute, 10*time.Millisecond)
	assert.Less(t, (read()-before)/calls, ended, "index entries read by a call")
}
