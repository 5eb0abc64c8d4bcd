package postgres_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/postgres"
)

// calls are the calls of a client, each with the context's deadline.
func calls(app *runtime.App, h *runtime.Handle[jsonText]) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Enqueue": func(ctx context.Context) error { _, err := echoCall(`1`).Enqueue(ctx, app); return err },
		"Wait":    func(ctx context.Context) error { _, err := h.Wait(ctx); return err },
		"Lookup":  func(ctx context.Context) error { _, err := app.Lookup(ctx, h.ID()); return err },
		"List":    func(ctx context.Context) error { _, _, err := app.List(ctx, engine.Query{}); return err },
		"Counts":  func(ctx context.Context) error { _, err := app.Counts(ctx); return err },
		"Cancel":  func(ctx context.Context) error { return app.Cancel(ctx, h.ID(), "") },
	}
}

// TestSilentServer_CallsEndByTheirDeadlines: a server that takes all and answers
// nothing holds up no call for longer than its context, nor Stop. When it answers
// again, so does the app.
//
// Proves: RELIABILITY 25
func TestSilentServer_CallsEndByTheirDeadlines(t *testing.T) {
	slow(t)
	app, proxy, _, _ := newProxied(t, runtime.Config{
		Workers: 2, ShutdownTimeout: time.Second, ShutdownGrace: time.Second,
	}, postgres.Config{})
	require.NoError(t, app.Start(t.Context()))
	h, err := echoCall(`1`, runtime.WithDelay(time.Hour)).Enqueue(t.Context(), app)
	require.NoError(t, err)
	resume := proxy.Pause()
	type end struct {
		name string
		err  error
		took time.Duration
	}
	ended := make(chan end)
	all := calls(app, h)
	for name, call := range all {
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			err := call(ctx)
			ended <- end{name, err, time.Since(began)}
		}()
	}
	for range all {
		e := <-ended
		assert.ErrorIs(t, e.err, context.DeadlineExceeded, e.name)
		assert.Less(t, e.took, 3*time.Second, e.name)
	}
	resume()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	again, err := echoCall(`2`).Enqueue(ctx, app)
	require.NoError(t, err)
	_, err = again.Wait(ctx)
	require.NoError(t, err)

	resume = proxy.Pause()
	defer resume()
	ctx, cancel = context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	began := time.Now()
	_ = app.Stop(ctx)
	assert.Less(t, time.Since(began), 7*time.Second)
}

// TestDeafConnections_AreGivenUp: connections that the network forgot are replaced,
// also the one that listens, although no caller has a deadline.
//
// Proves: RELIABILITY 25
func TestDeafConnections_AreGivenUp(t *testing.T) {
	slow(t)
	app, proxy, _, _ := newProxied(t, runtime.Config{Workers: 2}, postgres.Config{Lease: 3 * time.Second})
	require.NoError(t, app.Start(t.Context()))
	defer app.Stop(context.Background())
	for range 3 {
		h, err := echoCall(`1`).Enqueue(t.Context(), app)
		require.NoError(t, err)
		_, err = h.Wait(t.Context())
		require.NoError(t, err)
	}
	late, err := echoCall(`1`, runtime.WithDelay(2*time.Second)).Enqueue(t.Context(), app)
	require.NoError(t, err)
	proxy.Deafen()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	h, err := echoCall(`2`).Enqueue(t.Context(), app)
	require.NoError(t, err)
	for _, h := range []*runtime.Handle[jsonText]{h, late} {
		_, err = h.Wait(ctx)
		require.NoError(t, err)
	}
}

// TestReadOnlyServer_ConnectionsAreMadeAnew: connections to a server that cannot
// write any more are given up, so that the new primary is found behind the same
// name without a restart.
//
// Proves: RELIABILITY 25
func TestReadOnlyServer_ConnectionsAreMadeAnew(t *testing.T) {
	slow(t)
	url := servertest.Postgres(t)
	var standby atomic.Bool
	pc, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	pc.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		if !standby.Load() {
			return nil
		}
		_, err := c.Exec(ctx, "SET default_transaction_read_only = on")
		return err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), pc)
	require.NoError(t, err)
	defer pool.Close()
	schema := newSchema(t, url)
	require.NoError(t, postgres.Migrate(t.Context(), pool, postgres.Config{Schema: schema, Logger: quiet}))
	standby.Store(true)
	e, err := postgres.New(t.Context(), pool, postgres.Config{Schema: schema, Logger: testLog(t)})
	require.NoError(t, err)
	defer e.Close()
	app := runtime.New(e, runtime.Config{Workers: 2, Logger: testLog(t)})
	glue.Register(app, echoTask, func(_ context.Context, a *echoArgs) (jsonText, error) { return a.v, nil })
	require.NoError(t, app.Start(t.Context()))
	defer app.Stop(context.Background())
	_, err = echoCall(`1`).Enqueue(t.Context(), app)
	require.ErrorContains(t, err, "read-only")
	standby.Store(false)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.Eventually(t, func() bool {
		h, err := echoCall(`1`).Enqueue(ctx, app)
		if err != nil {
			return false
		}
		_, err = h.Wait(ctx)
		return err == nil
	}, 20*time.Second, 50*time.Millisecond)
}

// TestStart_RefusesQueuesThatRiverCannotName: when starting, not when claiming.
func TestStart_RefusesQueuesThatRiverCannotName(t *testing.T) {
	long := strings.Repeat("q", 128)
	app, _, _, _ := newProxied(t, runtime.Config{Workers: 1, Queues: []string{"default", long}}, postgres.Config{})
	err := app.Start(t.Context())
	require.ErrorIs(t, err, engine.ErrUnsupported)
	assert.Contains(t, err.Error(), long)
}

// wrapped is an engine around another, as a decorator is.
type wrapped struct{ engine.Engine }

// Unwrap returns the engine within.
func (w wrapped) Unwrap() engine.Engine { return w.Engine }

// TestTx_WithADecoratedEngine: an engine that unwraps to this package's takes a
// transaction.
func TestTx_WithADecoratedEngine(t *testing.T) {
	app, _, pool, schema := newProxied(t, runtime.Config{}, postgres.Config{})
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = echoCall(`1`).Enqueue(t.Context(), runtime.New(wrapped{app.Engine()}, runtime.Config{}).In(tx))
	require.NoError(t, err)
	require.NoError(t, tx.Commit(t.Context()))
	assert.Equal(t, 1, countJobs(t, pool, schema))
}

// TestOpen_SchemaInTheURL: the parameter is Config.Schema.
func TestOpen_SchemaInTheURL(t *testing.T) {
	url := servertest.Postgres(t)
	schema := newSchema(t, url)
	with := url + "?schema=" + schema
	if strings.Contains(url, "?") {
		with = url + "&schema=" + schema
	}
	ctx := t.Context()
	first, second := open(t, with, postgres.Config{}), open(t, url, postgres.Config{Schema: schema})
	h, err := echoCall(`1`).Enqueue(ctx, runtime.New(first, runtime.Config{}))
	require.NoError(t, err)
	_, err = second.Get(ctx, h.ID())
	require.NoError(t, err)
	_, err = postgres.Open(ctx, with, postgres.Config{Schema: "other"})
	require.ErrorContains(t, err, schema)
}
