//go:build unix

package postgres_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/internal/servertest/process"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/hook"
	"github.com/taskctx/taskctx/runtime/inspect"
	"github.com/taskctx/taskctx/runtime/postgres"
)

var (
	effectTasks = flag.Int("effects", 300, "how many tasks TestCommit_Killed runs")
	effectKills = flag.Int("effectkills", 6, "how often it kills a worker; every fifth time the server")
)

// The environment of a worker process whose tasks have effects: where, and whether
// it commits apart from the task's end.
const (
	envEffects = "POSTGRES_TEST_EFFECTS"
	envApart   = "POSTGRES_TEST_APART"
)

var txKey = runtime.NewKey[pgx.Tx]("tx", runtime.PerTask, nil)

// registerEffect registers a task that adds a row and one to a counter.
func registerEffect(app *runtime.App, pool *pgxpool.Pool, schema string, apart bool) {
	glue.Register(app, rowTask, func(ctx *runtime.Context, x *rowArgs) (int, error) {
		tx, err := txKey.Provide(ctx, func(context.Context) (pgx.Tx, func(error) error, error) {
			tx, err := pool.Begin(ctx)
			if err != nil || !apart {
				return tx, runtime.Commit(ctx, tx), err
			}
			return tx, func(err error) error {
				if err != nil {
					return tx.Rollback(context.Background())
				}
				return tx.Commit(context.Background())
			}, nil
		})
		if err != nil {
			return 0, err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO "+schema+".effects VALUES ($1)", x.n); err != nil {
			return 0, err
		}
		_, err = tx.Exec(ctx, "UPDATE "+schema+".counter SET n = n + 1")
		return x.n, err
	})
}

// effectsMain is a worker process.
func effectsMain(schema string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := func() error {
		url := os.Getenv(envURL)
		pool, err := pgxpool.New(ctx, url)
		if err != nil {
			return err
		}
		defer pool.Close()
		e, err := postgres.Open(ctx, url, postgres.Config{
			Schema: schema, Lease: process.Lease, Migrations: postgres.MigrationsCheck, Logger: quiet,
		})
		if err != nil {
			return err
		}
		app := runtime.New(e, runtime.Config{Workers: 4, Logger: quiet, RetryPolicy: soon})
		registerEffect(app, pool, schema, os.Getenv(envApart) != "")
		return errors.Join(app.Run(ctx), e.Close())
	}()
	if err != nil {
		os.Exit(1) // the server is away: the test hires another
	}
}

func soon(inspect.Metadata, error) time.Duration { return 5 * time.Millisecond }

// effects is a schema with what the tasks write.
type effects struct {
	t      *testing.T
	schema string
	pool   *pgxpool.Pool
	app    *runtime.App
	e      *postgres.Engine
}

func newEffects(t *testing.T, url string) *effects {
	ctx := context.Background()
	f := &effects{t: t, schema: newSchema(t, url)}
	var err error
	f.pool, err = pgxpool.New(ctx, url)
	require.NoError(t, err)
	t.Cleanup(f.pool.Close)
	f.e = open(t, url, postgres.Config{Schema: f.schema, Lease: process.Lease, Logger: quiet})
	f.app = runtime.New(f.e, runtime.Config{Logger: quiet})
	_, err = f.pool.Exec(ctx, fmt.Sprintf("CREATE TABLE %[1]s.effects(n int); CREATE TABLE %[1]s.counter(n int); "+
		"INSERT INTO %[1]s.counter VALUES (0)", f.schema))
	require.NoError(t, err)
	return f
}

func (f *effects) fill(tasks int) {
	for n := 0; n < tasks; {
		var b runtime.Batch
		for ; n < tasks && b.Len() < 500; n++ {
			x := rowArgs{n}
			runtime.AddTo(&b, rowTask.Call(x.fields, []runtime.Option{runtime.WithRetries(10_000)}))
		}
		require.NoError(f.t, b.Enqueue(f.t.Context(), f.app))
	}
}

// count is what there is, and how many tasks have not ended. While the server is
// away it is not known.
func (f *effects) count() (rows, distinct, counter, left int, err error) {
	err = f.pool.QueryRow(context.Background(), fmt.Sprintf(`SELECT count(*), count(DISTINCT n),
		(SELECT n FROM %[1]s.counter), (SELECT count(*) FROM %[1]s.river_job WHERE finalized_at IS NULL)
		FROM %[1]s.effects`, f.schema)).Scan(&rows, &distinct, &counter, &left)
	return rows, distinct, counter, left, err
}

// done is the counter: how often a task has committed.
func (f *effects) done() (n int, err error) {
	err = f.pool.QueryRow(context.Background(), "SELECT n FROM "+f.schema+".counter").Scan(&n)
	return n, err
}

// TestCommit_Killed: workers, and the server, are killed at random while each task
// adds a row and one to a counter. With Commit the effects are as many as the
// tasks; the same with a commit apart from the task's end says how many were twice.
//
// Proves: RELIABILITY 37
//
// Proves: FEATURES 102
func TestCommit_Killed(t *testing.T) {
	slow(t)
	t.Parallel()
	server := servertest.NewPostgres(t)
	for _, apart := range []string{"", "1"} {
		t.Run(map[string]string{"": "Joined", "1": "Apart"}[apart], func(t *testing.T) {
			f := newEffects(t, server.URL)
			f.fill(*effectTasks)
			f.kill(server, envURL+"="+server.URL, envEffects+"="+f.schema, envApart+"="+apart)
			rows, distinct, counter, _, err := f.count()
			require.NoError(t, err)
			if apart != "" {
				t.Logf("%d tasks, %d kills, committed apart: %d effects were twice", *effectTasks, *effectKills, rows-distinct)
				assert.Equal(t, *effectTasks, distinct)
				return
			}
			t.Logf("%d tasks, %d kills: %d effects, %d counted, of %d tasks", *effectTasks, *effectKills, rows, counter, distinct)
			assert.Equal(t, []int{*effectTasks, *effectTasks, *effectTasks}, []int{rows, distinct, counter})
		})
	}
}

// kill runs the tasks in worker processes, which it kills.
func (f *effects) kill(server *servertest.Server, env ...string) {
	t := f.t
	workers := make([]*exec.Cmd, 3)
	hire := func(i int) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), env...)
		require.NoError(t, cmd.Start())
		workers[i] = cmd
	}
	end := func(i int) {
		_ = workers[i].Process.Kill()
		_ = workers[i].Wait()
	}
	for i := range workers {
		hire(i)
		defer func() { end(i) }()
	}
	killed, step := 0, max(*effectTasks/(*effectKills+1), 1)
	limit := time.Now().Add(2*time.Minute + time.Duration(*effectTasks)*50*time.Millisecond)
	for {
		require.True(t, time.Now().Before(limit), "the tasks do not end")
		done, err := f.done()
		left := 1
		if err == nil && done >= *effectTasks {
			_, _, _, left, err = f.count()
		}
		switch {
		case err != nil:
		case killed < *effectKills && done >= (killed+1)*step:
			time.Sleep(rand.N(5 * time.Millisecond))
			if killed++; killed%5 == 0 {
				server.Kill(t)
				server.Start(t)
				continue
			}
			i := rand.N(len(workers))
			end(i)
			hire(i)
			continue
		case left == 0:
			assert.Equal(t, *effectKills, killed)
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestCommit_EachRequest: the connection of the task's transaction is cut before
// and after each of its requests, so that the answer of each is lost once. The
// effects are exactly once.
//
// Proves: FEATURES 102
func TestCommit_EachRequest(t *testing.T) {
	slow(t)
	url := servertest.Postgres(t)
	proxy := servertest.NewProxy(t, url)
	for _, apart := range []bool{false, true} {
		f := newEffects(t, url)
		pool, err := pgxpool.New(t.Context(), proxy.URL)
		require.NoError(t, err)
		defer pool.Close()
		var runs atomic.Int64
		app := runtime.New(f.e, runtime.Config{Workers: 1, Logger: quiet, RetryPolicy: soon, Observers: []hook.Observer{
			observer(func(e hook.Event) {
				if e.Kind == hook.EventStart {
					runs.Add(1)
				}
			}),
		}})
		registerEffect(app, pool, f.schema, apart)
		require.NoError(t, app.Start(t.Context()))
		tasks, cuts := 0, 0
		for _, before := range []bool{true, false} {
			for n := int64(1); ; n++ {
				proxy.Cut(n, before)
				h, err := addRow(tasks).Enqueue(t.Context(), app)
				require.NoError(t, err)
				tasks++
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				_, err = h.Wait(ctx)
				cancel()
				require.NoError(t, err)
				if !proxy.WasCut() {
					break
				}
				cuts++
			}
		}
		require.NoError(t, app.Stop(context.Background()))
		rows, distinct, counter, _, err := f.count()
		require.NoError(t, err)
		t.Logf("apart %v: %d tasks, %d cuts, %d runs: %d effects, %d of them twice", apart, tasks, cuts, runs.Load(), rows, rows-distinct)
		require.Greater(t, cuts, 6)
		if apart {
			assert.Equal(t, tasks, distinct)
			assert.Positive(t, rows-distinct, "a lost answer of the commit")
			continue
		}
		assert.Equal(t, []int{tasks, tasks, tasks}, []int{rows, distinct, counter})
	}
}

// observer is an Observer.
type observer func(hook.Event)

func (o observer) Observe(e hook.Event) { o(e) }
