package postgres_test

import (
	"context"
	"fmt"
	"strings"
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

// TestOldSnapshot_SearchAfterAnOutage: while the search goes through the dead rows, the
// tasks cannot be read for some time. That is none of the search's own time, after
// which it rests for four times as long: what only it finds is found soon.
//
// Proves: RELIABILITY 33
func TestOldSnapshot_SearchAfterAnOutage(t *testing.T) {
	slow(t)
	t.Parallel()
	url := servertest.NewPostgres(t).URL
	app, pool, schema := newAppAt(t, url, runtime.Config{Workers: 4}, postgres.Config{PollInterval: 100 * time.Millisecond})
	_, err := pool.Exec(t.Context(), "ALTER TABLE "+schema+".river_job SET (autovacuum_enabled = false)")
	require.NoError(t, err)
	oldSnapshot(t, url)
	start(t, app)
	for range 100 {
		runFifty(t, app)
	}
	owner, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer owner.Close(context.Background())
	const outage = 10 * time.Second
	for searching := false; !searching; { // the lock may come between two passes
		_, err = owner.Exec(t.Context(), "BEGIN; LOCK TABLE "+schema+".river_job IN ACCESS EXCLUSIVE MODE")
		require.NoError(t, err)
		for began := time.Now(); !searching && time.Since(began) < 2*time.Second; {
			require.NoError(t, pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
				WHERE wait_event_type = 'Lock' AND query LIKE '%scheduled_at <= q.mark AND scheduled_at >=%')`).Scan(&searching))
		}
		if searching {
			time.Sleep(outage) // it is its length that matters
		}
		_, err = owner.Exec(t.Context(), "COMMIT")
		require.NoError(t, err)
	}
	for _, name := range []string{"found by that pass", "found by the next", "found by a later one"} {
		began := time.Now()
		id := insertRows(t, pool, schema, map[string]string{name: `scheduled_at => now() - interval '1 hour'`})[name]
		require.Eventually(t, func() bool {
			var done bool
			err := pool.QueryRow(t.Context(),
				fmt.Sprintf("SELECT finalized_at IS NOT NULL FROM %s.river_job WHERE id = %d", schema, id)).Scan(&done)
			return err == nil && done
		}, 3*outage, 20*time.Millisecond, "the search rests for the time of the outage")
		t.Logf("%s after %v", name, time.Since(began))
	}
}

// TestOldSnapshot_SlowInsert: tasks that it took long to store lie behind those that have
// run since. They run without the search, which waits for an hour here.
//
// Proves: RELIABILITY 33
func TestOldSnapshot_SlowInsert(t *testing.T) {
	slow(t)
	t.Parallel()
	url := servertest.NewPostgres(t).URL
	app, pool, schema := newAppAt(t, url, runtime.Config{Workers: 4}, postgres.Config{PollInterval: time.Hour})
	late := glue.NewTask[struct{}, int](wire.Spec{Name: "press.Late", Func: "Late"}, noArgs)
	glue.Register(app, late, func(context.Context, *struct{}) (int, error) { return 1, nil })
	oldSnapshot(t, url)
	start(t, app)
	_, err := pool.Exec(t.Context(), fmt.Sprintf(`CREATE FUNCTION %[1]s.late() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN PERFORM pg_sleep(0.01); RETURN NULL; END';
		CREATE TRIGGER late AFTER INSERT ON %[1]s.river_job FOR EACH ROW WHEN (NEW.kind = 'press.Late') EXECUTE FUNCTION %[1]s.late()`, schema))
	require.NoError(t, err)
	for range 50 {
		runFifty(t, app)
	}
	var b runtime.Batch // of more than are stored together with others
	hs := make([]*runtime.Handle[int], 300)
	for i := range hs {
		hs[i] = runtime.AddTo(&b, late.Call(func(*wire.Fields) {}, nil))
	}
	stored := make(chan error, 1)
	go func() { stored <- b.Enqueue(t.Context(), app) }()
	for done := false; !done; {
		select {
		case err := <-stored:
			require.NoError(t, err)
			done = true
		default:
			runFifty(t, app)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, h := range hs {
		_, err := h.Wait(ctx)
		require.NoError(t, err)
	}
}

// TestOldSnapshot_WhatKeptItsPlaceIsFound: a task that its worker gives back, and one that
// is let in by another limit, lie behind those that have run since. They run without the
// search, which waits for an hour here.
//
// Proves: RELIABILITY 33
func TestOldSnapshot_WhatKeptItsPlaceIsFound(t *testing.T) {
	slow(t)
	t.Parallel()
	url := servertest.NewPostgres(t).URL
	e := open(t, url, postgres.Config{Schema: newSchema(t, url), PollInterval: time.Hour})
	oldSnapshot(t, url)
	trickle(t, e, 300, 10, 0)
	ran, release := make(chan string, 1), make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	var runs atomic.Int64
	go func() {
		served <- e.Serve(ctx, &engine.Worker{
			ID: uuid.NewString(), Slots: 3, Queues: []string{"plan"}, Names: []string{"plan.task"},
			ParkFor: time.Hour, Abandon: make(chan struct{}), Now: time.Now,
			Run: func(_ context.Context, d *engine.Delivery) engine.Outcome {
				n := d.Message.Meta.Tags["n"]
				ran <- n
				switch {
				case n == "released" && runs.Add(1) == 1:
					<-release
					return engine.Outcome{Kind: engine.OutcomeRelease}
				case n == "first of the limit":
					<-release
				}
				return engine.Outcome{Kind: engine.OutcomeSucceed}
			},
		})
	}()
	add := func(n string, limits ...engine.Limit) {
		m := plainMessage(uuid.Nil)
		m.Meta.Tags, m.Limits = map[string]string{"n": n}, limits
		if len(limits) > 0 {
			m.Meta.Version = engine.WireLimited
		}
		_, err := e.InsertOne(t.Context(), m)
		require.NoError(t, err)
	}
	next := func(want string) {
		select {
		case n := <-ran:
			require.Equal(t, want, n)
		case <-time.After(time.Minute):
			t.Fatal("it is not found: ", want)
		}
	}
	one := engine.Limit{Rule: "rule", Key: "key", Most: 1}
	add("first of the limit", one)
	next("first of the limit")
	add("second of the limit", one)
	add("released")
	next("released")
	for began := time.Now(); time.Since(began) < 3*time.Second; { // looks begin a second ago now and then
		add("")
		next("")
	}
	require.NoError(t, e.SetLimit(t.Context(), "rule", 2))
	next("second of the limit")
	close(release)
	next("released")
	stop()
	require.NoError(t, <-served)
}

// TestOldSnapshot_LetInAndClaimedAtOnce: beside dead rows, too, a task that is let in by the
// end of another and claimed by the same worker changes once from its wait to its run.
//
// Proves: RELIABILITY 33
func TestOldSnapshot_LetInAndClaimedAtOnce(t *testing.T) {
	slow(t)
	t.Parallel()
	url := servertest.NewPostgres(t).URL
	schema := newSchema(t, url)
	e := open(t, url, postgres.Config{Schema: schema})
	oldSnapshot(t, url)
	trickle(t, e, 300, 10, 0)
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	defer pool.Close()
	_, err = pool.Exec(t.Context(), strings.ReplaceAll(`CREATE SEQUENCE s.changes;
		CREATE FUNCTION s.count_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('s.changes'); RETURN NULL; END $$;
		CREATE TRIGGER counts AFTER UPDATE ON s.river_job FOR EACH ROW EXECUTE FUNCTION s.count_change()`, "s.", schema+"."))
	require.NoError(t, err)
	changes := func() (n int) {
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT nextval('"+schema+".changes')").Scan(&n))
		return n
	}
	const tasks, slots = 1000, 10
	ms := make([]*engine.Message, tasks)
	for i := range ms {
		ms[i] = plainMessage(uuid.Nil)
		ms[i].Meta.Version, ms[i].Limits = engine.WireLimited, []engine.Limit{{Rule: "rule", Key: "key", Most: slots}}
	}
	_, err = e.Insert(t.Context(), ms)
	require.NoError(t, err)
	ran := make(chan struct{}, tasks)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- e.Serve(ctx, &engine.Worker{
			ID: uuid.NewString(), Slots: slots, Queues: []string{"plan"}, Names: []string{"plan.task"},
			ParkFor: time.Hour, Abandon: make(chan struct{}), Now: time.Now,
			RunInline: func(_ context.Context, _ *engine.Delivery, o *engine.Outcome) {
				*o = engine.Outcome{Kind: engine.OutcomeSucceed}
				ran <- struct{}{}
			},
		})
	}()
	half := func() {
		for range tasks / 2 {
			select {
			case <-ran:
			case <-time.After(time.Minute):
				t.Fatal("the tasks do not go on")
			}
		}
	}
	half() // looks begin to search meanwhile
	before := changes()
	half()
	assert.Less(t, changes()-before, tasks/2*9/4, "changes of as many tasks: let in and begun at once, and ended")
	stop()
	require.NoError(t, <-served)
}
