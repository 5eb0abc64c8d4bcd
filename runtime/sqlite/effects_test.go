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
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/sqlite"
)

var (
	effectTasks = flag.Int("effects", 600, "how many tasks TestCommit_KilledWorkers runs")
	effectKills = flag.Int("effectkills", 8, "how many workers it kills")
)

// envEffects, in the environment, makes the test binary a worker whose tasks have
// effects in the file of that name; envApart makes it commit apart from the end.
const (
	envEffects = "TASKCTX_SQLITE_EFFECTS"
	envApart   = "TASKCTX_SQLITE_APART"
	envPool    = "TASKCTX_SQLITE_POOL"
)

func effectsConfig() sqlite.Config {
	return sqlite.Config{Beside: true, Lease: testLease, PollInterval: 5 * time.Millisecond, Logger: discard}
}

var effectTask = newEffectTask()

func newEffectTask() *runtime.Task[addArgs, int] {
	return runtime.NewTask[addArgs, int](runtime.Spec{
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
		commit := func(ctx *runtime.Context, tx *sql.Tx) func(error) error { return runtime.Commit(ctx, tx) }
		if os.Getenv(envApart) != "" {
			commit = func(ctx *runtime.Context, tx *sql.Tx) func(error) error { return commitApart(ctx, tx) }
		}
		key := runtime.NewKey[*sql.Tx]("tx", runtime.PerTask, nil)
		runtime.Register(app, effectTask, func(ctx *runtime.Context, x *addArgs) (int, error) {
			tx, err := runtime.Provide(ctx, key, func(context.Context) (*sql.Tx, func(error) error, error) {
				tx, err := db.BeginTx(ctx, nil)
				return tx, commit(ctx, tx), err
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

// TestCommit_KilledWorkers: workers are killed at random while each task adds a
// row and one to a counter. With Commit the effects are as many as the tasks; the
// same with a commit apart from the task's end says how many were twice.
//
// Proves: RELIABILITY 37
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
	count := func() (rows, distinct int) {
		require.NoError(t, db.QueryRow("SELECT count(*), count(DISTINCT n) FROM effects").Scan(&rows, &distinct))
		return rows, distinct
	}
	killed, step := 0, max(*effectTasks/(*effectKills+1), 1)
	limit := time.Now().Add(2*time.Minute + time.Duration(*effectTasks)*20*time.Millisecond)
	for {
		require.True(t, time.Now().Before(limit), "the tasks do not end")
		_, done := count()
		if killed < *effectKills && done >= (killed+1)*step {
			i := rand.N(len(workers))
			time.Sleep(rand.N(5 * time.Millisecond))
			require.NoError(t, workers[i].Process.Kill())
			_ = workers[i].Wait()
			hire(i)
			killed++
			continue
		}
		var left int
		require.NoError(t, db.QueryRow("SELECT count(*) FROM taskctx_tasks WHERE state < 8 OR state > 10").Scan(&left))
		if left == 0 {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	assert.Equal(t, *effectKills, killed)
	require.NoError(t, db.QueryRow("SELECT n FROM counter").Scan(&counter))
	rows, distinct = count()
	return rows, distinct, counter
}
