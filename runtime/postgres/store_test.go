package postgres_test

import (
	"context"
	"errors"
	"fmt"
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
)

// newProxied returns an app that enqueues through a proxy, and a pool beside it.
func newProxied(t *testing.T, cfg runtime.Config, ecfg postgres.Config) (*runtime.App, *servertest.Proxy, *pgxpool.Pool, string) {
	t.Helper()
	url := servertest.Postgres(t)
	ecfg.Schema = newSchema(t, url)
	proxy := servertest.NewProxy(t, url)
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	cfg.Logger = testLog(t)
	app := runtime.New(open(t, proxy.URL, ecfg), cfg)
	glue.Register(app, echoTask, func(_ context.Context, a *echoArgs) (jsonText, error) { return a.v, nil })
	return app, proxy, pool, ecfg.Schema
}

func countJobs(t *testing.T, pool *pgxpool.Pool, schema string) (n int) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM "+schema+".river_job").Scan(&n))
	return n
}

// TestEnqueue_LostRequestOrAnswerStoresOnce cuts the connection at each request of
// an enqueue, before the server has it and after: it succeeds, and its tasks are
// stored once.
//
// Proves: RELIABILITY 27
func TestEnqueue_LostRequestOrAnswerStoresOnce(t *testing.T) {
	app, proxy, pool, schema := newProxied(t, runtime.Config{}, postgres.Config{})
	key := 0
	for kind, enqueue := range map[string]func(ctx context.Context) (want int, err error){
		"one": func(ctx context.Context) (int, error) {
			_, err := echoCall(`1`).Enqueue(ctx, app)
			return 1, err
		},
		"with a key": func(ctx context.Context) (int, error) {
			key++
			h, err := echoCall(`1`, runtime.WithKey(fmt.Sprint("k", key), time.Hour)).Enqueue(ctx, app)
			if err == nil {
				assert.False(t, h.Existing(), "%v", h.ID())
			}
			return 1, err
		},
		"a batch with a held key": func(ctx context.Context) (int, error) {
			key++
			var b runtime.Batch
			call := func() *runtime.Handle[jsonText] {
				return runtime.AddTo(&b, echoCall(`1`, runtime.WithKey(fmt.Sprint("k", key), time.Hour)))
			}
			first, second := call(), call()
			err := b.Enqueue(ctx, app)
			if err == nil {
				assert.False(t, first.Existing())
				assert.True(t, second.Existing())
				assert.Equal(t, first.ID(), second.ID())
			}
			return 1, err
		},
		"a large batch": func(ctx context.Context) (int, error) {
			var b runtime.Batch
			for range 300 {
				runtime.AddTo(&b, echoCall(`1`))
			}
			return 300, b.Enqueue(ctx, app)
		},
	} {
		t.Run(kind, func(t *testing.T) {
			_, err := enqueue(t.Context())
			require.NoError(t, err)
			for _, before := range []bool{true, false} {
				cut := 0
				for n := int64(1); n < 30; n++ {
					was := countJobs(t, pool, schema)
					proxy.Cut(n, before)
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					want, err := enqueue(ctx)
					cancel()
					require.NoError(t, err, "request %d was cut (before: %v)", n, before)
					require.Equal(t, want, countJobs(t, pool, schema)-was, "request %d was cut (before: %v)", n, before)
					if !proxy.WasCut() {
						break
					}
					cut++
				}
				assert.Positive(t, cut)
			}
		})
	}
}

// TestEnqueue_EndedContextIsUncertain: an enqueue whose context ends while it is
// under way says that it is not known whether it was stored, and under which id;
// one that says anything else has stored nothing.
//
// Proves: RELIABILITY 27
func TestEnqueue_EndedContextIsUncertain(t *testing.T) {
	app, proxy, pool, schema := newProxied(t, runtime.Config{}, postgres.Config{})
	_, err := echoCall(`1`).Enqueue(t.Context(), app) // reserves some numbers
	require.NoError(t, err)
	uncertain := 0
	for i := range 6 {
		was := countJobs(t, pool, schema)
		var opts []runtime.Option
		if i%2 == 1 {
			opts = append(opts, runtime.WithKey(fmt.Sprint("k", i), time.Hour))
		}
		resume := proxy.Pause()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		began := time.Now()
		_, err := echoCall(`1`, opts...).Enqueue(ctx, app)
		cancel()
		assert.Less(t, time.Since(began), 2*time.Second)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		resume()
		time.Sleep(50 * time.Millisecond) // what was sent arrives
		stored := countJobs(t, pool, schema) - was
		u, ok := errors.AsType[*engine.UncertainError](err)
		if !ok {
			assert.Zero(t, stored, "%v", err)
			continue
		}
		uncertain++
		require.Len(t, u.IDs, 1)
		assert.NotEqual(t, uuid.Nil, u.IDs[0])
		_, err = app.Lookup(t.Context(), u.IDs[0])
		if stored == 0 {
			assert.ErrorIs(t, err, engine.ErrNotFound)
		} else {
			assert.NoError(t, err)
		}
	}
	assert.Positive(t, uncertain)
}

// TestHandle_WaitGoesOnOverALostConnection: Wait returns the result although the
// connections were cut and the server was silent meanwhile.
func TestHandle_WaitGoesOnOverALostConnection(t *testing.T) {
	app, proxy, _, _ := newProxied(t, runtime.Config{Workers: 1}, postgres.Config{})
	h, err := echoCall(`1`).Enqueue(t.Context(), app)
	require.NoError(t, err)
	type answer struct {
		v   jsonText
		err error
	}
	waited := make(chan answer, 1)
	go func() {
		v, err := h.Wait(t.Context())
		waited <- answer{v, err}
	}()
	for n := range 5 {
		proxy.Cut(1, n%2 == 0)
		require.Eventually(t, proxy.WasCut, time.Minute, time.Millisecond)
	}
	require.NoError(t, app.Start(t.Context()))
	defer app.Stop(context.Background())
	a := <-waited
	require.NoError(t, a.err)
	assert.JSONEq(t, `1`, string(a.v))
}

// TestTx_SharedPoolOfAnySize: transactions of the caller's hold every connection of
// its pool, of which the engine takes none.
//
// Proves: RELIABILITY 26
func TestTx_SharedPoolOfAnySize(t *testing.T) {
	url := servertest.Postgres(t)
	for _, size := range []int32{1, 2, 5} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			pc, err := pgxpool.ParseConfig(url)
			require.NoError(t, err)
			pc.MaxConns = size
			pool, err := pgxpool.NewWithConfig(ctx, pc)
			require.NoError(t, err)
			defer pool.Close()
			e, err := postgres.New(ctx, pool, postgres.Config{Schema: newSchema(t, url), Logger: testLog(t)})
			require.NoError(t, err)
			defer e.Close()
			app := runtime.New(e, runtime.Config{Workers: 4, Logger: testLog(t)})
			glue.Register(app, echoTask, func(ctx context.Context, a *echoArgs) (jsonText, error) {
				tx, err := pool.Begin(ctx) // with the rest of them held by others
				if err != nil {
					return nil, err
				}
				defer tx.Rollback(ctx)
				if c, ok := runtime.FromContext(ctx); ok {
					c.Progress(1, 2, "half")
				}
				return a.v, tx.Commit(ctx)
			})
			require.NoError(t, app.Start(ctx))
			defer app.Stop(context.Background())
			began := make(chan struct{})
			results := make(chan error, 3*size)
			for i := range 3 * size {
				go func() { results <- enqueueInTx(ctx, app, pool, i, began) }()
			}
			close(began)
			for range 3 * size {
				require.NoError(t, <-results)
			}
		})
	}
}

// enqueueInTx enqueues in a transaction and out of it, and waits for both.
func enqueueInTx(ctx context.Context, app *runtime.App, pool *pgxpool.Pool, i int32, began <-chan struct{}) error {
	<-began
	tx, err := pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)
	keep := runtime.WithKeep(time.Hour + time.Duration(i)) // another one each
	in, err := echoCall(`1`, keep).Enqueue(ctx, app.In(tx))
	if err != nil {
		return err
	}
	out, err := echoCall(`1`, keep, runtime.WithKey(fmt.Sprint("k", i), time.Hour)).Enqueue(ctx, app)
	if err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	_, err = in.Wait(ctx)
	if err == nil {
		_, err = out.Wait(ctx)
	}
	return err
}
