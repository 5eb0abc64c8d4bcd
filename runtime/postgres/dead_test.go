package postgres_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/postgres"
	"github.com/taskctx/taskctx/runtime/wire"
)

// oldSnapshot holds a snapshot until release is called.
func oldSnapshot(t *testing.T, url string) (release func()) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	_, err = c.Exec(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pg_class LIMIT 1")
	require.NoError(t, err)
	release = sync.OnceFunc(func() { _ = c.Close(context.Background()) })
	t.Cleanup(release)
	return release
}

// trickle runs tasks, a few at a time, so that each look for some finds few.
func trickle(t *testing.T, e *postgres.Engine, lots, each int, due time.Duration) {
	t.Helper()
	ctx := t.Context()
	serving, stop := context.WithCancel(ctx)
	ran := make(chan struct{}, 10*each)
	var served sync.WaitGroup
	served.Go(func() {
		err := e.Serve(serving, &engine.Worker{
			ID: uuid.NewString(), Slots: 10, Queues: []string{"plan"}, Names: []string{"plan.task"},
			ParkFor: time.Hour, Abandon: make(chan struct{}), Now: time.Now,
			RunInline: func(_ context.Context, _ *engine.Delivery, o *engine.Outcome) {
				*o = engine.Outcome{Kind: engine.OutcomeSucceed}
				ran <- struct{}{}
			},
		})
		assert.NoError(t, err)
	})
	for range lots {
		ms := make([]*engine.Message, each)
		for i := range ms {
			ms[i] = plainMessage(uuid.Nil)
			if due > 0 {
				ms[i].Due = time.Now().Add(due)
			}
		}
		_, err := e.Insert(ctx, ms)
		require.NoError(t, err)
		for range each {
			<-ran
		}
	}
	stop()
	served.Wait()
}

// TestOldSnapshot_LooksReadWhatIsNew: while a transaction elsewhere keeps the dead
// versions of all tasks that have run, a look for tasks does not read all of them
// again, nor does the upkeep.
//
// Proves: RELIABILITY 33
func TestOldSnapshot_LooksReadWhatIsNew(t *testing.T) {
	slow(t)
	for name, c := range map[string]struct {
		due  time.Duration
		more string // of the URL
	}{
		"at once": {}, "delayed": {due: 5 * time.Millisecond},
		"exec": {more: "&default_query_exec_mode=exec"}, "simple protocol": {more: "&default_query_exec_mode=simple_protocol"},
	} {
		t.Run(name, func(t *testing.T) {
			url, due := servertest.Postgres(t)+c.more, c.due
			cfg := postgres.Config{Schema: newSchema(t, url), Lease: 500 * time.Millisecond}
			c, err := pgx.Connect(t.Context(), url)
			require.NoError(t, err)
			defer c.Close(context.Background())
			require.NoError(t, open(t, url, cfg).Close()) // makes the tables
			_, err = c.Exec(t.Context(), "ALTER TABLE "+cfg.Schema+".river_job SET (autovacuum_enabled = false)")
			require.NoError(t, err)
			oldSnapshot(t, url)
			const lots, each = 600, 10
			e := open(t, url, cfg)
			trickle(t, e, lots, each, due)
			require.NoError(t, e.Close()) // its connections tell what they have read
			var read int
			require.NoError(t, c.QueryRow(t.Context(), `SELECT sum(idx_tup_read) FROM pg_stat_user_indexes
				WHERE schemaname = $1 AND indexrelname IN ('river_job_prioritized_fetching_index', 'taskctx_due', 'taskctx_expiry')`,
				cfg.Schema).Scan(&read))
			t.Logf("%d index entries were read for each of %d tasks", read/(lots*each), lots*each)
			assert.Less(t, read/(lots*each), 150)
		})
	}
}

// TestOldSnapshot_WhatComesBelowRuns: tasks that become available behind those that
// have run since run all the same.
//
// Proves: RELIABILITY 33
func TestOldSnapshot_WhatComesBelowRuns(t *testing.T) {
	slow(t)
	app, pool, schema := newApp(t, runtime.Config{Workers: 4, ParkFor: 2 * time.Second}, postgres.Config{Lease: 500 * time.Millisecond})
	url := servertest.Postgres(t)
	oldSnapshot(t, url)
	start(t, app)
	var ran atomic.Int64
	run := func(n int) {
		for range n / 50 {
			runFifty(t, app)
			ran.Add(50)
		}
	}
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background())
	_, err = tx.Exec(t.Context(), "SELECT 1")
	require.NoError(t, err)
	run(2500)
	// Of a transaction that began long ago, at once and delayed.
	early, err := echoCall(`1`).Enqueue(t.Context(), app.In(tx))
	require.NoError(t, err)
	later, err := echoCall(`1`, runtime.WithDelay(50*time.Millisecond)).Enqueue(t.Context(), app.In(tx))
	require.NoError(t, err)
	run(500)
	require.NoError(t, tx.Commit(t.Context()))
	ids := insertRows(t, pool, schema, map[string]string{
		"of a lost worker": `state => 'running', attempt => 1, attempted_by => '{taskctx:ghost}', scheduled_at => now() - interval '1 minute', attempted_at => now()`,
		"long due":         `scheduled_at => now() - interval '1 hour'`,
		"of another time":  `scheduled_at => '-infinity'`,
		"first":            `scheduled_at => now() - interval '2 minutes', priority => 1`,
		"overdue":          `state => 'scheduled', scheduled_at => now() - interval '1 minute'`,
		"unknown":          `kind => 'app.nobody', metadata => '{"taskctx": {"v": 1}}', scheduled_at => now() - interval '1 minute'`,
	})
	run(500)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, h := range map[string]*runtime.Handle[jsonText]{"early": early, "later": later} {
		_, err := h.Wait(ctx)
		require.NoError(t, err, name)
	}
	for name, id := range ids {
		want := "completed"
		if name == "unknown" {
			want = "discarded"
		}
		require.Eventually(t, func() bool {
			var state string
			err := pool.QueryRow(ctx, fmt.Sprintf("SELECT state::text FROM %s.river_job WHERE id = %d", schema, id)).Scan(&state)
			return err == nil && state == want
		}, time.Minute, 50*time.Millisecond, name)
	}
}

// TestOldSnapshot_FamiliesGoOn: a parent that a worker has woken, and children that it
// took long to store, lie behind those that have run since. They run without the
// search for such tasks, which waits for an hour here.
//
// Proves: RELIABILITY 33
func TestOldSnapshot_FamiliesGoOn(t *testing.T) {
	slow(t)
	app, pool, schema := newApp(t, runtime.Config{Workers: 4}, postgres.Config{PollInterval: time.Hour})
	oldSnapshot(t, servertest.Postgres(t))
	release := make(chan struct{})
	child := glue.NewTask[struct{}, int](wire.Spec{Name: "press.Child", Func: "Child"}, noArgs)
	glue.Register(app, child, func(context.Context, *struct{}) (int, error) { <-release; return 1, nil })
	parent := glue.NewTask[echoArgs, int](wire.Spec{
		Name: "press.Parent", Func: "Parent", Durable: true, Params: []wire.Param{{Name: "v", Sig: "json"}},
	}, (*echoArgs).fields)
	glue.Register(app, parent, func(ctx *runtime.Context, a *echoArgs) (int, error) {
		n, err := strconv.Atoi(string(a.v))
		if err != nil {
			return 0, err
		}
		calls := make([]runtime.Call[int], n)
		for i := range calls {
			calls[i] = child.Call(func(*wire.Fields) {}, nil)
		}
		got, err := runtime.All(ctx, "c", calls...)
		return len(got), err
	})
	start(t, app)
	of := func(n int) *runtime.Handle[int] {
		h, err := parent.Call((&echoArgs{json.RawMessage(strconv.Itoa(n))}).fields, nil).Enqueue(t.Context(), app)
		require.NoError(t, err)
		return h
	}
	run := func(until func() bool) {
		for !until() {
			runFifty(t, app)
		}
	}
	ended := func(h *runtime.Handle[int], n int) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		got, err := h.Wait(ctx)
		require.NoError(t, err)
		assert.Equal(t, n, got)
	}
	h, lots := of(1), 0
	run(func() bool { lots++; return lots > 60 })
	close(release)
	ended(h, 1)
	_, err := pool.Exec(t.Context(), fmt.Sprintf(`CREATE FUNCTION %[1]s.late() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN PERFORM pg_sleep(3); RETURN NULL; END';
		CREATE TRIGGER late AFTER INSERT ON %[1]s.taskctx_journal FOR EACH STATEMENT EXECUTE FUNCTION %[1]s.late()`, schema))
	require.NoError(t, err)
	h = of(20)
	run(func() bool {
		js, err := app.Journal(t.Context(), h.ID())
		return assert.NoError(t, err) && len(js) > 0
	})
	ended(h, 20)
}

// runFifty runs 50 tasks, which are together in the order.
func runFifty(t *testing.T, app *runtime.App) {
	t.Helper()
	var b runtime.Batch
	var h *runtime.Handle[jsonText]
	for range 50 {
		h = runtime.AddTo(&b, echoCall(`1`))
	}
	require.NoError(t, b.Enqueue(t.Context(), app))
	_, err := h.Wait(t.Context())
	require.NoError(t, err)
}

// insertRows inserts jobs of the echo task as others would, and returns their numbers.
func insertRows(t *testing.T, pool *pgxpool.Pool, schema string, rows map[string]string) map[string]int64 {
	t.Helper()
	ids := make(map[string]int64)
	for name, row := range rows {
		columns, values := columnsOf(row)
		var id int64
		require.NoError(t, pool.QueryRow(t.Context(),
			"INSERT INTO "+schema+".river_job ("+columns+") VALUES ("+values+") RETURNING id").Scan(&id), name)
		ids[name] = id
	}
	return ids
}

// TestOldSnapshot_RecordsAreForgottenOnce: what was forgotten is not read again for
// each lot that follows.
//
// Proves: RELIABILITY 33
func TestOldSnapshot_RecordsAreForgottenOnce(t *testing.T) {
	slow(t)
	defer postgres.SetCleanEvery(100 * time.Millisecond)()
	url := servertest.Postgres(t)
	cfg := postgres.Config{Schema: newSchema(t, url)}
	c, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer c.Close(context.Background())
	require.NoError(t, open(t, url, cfg).Close()) // makes the tables
	const records = 20_000
	for _, text := range []string{
		"ALTER TABLE %s.river_job SET (autovacuum_enabled = false)",
		`INSERT INTO %s.river_job (args, kind, max_attempts, metadata, state, finalized_at, created_at)
			SELECT '{}', 'app.echo', 3, '{"taskctx": {"v": 1, "keep": 1000000000}}', 'completed',
				now() - interval '1 hour' + n * interval '1 millisecond', now() - interval '2 hours' FROM generate_series(1, 20000) n`,
	} {
		_, err = c.Exec(t.Context(), fmt.Sprintf(text, cfg.Schema))
		require.NoError(t, err)
	}
	oldSnapshot(t, url)
	e := open(t, url, cfg)
	serving, stop := context.WithCancel(t.Context())
	var served sync.WaitGroup
	served.Go(func() {
		assert.NoError(t, e.Serve(serving, &engine.Worker{
			ID: uuid.NewString(), Slots: 1, Queues: []string{"plan"}, Names: []string{"plan.task"},
			ParkFor: time.Hour, Abandon: make(chan struct{}), Now: time.Now, RunInline: planRun,
		}))
	})
	require.Eventually(t, func() bool {
		var left int
		err := c.QueryRow(t.Context(), "SELECT count(*) FROM "+cfg.Schema+".river_job").Scan(&left)
		return err == nil && left == 0
	}, 60*time.Second, 50*time.Millisecond)
	stop()
	served.Wait()
	require.NoError(t, e.Close())
	var read int
	require.NoError(t, c.QueryRow(t.Context(), `SELECT idx_tup_read FROM pg_stat_user_indexes
		WHERE schemaname = $1 AND indexrelname = 'taskctx_expiry'`, cfg.Schema).Scan(&read))
	t.Logf("%d index entries were read to forget %d records", read, records)
	assert.Less(t, read, 5*records)
}

// TestOldSnapshot_IsToldOf: the log names who keeps dead rows for long, once in a
// while.
//
// Proves: RELIABILITY 33
func TestOldSnapshot_IsToldOf(t *testing.T) {
	slow(t)
	defer postgres.SetSnapshotAge(time.Second)()
	server := servertest.NewPostgres(t)
	c, err := pgx.Connect(t.Context(), server.URL)
	require.NoError(t, err)
	_, err = c.Exec(t.Context(), "ALTER SYSTEM SET max_prepared_transactions = 5")
	require.NoError(t, err)
	require.NoError(t, c.Close(t.Context()))
	server.Stop(t)
	server.Start(t)
	c, err = pgx.Connect(t.Context(), server.URL)
	require.NoError(t, err)
	defer c.Close(context.Background())
	_, err = c.Exec(t.Context(), "BEGIN; CREATE TABLE t (n int); PREPARE TRANSACTION 'left behind'")
	require.NoError(t, err)
	log := new(servertest.Lines)
	e := open(t, server.URL, postgres.Config{Logger: slog.New(slog.NewTextHandler(log, nil)), PollInterval: 50 * time.Millisecond})
	app := runtime.New(e, runtime.Config{Logger: quiet})
	glue.Register(app, echoTask, func(_ context.Context, a *echoArgs) (jsonText, error) { return a.v, nil })
	start(t, app)
	defer app.Stop(context.Background())
	told := func(text string) bool { return log.Count(text) > 0 }
	require.Eventually(t, func() bool { return told(`"prepared transaction"="left behind"`) }, time.Minute, 20*time.Millisecond)
	_, err = c.Exec(t.Context(), "ROLLBACK PREPARED 'left behind'")
	require.NoError(t, err)

	held, err := pgx.Connect(t.Context(), server.URL+"&application_name=nightly-report")
	require.NoError(t, err)
	defer held.Close(context.Background())
	_, err = held.Exec(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pg_class LIMIT 1")
	require.NoError(t, err)
	_, err = c.Exec(t.Context(), "CREATE TABLE t (n int)") // else its snapshot is as new as any
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return told(fmt.Sprintf("session=%d", held.PgConn().PID()))
	}, 10*time.Second, 20*time.Millisecond)
	assert.Positive(t, log.Count("application_name nightly-report"))
	assert.Positive(t, log.Count("state idle in transaction"))
	assert.Equal(t, 2, log.Count("an old snapshot keeps dead rows"))
}
