package postgres_test

import (
	"context"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/postgres"
	"github.com/taskctx/taskctx/runtime/wire"
)

// family is a durable task that waits for three children, which nobody works on.
type family struct {
	t   *testing.T
	app *runtime.App
}

var (
	noArgs      = func(*struct{}, *wire.Fields) {}
	waitsParent = glue.NewTask[struct{}, int](wire.Spec{Name: "test.Parent", Func: "Parent", Durable: true}, noArgs)
	waitsGrand  = glue.NewTask[struct{}, int](wire.Spec{Name: "test.Grand", Func: "Grand", Durable: true}, noArgs)
	waitsChild  = glue.NewTask[struct{}, int](wire.Spec{Name: "test.Child", Func: "Child", Queue: "nobody"}, noArgs)
)

func newFamily(t *testing.T, e *postgres.Engine) *family {
	app := runtime.New(e, runtime.Config{Workers: 4, Logger: quiet})
	glue.Register(app, waitsParent, func(ctx *runtime.Context, _ *struct{}) (int, error) {
		call := waitsChild.Call(func(*wire.Fields) {}, nil)
		ns, err := runtime.All(ctx, "c", call, call, call)
		return len(ns), err
	})
	glue.Register(app, waitsGrand, func(ctx *runtime.Context, _ *struct{}) (int, error) {
		return runtime.Spawn(ctx, "p", waitsParent.Call(func(*wire.Fields) {}, nil)).Await(ctx)
	})
	start(t, app)
	return &family{t, app}
}

// begin enqueues a parent, and waits until it waits.
func (f *family) begin() uuid.UUID {
	h, err := waitsParent.Call(func(*wire.Fields) {}, nil).Enqueue(f.t.Context(), f.app)
	require.NoError(f.t, err)
	f.until(h.ID(), engine.StateWaiting)
	return h.ID()
}

func (f *family) until(id uuid.UUID, s engine.State) {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		r, err := f.app.Lookup(f.t.Context(), id)
		return err == nil && r.State == s
	}, 20*time.Second, time.Millisecond, s)
}

// children are those that the journal has now.
func (f *family) children(id uuid.UUID) (ids []uuid.UUID) {
	f.t.Helper()
	js, err := f.app.Journal(f.t.Context(), id)
	require.NoError(f.t, err)
	for _, j := range js {
		ids = append(ids, j.Child)
	}
	return ids
}

// TestPlans_OfSteeringAWaitingTask: what an operator does with a task that waits, or
// with its child, reads few rows of a large table, also by plans that were made while
// the table was small, and nobody analyzes it.
func TestPlans_OfSteeringAWaitingTask(t *testing.T) {
	slow(t)
	ctx := t.Context()
	url := servertest.Postgres(t)
	cfg := postgres.Config{Schema: newSchema(t, url), Logger: quiet}
	require.NoError(t, open(t, url, cfg).Close())
	c, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer c.Close(context.Background())
	_, err = c.Exec(ctx, "ALTER TABLE "+cfg.Schema+".river_job SET (autovacuum_enabled = false)")
	require.NoError(t, err)
	e, err := postgres.Open(ctx, url, cfg)
	require.NoError(t, err)
	f := newFamily(t, e)
	const rounds, rows = 6, 20_000
	for n := range 2 * rounds {
		if n == rounds {
			_, err := c.Exec(ctx, "INSERT INTO "+cfg.Schema+`.river_job (kind, args, max_attempts, queue, state, finalized_at)
				SELECT 'steer.t', '{}', 4, 'ended', 'completed', now() FROM generate_series(1, $1::int)`, rows)
			require.NoError(t, err)
		}
		parent := f.begin()
		require.NoError(t, f.app.Cancel(ctx, f.children(parent)[0], "not this one"))
		f.until(parent, engine.StateFailed)
		require.NoError(t, f.app.Retry(ctx, parent))
		f.until(parent, engine.StateWaiting)
		require.NoError(t, f.app.Cancel(ctx, parent, "not at all"))
		for _, child := range f.children(parent) {
			f.until(child, engine.StateCancelled)
			require.NoError(t, f.app.Delete(ctx, child))
		}
		require.NoError(t, f.app.Retry(ctx, parent))
		f.until(parent, engine.StateWaiting)
		require.NoError(t, f.app.Delete(ctx, parent))
	}
	require.NoError(t, f.app.Stop(context.Background()))
	require.NoError(t, e.Close()) // its connections tell what they have read
	var seq, idx int
	require.NoError(t, c.QueryRow(ctx, `
		SELECT (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relid = $1::regclass),
			(SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relid = $1::regclass)`, cfg.Schema+".river_job").Scan(&seq, &idx))
	t.Logf("%d rounds, %d rows read by the table's order, %d by an index", 2*rounds, seq, idx)
	assert.Less(t, seq, rows)
	assert.Less(t, idx, 5*rows) // each look of the test is one
}

// TestDurable_CancelledBehindAPooler: where no notification arrives, a parent hears of a
// child that River's own client has cancelled all the same.
//
// Proves: FEATURES 87
func TestDurable_CancelledBehindAPooler(t *testing.T) {
	slow(t)
	t.Parallel()
	direct := servertest.Postgres(t)
	cfg := postgres.Config{Schema: newSchema(t, direct), Logger: quiet}
	f := newFamily(t, open(t, servertest.NewPgBouncer(t, direct, "transaction"), cfg))
	t.Cleanup(func() { assert.NoError(t, f.app.Stop(context.Background())) })
	client, err := river.NewClient(riverpgxv5.New(newPool(t, direct, 1)), &river.Config{Schema: cfg.Schema})
	require.NoError(t, err)
	parent := f.begin()
	child := f.children(parent)[0]
	_, err = client.JobCancel(t.Context(), int64(binary.BigEndian.Uint64(child[8:])&(1<<62-1)))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		r, err := f.app.Lookup(t.Context(), parent)
		return err == nil && r.State == engine.StateFailed
	}, time.Minute, 10*time.Millisecond)
}

// TestDurable_CancelledWhileNobodyListens: River's own client cancels a child while the
// worker's connection for notifications is lost. The parent hears of it when there is one
// again.
//
// Proves: FEATURES 87
func TestDurable_CancelledWhileNobodyListens(t *testing.T) {
	slow(t)
	ctx := t.Context()
	url := servertest.NewPostgres(t).URL
	cfg := postgres.Config{Schema: newSchema(t, url), Logger: quiet}
	f := newFamily(t, open(t, url, cfg))
	t.Cleanup(func() { assert.NoError(t, f.app.Stop(context.Background())) })
	client, err := river.NewClient(riverpgxv5.New(newPool(t, url, 1)), &river.Config{Schema: cfg.Schema})
	require.NoError(t, err)
	parent := f.begin()
	child := f.children(parent)[0]
	_, err = client.JobGet(ctx, int64(binary.BigEndian.Uint64(child[8:])&(1<<62-1))) // there is a connection
	require.NoError(t, err)
	admin, err := pgx.Connect(ctx, strings.Replace(url, "/postgres?", "/template1?", 1))
	require.NoError(t, err)
	defer admin.Close(context.Background())
	listeners := 0
	require.Eventually(t, func() bool {
		_, err := admin.Exec(ctx, "ALTER DATABASE postgres ALLOW_CONNECTIONS false")
		require.NoError(t, err)
		require.NoError(t, admin.QueryRow(ctx, `SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE query LIKE 'LISTEN%' OR query LIKE '%pg_is_in_recovery%' AND pid <> pg_backend_pid()) x`).Scan(&listeners))
		if listeners == 0 { // it does not listen yet
			_, err := admin.Exec(ctx, "ALTER DATABASE postgres ALLOW_CONNECTIONS true")
			require.NoError(t, err)
		}
		return listeners > 0
	}, time.Minute, 10*time.Millisecond)
	_, err = client.JobCancel(ctx, int64(binary.BigEndian.Uint64(child[8:])&(1<<62-1)))
	require.NoError(t, err)
	_, err = admin.Exec(ctx, "ALTER DATABASE postgres ALLOW_CONNECTIONS true")
	require.NoError(t, err)
	f.until(parent, engine.StateFailed)
}

// TestDurable_RiversOwnTools: a task that waits is cancelled, and made due again, and so
// is its child, by River's own client. What has to do with it hears of that as if the
// engine had done it.
//
// Proves: FEATURES 89
func TestDurable_RiversOwnTools(t *testing.T) {
	slow(t)
	ctx := t.Context()
	url := servertest.Postgres(t)
	cfg := postgres.Config{Schema: newSchema(t, url), Logger: quiet}
	e := open(t, url, cfg)
	f := newFamily(t, e)
	t.Cleanup(func() { assert.NoError(t, f.app.Stop(context.Background())) })
	pool := newPool(t, url, 2)
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: cfg.Schema})
	require.NoError(t, err)
	job := func(id uuid.UUID) int64 { return int64(binary.BigEndian.Uint64(id[8:]) & (1<<62 - 1)) }
	cancel := func(id uuid.UUID) {
		_, err := client.JobCancel(ctx, job(id))
		require.NoError(t, err)
	}
	retry := func(id uuid.UUID) {
		_, err := client.JobRetry(ctx, job(id))
		require.NoError(t, err)
	}
	h, err := waitsGrand.Call(func(*wire.Fields) {}, nil).Enqueue(ctx, f.app)
	require.NoError(t, err)
	grand := h.ID()
	f.until(grand, engine.StateWaiting)
	parent := f.children(grand)[0]
	f.until(parent, engine.StateWaiting)
	first := f.children(parent)
	require.Len(t, first, 3)

	cancel(first[0]) // its parent fails of it, and that one's parent
	f.until(parent, engine.StateFailed)
	f.until(grand, engine.StateFailed)
	f.until(first[1], engine.StateCancelled)
	f.until(first[2], engine.StateCancelled)

	retry(grand) // it spawns another parent, for the failed one
	f.until(grand, engine.StateWaiting)
	again := f.children(grand)
	require.Len(t, again, 1)
	require.NotEqual(t, parent, again[0])
	f.until(again[0], engine.StateWaiting)
	second := f.children(again[0])
	require.Len(t, second, 3)

	cancel(grand) // all below it are cancelled
	f.until(grand, engine.StateCancelled)
	f.until(again[0], engine.StateCancelled)
	for _, child := range second {
		f.until(child, engine.StateCancelled)
	}
	_, err = client.JobDelete(ctx, job(grand))
	require.NoError(t, err)
	_, err = f.app.Lookup(ctx, grand)
	require.ErrorIs(t, err, runtime.ErrNotFound)
}
