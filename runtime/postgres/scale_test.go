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

// fill stores waiting and ended jobs, over ten queues and five names.
func fill(t *testing.T, c *pgx.Conn, schema string, n int) {
	t.Helper()
	_, err := c.Exec(t.Context(), `INSERT INTO `+schema+`.river_job
		(kind, args, max_attempts, metadata, queue, scheduled_at, state, finalized_at)
		SELECT 'scale.t' || i / 3 % 5, '{}', 4, '{"taskctx": {"v": 1, "keep": 3600000000000}}', 'q' || i % 10, now() + CASE
			WHEN i % 7 < 4 THEN interval '1 hour' ELSE '0' END,
			(CASE WHEN i % 50 = 3 THEN 'discarded' WHEN i % 7 < 4 THEN 'scheduled' WHEN i % 7 = 4 THEN 'completed'
				ELSE 'available' END)::`+schema+`.river_job_state,
			CASE WHEN i % 50 = 3 OR i % 7 = 4 THEN now() END
		FROM generate_series(1, $1::int) i`, n)
	require.NoError(t, err)
}

// TestList_ReadsABoundedNumberOfRows: a page of any filter reads as many rows of a
// large table as of a small one, and so does a count of a sample.
//
// Proves: RELIABILITY 31
func TestList_ReadsABoundedNumberOfRows(t *testing.T) {
	slow(t)
	ctx := t.Context()
	url := servertest.Postgres(t)
	cfg := postgres.Config{Schema: newSchema(t, url)}
	require.NoError(t, open(t, url, cfg).Close())
	c, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer c.Close(context.Background())
	const jobs, most = 60_000, 20_000
	fill(t, c, cfg.Schema, jobs)
	read := func() (n int) {
		require.NoError(t, c.QueryRow(ctx, `
			SELECT (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relid = $1::regclass)
				+ (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relid = $1::regclass)`, cfg.Schema+".river_job").Scan(&n))
		return n
	}
	queries := []engine.Query{
		{},
		{States: []engine.State{engine.StateFailed}},
		{States: []engine.State{engine.StateRunning}},
		{States: []engine.State{engine.StateRetrying}},
		{States: []engine.State{engine.StatePending}},
		{Queue: "q3"},
		{Queue: "none"},
		{Name: "none"},
		{Name: "none", Queue: "q3"},
		{Queue: "q3", States: []engine.State{engine.StateFailed}},
		{Tag: "none"},
		{Tag: "none", TagValue: "yes"},
	}
	before := read()
	e, err := postgres.Open(ctx, url, cfg)
	require.NoError(t, err)
	for _, q := range queries {
		began := time.Now()
		es, _, err := e.List(ctx, q)
		require.NoError(t, err)
		t.Logf("%+v: %d entries in %v", q, len(es), time.Since(began))
	}
	require.NoError(t, e.Close()) // its connections tell what they have read
	require.Eventually(t, func() bool { return read() > before }, 10*time.Second, 100*time.Millisecond)
	assert.LessOrEqual(t, read()-before, most*len(queries))
}
