package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
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
	require.Eventually(t, func() bool { return read() > before }, time.Minute, 100*time.Millisecond)
	assert.LessOrEqual(t, read()-before, most*len(queries))
}

// TestList_FewOfManyWithOneName: the few jobs in a state of very many with one name are
// found by the state's index, and the few with a name of very many in a state by the
// name's: no page looks through the table.
//
// Proves: RELIABILITY 31
func TestList_FewOfManyWithOneName(t *testing.T) {
	ctx := t.Context()
	url := servertest.Postgres(t)
	cfg := postgres.Config{Schema: newSchema(t, url)}
	e := open(t, url, cfg)
	c, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer c.Close(context.Background())
	_, err = c.Exec(ctx, `INSERT INTO `+cfg.Schema+`.river_job(kind, args, max_attempts, metadata, state, finalized_at)
		SELECT CASE WHEN i % 1500 = 0 THEN 'scale.rare' ELSE 'scale.t' END, '{}', 4, '{"taskctx": {"v": 1, "reason": "gone"}}',
			(CASE WHEN i % 1000 = 1 THEN 'discarded' ELSE 'completed' END)::`+cfg.Schema+`.river_job_state, now()
		FROM generate_series(1, 45000) i`)
	require.NoError(t, err)
	for _, q := range []struct {
		query engine.Query
		want  int
	}{
		{engine.Query{Name: "scale.t", States: []engine.State{engine.StateFailed}}, 45},
		{engine.Query{Name: "scale.t", States: []engine.State{engine.StateFailed}, Reason: "gone", Newest: true}, 45},
		{engine.Query{Name: "scale.rare", States: []engine.State{engine.StateSucceeded}}, 30},
	} {
		found, next, err := e.List(ctx, q.query)
		require.NoError(t, err)
		assert.Len(t, found, q.want, "%+v", q.query)
		assert.Empty(t, next, "%+v: there is a page more", q.query)
	}
}

// TestCounts_EachStateOfManyQueues: beside many ended jobs, what waits is exact in
// each state and queue, whether metadata or columns say which state it is, and an
// index alone counts what has no mark.
//
// Proves: RELIABILITY 31
func TestCounts_EachStateOfManyQueues(t *testing.T) {
	ctx := t.Context()
	url := servertest.Postgres(t)
	cfg := postgres.Config{Schema: newSchema(t, url)}
	e := open(t, url, cfg)
	c, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer c.Close(context.Background())
	want := make(map[string]int64)
	put := func(queue string, n int64, state engine.State, river, metadata string, due time.Duration) {
		t.Helper()
		want[queue+" "+string(state)] += n
		_, err := c.Exec(ctx, `INSERT INTO `+cfg.Schema+`.river_job(kind, args, max_attempts, metadata, queue, scheduled_at, state, finalized_at)
			SELECT 'scale.t', '{}', 4, $1::jsonb, $2, now() + $3 * interval '1 second', $4::`+cfg.Schema+`.river_job_state,
				CASE WHEN $4 IN ('completed', 'discarded') THEN now() END
			FROM generate_series(1, $5::int)`, `{"taskctx": `+metadata+`}`, queue, due.Seconds(), river, n)
		require.NoError(t, err)
	}
	put("ended", 60_000, engine.StateSucceeded, "completed", `{"v": 1}`, 0)
	delete(want, "ended succeeded")
	put("big", 9_000, engine.StatePending, "available", `{"v": 1}`, 0)
	put("big", 900, engine.StateRetrying, "available", `{"v": 1, "again": true}`, 0)
	put("big", 8_000, engine.StateScheduled, "scheduled", `{"v": 1}`, time.Hour)
	put("big", 9_000, engine.StateFailed, "discarded", `{"v": 1}`, 0)
	for i := range 30 {
		queue := fmt.Sprintf("q%02d", i)
		put(queue, 1, engine.StatePending, "scheduled", `{"v": 1}`, -time.Minute)
		put(queue, 2, engine.StatePending, "scheduled", `{"v": 1, "parked": 1}`, time.Hour)
		put(queue, 3, engine.StateScheduled, "scheduled", `{"v": 1}`, time.Hour)
		put(queue, 4, engine.StateRetrying, "scheduled", `{"v": 1, "again": true}`, time.Hour)
		put(queue, 5, engine.StateRetrying, "scheduled", `{"v": 1, "again": true}`, -time.Hour)
		put(queue, 6, engine.StateWaiting, "pending", `{"v": 2, "waits": -1}`, 0)
		put(queue, 7, engine.StatePending, "available", `{"v": 1, "again": false}`, 0)
	}
	_, err = c.Exec(ctx, "VACUUM ANALYZE "+cfg.Schema+".river_job")
	require.NoError(t, err)
	counts, err := e.Counts(ctx)
	require.NoError(t, err)
	got := make(map[string]int64)
	for _, c := range counts {
		if c.Queue == "ended" {
			assert.True(t, c.Estimated)
			assert.InDelta(t, 60_000, c.Tasks, 20_000)
			continue
		}
		assert.False(t, c.Estimated, "%+v", c)
		got[c.Queue+" "+string(c.State)] = c.Tasks
	}
	assert.Equal(t, want, got)
}

// TestCancel_ReadsFewRows: also by a plan that was made while the table was small,
// on tables that nobody analyzes.
func TestCancel_ReadsFewRows(t *testing.T) {
	ctx := t.Context()
	url := servertest.Postgres(t)
	cfg := postgres.Config{Schema: newSchema(t, url)}
	require.NoError(t, open(t, url, cfg).Close())
	c, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer c.Close(context.Background())
	_, err = c.Exec(ctx, "ALTER TABLE "+cfg.Schema+".river_job SET (autovacuum_enabled = false)")
	require.NoError(t, err)
	pool, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	pool.MaxConns = 1
	p, err := pgxpool.NewWithConfig(ctx, pool)
	require.NoError(t, err)
	defer p.Close()
	e, err := postgres.New(ctx, p, cfg)
	require.NoError(t, err)
	cancel := func() {
		ins, err := e.Insert(ctx, []*engine.Message{plainMessage(uuid.Nil)})
		require.NoError(t, err)
		require.NoError(t, e.Cancel(ctx, ins[0].ID, ""))
	}
	for range 20 {
		cancel()
	}
	fill(t, c, cfg.Schema, 20_000)
	for range 20 {
		cancel()
	}
	require.NoError(t, e.Close()) // its connections tell what they have read
	var read int
	require.Eventually(t, func() bool {
		err := c.QueryRow(ctx, "SELECT coalesce(seq_tup_read, 0) FROM pg_stat_user_tables WHERE relid = $1::regclass AND n_tup_upd >= 40",
			cfg.Schema+".river_job").Scan(&read)
		return err == nil
	}, 10*time.Second, 100*time.Millisecond)
	assert.Less(t, read, 20_000)
}
