//go:build unix

package sqlite_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/sqlite"
	"github.com/taskctx/taskctx/runtime/wire"
)

var (
	effectTasks = flag.Int("effects", 600, "how many tasks TestCommit_KilledWorkers runs")
	effectKills = flag.Int("effectkills", 8, "how many workers it kills")
)

// envEffects, in the environment, makes the test binary a worker whose tasks have
// effects in the file of that name; envApart makes it commit apart from the end;
// envDies, "3" or "-3", lets it die by SIGKILL after or before the third request of
// its tasks' transactions.
const (
	envEffects = "TASKCTX_SQLITE_EFFECTS"
	envApart   = "TASKCTX_SQLITE_APART"
	envPool    = "TASKCTX_SQLITE_POOL"
	envDies    = "TASKCTX_SQLITE_DIES"
)

func effectsConfig() sqlite.Config {
	return sqlite.Config{Beside: true, Lease: testLease, PollInterval: 5 * time.Millisecond, Logger: discard}
}

var effectTask = newEffectTask()

func newEffectTask() *glue.Task[addArgs, int] {
	return glue.NewTask[addArgs, int](wire.Spec{
		Name: "effects.Add", Func: "Add", Retries: 10_000, Delay: time.Millisecond, Backoff: 1,
	}, (*addArgs).fields)
}

// effectsMain is a worker process.
func effectsMain(path string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := func() error {
		db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(10000)")
		if err != nil {
			return err
		}
		n, _ := strconv.Atoi(os.Getenv(envPool))
		db.SetMaxOpenConns(n)
		e, err := sqlite.Open(path, effectsConfig())
		if err != nil {
			return err
		}
		app := runtime.New(e, runtime.Config{Workers: 4, Logger: discard})
		dies, _ := strconv.Atoi(os.Getenv(envDies))
		registerEffects(app, db, os.Getenv(envApart) != "", &dying{at: dies})
		if err := app.Run(ctx); err != nil {
			return err
		}
		return e.Close()
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

// registerEffects registers a task that adds a row and one to a counter.
func registerEffects(app *runtime.App, db *sql.DB, apart bool, d *dying) {
	key := runtime.NewKey[dyingTx]("tx", runtime.PerTask, nil)
	glue.Register(app, effectTask, func(ctx *runtime.Context, x *addArgs) (int, error) {
		tx, err := key.Provide(ctx, func(context.Context) (dyingTx, func(error) error, error) {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return dyingTx{}, nil, err
			}
			t := dyingTx{tx, d}
			if apart {
				return t, commitApart(ctx, t), nil
			}
			return t, runtime.Commit(ctx, t), nil
		})
		if err != nil {
			return 0, err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES (?)", x.a); err != nil {
			return 0, err
		}
		_, err = tx.ExecContext(ctx, "UPDATE counter SET n = n + 1")
		return x.a, err
	})
}

// dying ends this process around the request of number at, before it if that is
// negative.
type dying struct {
	at int
	n  atomic.Int64
}

func (d *dying) around(request func()) {
	n := int(d.n.Add(1))
	d.here(-n)
	request()
	d.here(n)
}

func (d *dying) here(n int) {
	if d.at != 0 && d.at == n {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// dyingTx is a transaction whose requests the process may die of.
type dyingTx struct {
	*sql.Tx
	d *dying
}

func (t dyingTx) ExecContext(ctx context.Context, query string, args ...any) (r sql.Result, err error) {
	t.d.around(func() { r, err = t.Tx.ExecContext(ctx, query, args...) })
	return r, err
}

func (t dyingTx) QueryRowContext(ctx context.Context, query string, args ...any) (r *sql.Row) {
	t.d.around(func() { r = t.Tx.QueryRowContext(ctx, query, args...) })
	return r
}

func (t dyingTx) Commit() (err error) {
	t.d.around(func() { err = t.Tx.Commit() })
	return err
}

// TestCommit_EachStatement: the worker dies before and after each request of the
// task's transaction, those of the engine and the commit included. The effects are
// exactly once.
//
// Proves: RELIABILITY 37
//
// Proves: FEATURES 102
func TestCommit_EachStatement(t *testing.T) {
	for _, apart := range []string{"", "1"} {
		path := filepath.Join(t.TempDir(), "app.db")
		db := appDB(t, path)
		_, err := db.Exec("CREATE TABLE effects(n INTEGER); CREATE TABLE counter(n INTEGER); INSERT INTO counter VALUES (0)")
		require.NoError(t, err)
		app := runtime.New(open(t, path, effectsConfig()), runtime.Config{Logger: discard})
		registerEffects(app, db, apart != "", new(dying))
		tasks, deaths := 0, 0
		for _, sign := range []int{-1, 1} {
			for n, died := 1, true; died; n++ {
				h, err := add(effectTask, tasks, 0).Enqueue(t.Context(), app)
				require.NoError(t, err)
				tasks++
				if died = dieAt(t, path, sign*n, apart); died {
					deaths++
				}
				require.NoError(t, app.Start(t.Context()))
				_, err = h.Wait(t.Context())
				require.NoError(t, err)
				require.NoError(t, app.Stop(context.Background()))
			}
		}
		var rows, distinct, counter int
		require.NoError(t, db.QueryRow("SELECT count(*), count(DISTINCT n), (SELECT n FROM counter) FROM effects").
			Scan(&rows, &distinct, &counter))
		t.Logf("apart %q: %d tasks, %d deaths: %d effects, %d of them twice", apart, tasks, deaths, rows, rows-distinct)
		assert.Equal(t, tasks, distinct)
		if apart != "" {
			assert.Equal(t, 1, rows-distinct, "a death right after the commit")
			continue
		}
		assert.Greater(t, deaths, 10)
		assert.Equal(t, []int{tasks, tasks}, []int{rows, counter})
	}
}

// dieAt runs a worker that dies around the request of that number, and reports
// whether it did. One that does not is stopped when no task is left.
func dieAt(t *testing.T, path string, at int, apart string) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envEffects+"="+path, envPool+"=2", envApart+"="+apart, fmt.Sprint(envDies, "=", at))
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	db := appDB(t, path)
	for {
		select {
		case <-ended:
			return true
		case <-time.After(20 * time.Millisecond):
		}
		var left int
		require.NoError(t, db.QueryRow("SELECT count(*) FROM taskctx_tasks WHERE state < 8 OR state > 10").Scan(&left))
		if left > 0 {
			continue
		}
		select { // the request may be the last one, after which no task is left
		case <-ended:
			return true
		case <-time.After(500 * time.Millisecond):
		}
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, <-ended)
		return false
	}
}

// TestCommit_KilledWorkers: workers are killed at random while each task adds a
// row and one to a counter. With Commit the effects are as many as the tasks; the
// same with a commit apart from the task's end says how many were twice.
//
// Proves: RELIABILITY 37
//
// Proves: FEATURES 102
func TestCommit_KilledWorkers(t *testing.T) {
	for _, pool := range []int{1, 2} {
		t.Run(fmt.Sprintf("Pool%d", pool), func(t *testing.T) {
			rows, distinct, counter := killEffects(t, fmt.Sprint(envPool, "=", pool))
			t.Logf("%d tasks, %d kills, pools of %d: %d effects, %d counted, of %d tasks",
				*effectTasks, *effectKills, pool, rows, counter, distinct)
			assert.Equal(t, []int{*effectTasks, *effectTasks, *effectTasks}, []int{rows, distinct, counter})
		})
	}
	t.Run("Apart", func(t *testing.T) {
		rows, distinct, _ := killEffects(t, envPool+"=2", envApart+"=1")
		t.Logf("%d tasks, %d kills, committed apart: %d effects were twice", *effectTasks, *effectKills, rows-distinct)
		assert.Equal(t, *effectTasks, distinct)
	})
}

// killEffects runs the tasks, and kills workers meanwhile.
func killEffects(t *testing.T, env ...string) (rows, distinct, counter int) {
	path := filepath.Join(t.TempDir(), "app.db")
	db := appDB(t, path)
	_, err := db.Exec("CREATE TABLE effects(n INTEGER); CREATE TABLE counter(n INTEGER); INSERT INTO counter VALUES (0)")
	require.NoError(t, err)
	app := runtime.New(open(t, path, effectsConfig()), runtime.Config{Logger: discard})
	for n := 0; n < *effectTasks; {
		var b runtime.Batch
		for ; n < *effectTasks && b.Len() < 500; n++ {
			runtime.AddTo(&b, add(effectTask, n, 0))
		}
		require.NoError(t, b.Enqueue(t.Context(), app))
	}
	workers := make([]*exec.Cmd, 3)
	defer func() {
		for _, w := range workers {
			if w != nil {
				_ = w.Process.Kill()
				_ = w.Wait()
			}
		}
	}()
	hire := func(i int) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(append(os.Environ(), envEffects+"="+path), env...)
		cmd.Stderr = os.Stderr
		require.NoError(t, cmd.Start())
		workers[i] = cmd
	}
	for i := range workers {
		hire(i)
	}
	number := func(query string) (n int) {
		require.NoError(t, db.QueryRow(query).Scan(&n))
		return n
	}
	killed, step := 0, max(*effectTasks/(*effectKills+1), 1)
	limit := time.Now().Add(2*time.Minute + time.Duration(*effectTasks)*20*time.Millisecond)
	for {
		require.True(t, time.Now().Before(limit), "the tasks do not end")
		done := number("SELECT n FROM counter")
		if killed < *effectKills && done >= (killed+1)*step {
			i := rand.N(len(workers))
			time.Sleep(rand.N(5 * time.Millisecond))
			require.NoError(t, workers[i].Process.Kill())
			_ = workers[i].Wait()
			hire(i)
			killed++
			continue
		}
		if done >= *effectTasks && number("SELECT count(*) FROM taskctx_tasks WHERE state < 8 OR state > 10") == 0 {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	assert.Equal(t, *effectKills, killed)
	require.NoError(t, db.QueryRow("SELECT count(*), count(DISTINCT n), (SELECT n FROM counter) FROM effects").
		Scan(&rows, &distinct, &counter))
	return rows, distinct, counter
}
