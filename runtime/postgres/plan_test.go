package postgres_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/postgres"
)

// TestPlans_OfASmallTableServeALargeOne: Postgres keeps the plans that it made for
// the first tasks, when the table was empty, until the table is analyzed. The
// many that follow cost no more rows each for that.
func TestPlans_OfASmallTableServeALargeOne(t *testing.T) {
	slow(t)
	for name, prepare := range map[string]string{"new": "", "analyzed": "VACUUM ANALYZE river_job"} {
		t.Run(name, func(t *testing.T) {
			few, most := planReads(t, prepare, 40, plainMessage), 60*manyTasks
			many := planReads(t, prepare, manyTasks, plainMessage) - few
			t.Logf("%d rows read for each of %d tasks", many/manyTasks, manyTasks)
			if many > most {
				t.Errorf("%d rows and index entries were read for %d tasks, want at most %d", many, manyTasks, most)
			}
		})
	}
}

// TestPlans_OfDurableTasks: a durable task costs what an ordinary one does if it waits
// for nothing, and a child whose end goes into a journal not much more.
func TestPlans_OfDurableTasks(t *testing.T) {
	slow(t)
	for name, test := range map[string]struct {
		message func(parent uuid.UUID) *engine.Message
		most    int
	}{
		"durable": {func(uuid.UUID) *engine.Message {
			m := plainMessage(uuid.Nil)
			m.Meta.Version = engine.WireDurable
			return m
		}, 60},
		"child": {func(parent uuid.UUID) *engine.Message {
			m := plainMessage(uuid.Nil)
			m.Meta.Version, m.Meta.Parent, m.Meta.Entry = engine.WireDurable, parent, "c"
			return m
		}, 60},
	} {
		t.Run(name, func(t *testing.T) {
			few := planReads(t, "", 40, test.message)
			many := planReads(t, "", manyTasks, test.message) - few
			t.Logf("%d rows read for each of %d tasks", many/manyTasks, manyTasks)
			if many > test.most*manyTasks {
				t.Errorf("%d rows and index entries were read for %d tasks, want at most %d each", many, manyTasks, test.most)
			}
		})
	}
}

// TestPlans_OfTasksWithLimits: the tables of limits were large, and empty when they were
// vacuumed, before plans were made. A task costs no more for that when there are many.
func TestPlans_OfTasksWithLimits(t *testing.T) {
	slow(t)
	for name, keys := range map[string]int{"one key": 1, "many keys": manyTasks} {
		t.Run(name, func(t *testing.T) {
			n := 0
			limited := func(uuid.UUID) *engine.Message {
				n++
				m := plainMessage(uuid.Nil)
				m.Limits = []engine.Limit{{Rule: "k", Key: fmt.Sprint("k", n%keys), Most: 10}}
				return m
			}
			few, most := planReads(t, emptiedLimits, 40, limited), 60*manyTasks
			many := planReads(t, emptiedLimits, manyTasks, limited) - few
			t.Logf("%d rows read for each of %d tasks", many/manyTasks, manyTasks)
			if many > most {
				t.Errorf("%d rows and index entries were read for %d tasks, want at most %d", many, manyTasks, most)
			}
		})
	}
}

const manyTasks = 5000

const emptiedLimits = `
INSERT INTO taskctx_place (job_id, n, key, most, ordered, held, priority, due, turn, queue, kind)
	SELECT i, 0, int8send(i), 1, false, i % 2 = 0, 1, now(), i, 'q', 'k' FROM generate_series(1, 10000) i;
INSERT INTO taskctx_limit_key (key, rule_key, rule) SELECT int8send(i), '', '' FROM generate_series(1, 10000) i;
DELETE FROM taskctx_place;
DELETE FROM taskctx_limit_key;
VACUUM (ANALYZE, TRUNCATE false) taskctx_place, taskctx_limit_key`

// planReads runs some tasks one by one, then n at once, on tables that nobody
// analyzes, and returns how many rows and index entries were read.
func planReads(t *testing.T, prepare string, n int, message func(parent uuid.UUID) *engine.Message) int {
	ctx := t.Context()
	url := servertest.Postgres(t)
	cfg := postgres.Config{Schema: newSchema(t, url), PollInterval: time.Minute}
	direct := open(t, url, cfg)
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	exec := func(sql string) {
		if _, err := c.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec("SET search_path = " + cfg.Schema)
	for _, table := range []string{"river_job", "taskctx_place", "taskctx_limit_key"} {
		exec("ALTER TABLE " + table + " SET (autovacuum_enabled = false)")
	}
	for sql := range strings.SplitSeq(prepare, ";") {
		exec(sql)
	}
	e, err := postgres.Open(ctx, url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(ctx)
	var served sync.WaitGroup
	served.Go(func() {
		err := e.Serve(serving, &engine.Worker{
			ID: uuid.NewString(), Slots: 10, Queues: []string{"plan"}, Names: []string{"plan.task"},
			ParkFor: time.Hour, Abandon: make(chan struct{}), Now: time.Now, RunInline: planRun,
		})
		if err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	parent := plainMessage(uuid.Nil)
	parent.Due = time.Now().Add(time.Hour)
	of, err := direct.Insert(ctx, []*engine.Message{parent})
	if err != nil {
		t.Fatal(err)
	}
	put := func(n int) {
		ms := make([]*engine.Message, n)
		for i := range ms {
			ms[i] = message(of[0].ID)
		}
		ins, err := direct.Insert(ctx, ms)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Wait(ctx, ins[n-1].ID); err != nil { // the last one, more or less
			t.Fatal(err)
		}
	}
	for range 40 {
		put(1)
	}
	put(n)
	stop()
	served.Wait()
	if err := e.Close(); err != nil { // its connections tell what they have read
		t.Fatal(err)
	}
	var read int
	if err := c.QueryRow(ctx, `
		SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relid = ANY(t.of))
			+ (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relid = ANY(t.of))
		FROM (SELECT '{river_job, taskctx_place, taskctx_limit_key}'::regclass[]::oid[] AS of) t`).Scan(&read); err != nil {
		t.Fatal(err)
	}
	return read
}

func plainMessage(uuid.UUID) *engine.Message {
	return &engine.Message{
		Name: "plan.task", Queue: "plan", Args: json.RawMessage(`{}`), Keep: time.Hour,
		Meta: engine.Meta{Version: engine.WirePlain, EnqueuedAt: time.Now(), Retries: 3},
	}
}

// planRun succeeds with and without a result, and after a memo was saved.
func planRun(ctx context.Context, d *engine.Delivery, o *engine.Outcome) {
	*o = engine.Outcome{Kind: engine.OutcomeSucceed}
	switch d.Message.Meta.ID[15] % 4 {
	case 0:
		o.Result = json.RawMessage(`1`)
	case 1:
		if err := d.Memo.SaveMemo(ctx, json.RawMessage(`{"v":1}`)); err != nil {
			*o = engine.Outcome{Kind: engine.OutcomeFail, Reason: err.Error()}
		}
	}
}

// TestPlans_OfReadingAJournal: the plan that was made while there were few entries does
// not read those of all tasks for one.
func TestPlans_OfReadingAJournal(t *testing.T) {
	slow(t)
	ctx, url := t.Context(), servertest.Postgres(t)
	cfg := postgres.Config{Schema: newSchema(t, url), PollInterval: time.Minute}
	direct := open(t, url, cfg)
	c, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer c.Close(context.Background())
	exec := func(sql string) {
		_, err := c.Exec(ctx, sql)
		require.NoError(t, err, sql)
	}
	exec("SET search_path = " + cfg.Schema)
	exec("ALTER TABLE taskctx_journal SET (autovacuum_enabled = false)")
	exec("INSERT INTO taskctx_journal (job_id, kind, name, attempt) SELECT 0, 's', 'first ' || n, 0 FROM generate_series(1, 20) n")
	exec("ANALYZE taskctx_journal")
	m := plainMessage(uuid.Nil)
	m.Meta.Version, m.Due = engine.WireDurable, time.Now().Add(time.Hour)
	in, err := direct.Insert(ctx, []*engine.Message{m})
	require.NoError(t, err)

	e, err := postgres.Open(ctx, url, cfg)
	require.NoError(t, err)
	read := func(times int) {
		for range times {
			_, err := e.Journal(ctx, in[0].ID)
			require.NoError(t, err)
		}
	}
	read(10)
	exec("INSERT INTO taskctx_journal (job_id, kind, name, attempt) SELECT 0, 's', 'step ' || n, 0 FROM generate_series(1, 20000) n")
	read(10)
	require.NoError(t, e.Close()) // its connections tell what they have read, a little later
	var scans, rows int
	require.Eventually(t, func() bool {
		require.NoError(t, c.QueryRow(ctx, `SELECT sum(idx_scan), sum(idx_tup_read) FROM pg_stat_user_indexes
			WHERE relid = 'taskctx_journal'::regclass`).Scan(&scans, &rows))
		return scans >= 20
	}, time.Minute, 10*time.Millisecond)
	assert.LessOrEqual(t, rows, 1000, "index entries read for 10 journals without entries")
}
