package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
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

// TestSuspend_LocksHeadsFirst: a child ends while its parent is half suspended: the
// parent's head is written, and its job not yet. The parent wakes. Where heads
// are not locked before, the same order of events leaves a parent that waits for
// ever, since the statement that wakes it passes over its job.
func TestSuspend_LocksHeadsFirst(t *testing.T) {
	for name, locked := range map[string]bool{"locked": true, "not locked": false} {
		t.Run(name, func(t *testing.T) {
			h := suspendWhileChildEnds(t, locked)
			if locked {
				n, err := h.Wait(t.Context())
				require.NoError(t, err)
				assert.Equal(t, 7, n)
				return
			}
			r, err := h.Record(t.Context())
			require.NoError(t, err)
			assert.Equal(t, engine.StateWaiting, r.State, "without the locks the wake-up is lost: or else they are not needed")
		})
	}
}

// suspendWhileChildEnds returns a parent whose suspension and whose child's end are
// both committed.
func suspendWhileChildEnds(t *testing.T, locked bool) *runtime.Handle[int] {
	t.Helper()
	url := servertest.Postgres(t)
	schema := newSchema(t, url)
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	noArgs := func(*struct{}, *wire.Fields) {}
	parent := glue.NewTask[struct{}, int](wire.Spec{Name: "press.Parent", Func: "Parent", Queue: "parents", Durable: true}, noArgs)
	child := glue.NewTask[struct{}, int](wire.Spec{Name: "press.Child", Func: "Child", Queue: "children"}, noArgs)
	var begun, may, ends = make(chan uuid.UUID, 1), make(chan struct{}), make(chan struct{})
	worker := func(queue string) *runtime.App {
		e := open(t, url, postgres.Config{Schema: schema})
		if !locked {
			postgres.WithoutHeadLocks(e)
		}
		app := runtime.New(e, runtime.Config{Workers: 1, Queues: []string{queue}, Logger: testLog(t)})
		glue.Register(app, parent, func(ctx *runtime.Context, _ *struct{}) (int, error) {
			f := runtime.Spawn(ctx, "c", child.Call(func(*wire.Fields) {}, nil))
			select {
			case begun <- ctx.Metadata().TaskID:
			default:
			}
			<-may
			return f.Await(ctx)
		})
		glue.Register(app, child, func(context.Context, *struct{}) (int, error) {
			<-ends
			return 7, nil
		})
		start(t, app)
		t.Cleanup(func() { assert.NoError(t, app.Stop(context.Background())) })
		return app
	}
	app := worker("parents")
	worker("children")
	h, err := parent.Call(func(*wire.Fields) {}, nil).Enqueue(t.Context(), app)
	require.NoError(t, err)
	<-begun

	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT FROM "+schema+".river_job WHERE kind = 'press.Parent' FOR SHARE")
	require.NoError(t, err)
	blocked := func(n int) func() bool {
		return func() bool {
			var waiting int
			err := pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
				WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%`+schema+`%'`).Scan(&waiting)
			return err == nil && waiting >= n
		}
	}
	close(may)
	require.Eventually(t, blocked(1), time.Minute, time.Millisecond, "the suspension waits for the parent's job")
	close(ends)
	require.Eventually(t, blocked(2), time.Minute, time.Millisecond, "the child's end waits for the suspension")
	require.NoError(t, tx.Rollback(t.Context()))
	require.Eventually(t, func() bool {
		js, err := app.Journal(t.Context(), h.ID())
		return err == nil && len(js) == 1 && js[0].State == engine.StateSucceeded
	}, time.Minute, time.Millisecond)
	return h
}
