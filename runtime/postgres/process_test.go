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
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/postgres"
)

// How hard to test: by default a few seconds' worth.
var (
	flagKills = flag.Int("kills", 4, "how often worker processes are killed")
	flagTasks = flag.Int("tasks", 1500, "how many tasks run meanwhile")
)

// The environment of a worker process: this binary, started again.
const (
	envWorker = "POSTGRES_TEST_WORKER"
	envSchema = "POSTGRES_TEST_SCHEMA"
	envSlots  = "POSTGRES_TEST_SLOTS"
)

// processLease is the lease of worker processes.
const processLease = 1500 * time.Millisecond

// step is what worker processes run: it notes each of its runs in a table.
type stepArgs struct {
	n     int
	sleep int // milliseconds
}

func (a *stepArgs) fields(f *runtime.Fields) {
	f.Int("n", &a.n)
	f.Int("sleep", &a.sleep)
}

var stepTask = runtime.NewTask[stepArgs, int](runtime.Spec{
	Name: "process.step", Func: "step", Retries: 50, Delay: 10 * time.Millisecond,
	Params: []runtime.Param{{Name: "n", Sig: "int"}, {Name: "sleep", Sig: "int"}},
}, (*stepArgs).fields)

func stepCall(n, sleep int, opts ...runtime.Option) runtime.Call[int] {
	a := stepArgs{n, sleep}
	return stepTask.Call(a.fields, opts)
}

// registerStep registers the task, with its ledger on the pool.
func registerStep(app *runtime.App, pool *pgxpool.Pool, schema string) {
	insert := "INSERT INTO " + schema + ".ledger VALUES ($1, $2, $3)"
	runtime.Register(app, stepTask, func(ctx *runtime.Context, a *stepArgs) (int, error) {
		// A run that cannot be noted did not happen: it is tried until it is.
		for {
			if _, err := pool.Exec(context.WithoutCancel(ctx), insert, a.n, ctx.Metadata().Attempt, os.Getpid()); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if a.sleep > 0 {
			if err := ctx.Sleep(time.Duration(a.sleep) * time.Millisecond); err != nil {
				return 0, err
			}
		}
		return a.n, nil
	})
}

// workerMain is a worker process. It works until it is told to stop.
func workerMain() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	url, schema := os.Getenv(envWorker), os.Getenv(envSchema)
	slots, err := strconv.Atoi(os.Getenv(envSlots))
	if err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	e, err := postgres.Open(ctx, url, postgres.Config{Schema: schema, Lease: processLease, Migrations: postgres.MigrationsCheck})
	if err != nil {
		return err
	}
	app := runtime.New(e, runtime.Config{Workers: slots})
	registerStep(app, pool, schema)
	return errors.Join(app.Run(ctx), e.Close())
}

// crew is a schema with a ledger, and worker processes on it.
type crew struct {
	tb     testing.TB
	url    string
	schema string
	pool   *pgxpool.Pool
	engine *postgres.Engine
	app    *runtime.App // enqueues only

	mu      sync.Mutex
	workers []*exec.Cmd
}

func newCrew(tb testing.TB, url string) *crew {
	tb.Helper()
	ctx := context.Background()
	c := &crew{tb: tb, url: url, schema: newSchema(tb, url)}
	var err error
	if c.pool, err = pgxpool.New(ctx, url); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.pool.Close)
	c.engine = open(tb, url, postgres.Config{Schema: c.schema, Lease: processLease})
	c.exec("CREATE TABLE " + c.schema + ".ledger (n bigint, attempt int, pid int)")
	c.app = runtime.New(c.engine, runtime.Config{Logger: testLog(tb)})
	tb.Cleanup(c.killAll)
	return c
}

func (c *crew) exec(sql string) {
	c.tb.Helper()
	if _, err := c.pool.Exec(context.Background(), sql); err != nil {
		c.tb.Fatal(err)
	}
}

// count returns the one number that the query gives.
func (c *crew) count(sql string, args ...any) (n int) {
	c.tb.Helper()
	if err := c.pool.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		c.tb.Fatal(err)
	}
	return n
}

// hire starts a worker process.
func (c *crew) hire(slots int) *exec.Cmd {
	c.tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envWorker+"="+c.url, envSchema+"="+c.schema, fmt.Sprintf("%s=%d", envSlots, slots))
	if testing.Verbose() {
		cmd.Stderr = os.Stderr
	}
	if err := cmd.Start(); err != nil {
		c.tb.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.workers = append(c.workers, cmd)
	return cmd
}

func (c *crew) killAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.workers {
		if w.ProcessState == nil {
			_ = w.Process.Kill()
			_ = w.Wait()
		}
	}
}

// dismiss stops a worker process in an orderly way.
func (c *crew) dismiss(w *exec.Cmd) {
	c.tb.Helper()
	if err := w.Process.Signal(syscall.SIGTERM); err != nil {
		c.tb.Fatal(err)
	}
	if err := w.Wait(); err != nil {
		c.tb.Errorf("a worker that was told to stop: %v", err)
	}
}

// fill enqueues tasks from..to in batches, each sleeping up to so many
// milliseconds.
func (c *crew) fill(from, to, sleep int) []uuid.UUID {
	c.tb.Helper()
	var ids []uuid.UUID
	for from < to {
		var b runtime.Batch
		var hs []*runtime.Handle[int]
		for ; from < to && len(hs) < 500; from++ {
			ms := 0
			if sleep > 0 {
				ms = rand.N(sleep)
			}
			hs = append(hs, runtime.AddTo(&b, stepCall(from, ms)))
		}
		if err := b.Enqueue(context.Background(), c.app); err != nil {
			c.tb.Fatal(err)
		}
		for _, h := range hs {
			ids = append(ids, h.ID())
		}
	}
	return ids
}

// left returns how many jobs have not ended.
func (c *crew) left() int {
	return c.count("SELECT count(*) FROM " + c.schema + ".river_job WHERE finalized_at IS NULL")
}

// until waits for a condition.
func (c *crew) until(what string, f func() bool) {
	c.tb.Helper()
	for end := time.Now().Add(2*time.Minute + time.Duration(*flagTasks)*10*time.Millisecond); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			c.tb.Fatalf("waited in vain: %s", what)
		}
	}
}

// audit returns how many of n tasks were lost, how many runs were too many, and
// how many ended otherwise than by success.
func (c *crew) audit(n int) (lost, extra, bad int) {
	c.tb.Helper()
	lost = n - c.count("SELECT count(DISTINCT n) FROM "+c.schema+".ledger")
	extra = c.count("SELECT count(*) - count(DISTINCT n) FROM " + c.schema + ".ledger")
	bad = n - c.count("SELECT count(*) FROM "+c.schema+".river_job WHERE state = 'completed'")
	return lost, extra, bad
}

// TestKilledWorkers kills worker processes again and again while tasks run.
func TestKilledWorkers(t *testing.T) {
	slow(t)
	const crewSize, slots = 2, 8
	c := newCrew(t, servertest.Postgres(t))
	c.fill(0, *flagTasks, 5)
	var workers []*exec.Cmd
	for range crewSize {
		workers = append(workers, c.hire(slots))
	}
	var recovery time.Duration
	for kill := range *flagKills {
		before := c.count("SELECT count(*) FROM " + c.schema + ".ledger")
		target := min(before+*flagTasks/(2**flagKills)+1, before+2000)
		c.until("tasks run", func() bool {
			return c.count("SELECT count(*) FROM "+c.schema+".ledger") >= target || c.left() == 0
		})
		w := workers[kill%crewSize]
		if err := w.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = w.Wait()
		workers[kill%crewSize] = c.hire(slots)
	}
	killed := time.Now()
	c.until("all tasks end", func() bool { return c.left() == 0 })
	recovery = time.Since(killed)
	for _, w := range workers {
		c.dismiss(w)
	}
	lost, extra, bad := c.audit(*flagTasks)
	t.Logf("%d kills over %d tasks: %d lost, %d runs too many of at most %d; all done %v after the last kill, lease %v",
		*flagKills, *flagTasks, lost, extra, *flagKills*slots, recovery, processLease)
	if lost != 0 || bad != 0 || extra > *flagKills*slots {
		t.Errorf("%d lost, %d did not succeed, %d runs too many of at most %d", lost, bad, extra, *flagKills*slots)
	}
}

// TestRecovery: after a kill, the tasks of the worker that was killed run again
// within the lease and two heartbeats.
func TestRecovery(t *testing.T) {
	slow(t)
	c := newCrew(t, servertest.Postgres(t))
	first := c.hire(2)
	c.fill(0, 2, 0)
	c.until("the first tasks end", func() bool { return c.left() == 0 })
	other := c.hire(2)
	c.until("the second worker is there", func() bool {
		return c.count("SELECT count(*) FROM "+c.schema+".taskctx_worker WHERE beats > 1") == 2
	})
	// Long tasks, until the first worker has one; kill it then.
	ids := c.fill(2, 6, 0)
	_ = ids
	h, err := stepCall(100, 60_000).Enqueue(t.Context(), c.app)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	c.until("the long task runs", func() bool {
		return c.pool.QueryRow(t.Context(), "SELECT pid FROM "+c.schema+".ledger WHERE n = 100").Scan(&pid) == nil
	})
	victim := first
	if pid == other.Process.Pid {
		victim = other
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait()
	began := time.Now()
	c.until("the long task runs again", func() bool {
		return c.count("SELECT count(*) FROM "+c.schema+".ledger WHERE n = 100") == 2
	})
	took := time.Since(began)
	t.Logf("a task of a killed worker ran again after %v; the lease is %v", took, processLease)
	// The machine may be slow, so this is a multiple of what is promised.
	if took > 4*processLease {
		t.Errorf("it took %v, the lease is %v", took, processLease)
	}
	if err := c.app.Cancel(t.Context(), h.ID(), "enough"); err != nil {
		t.Fatal(err)
	}
	c.until("the task ends", func() bool { return c.left() == 0 })
}

// TestThreeProcesses: each task once, and each process has its share.
func TestThreeProcesses(t *testing.T) {
	slow(t)
	c := newCrew(t, servertest.Postgres(t))
	var workers []*exec.Cmd
	for range 3 {
		workers = append(workers, c.hire(4))
	}
	c.until("all are there", func() bool { return c.count("SELECT count(*) FROM "+c.schema+".taskctx_worker") == 3 })
	const n = 600
	c.fill(0, n, 10)
	c.until("all tasks end", func() bool { return c.left() == 0 })
	for _, w := range workers {
		c.dismiss(w)
	}
	lost, extra, bad := c.audit(n)
	sharers := c.count("SELECT count(DISTINCT pid) FROM " + c.schema + ".ledger")
	if lost != 0 || extra != 0 || bad != 0 || sharers != 3 {
		t.Errorf("%d lost, %d runs too many, %d did not succeed, on %d of 3 processes", lost, extra, bad, sharers)
	}
	if left := c.count("SELECT count(*) FROM " + c.schema + ".taskctx_worker"); left != 0 {
		t.Errorf("%d workers that have stopped are still listed", left)
	}
}

// TestSuspendedWorker: a process that was stopped for longer than its lease,
// while another ran its task, writes nothing when it goes on.
func TestSuspendedWorker(t *testing.T) {
	slow(t)
	c := newCrew(t, servertest.Postgres(t))
	first := c.hire(1)
	h, err := stepCall(1, 4000).Enqueue(t.Context(), c.app)
	if err != nil {
		t.Fatal(err)
	}
	c.until("the task runs", func() bool { return c.count("SELECT count(*) FROM "+c.schema+".ledger") == 1 })
	if err := first.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	second := c.hire(1)
	c.until("the task runs again", func() bool { return c.count("SELECT count(*) FROM "+c.schema+".ledger") == 2 })
	if err := first.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if n, err := h.Wait(ctx); err != nil || n != 1 {
		t.Errorf("Wait returned %d, %v", n, err)
	}
	rec, err := c.app.Lookup(ctx, h.ID())
	if err != nil {
		t.Fatal(err)
	}
	var owner string
	if err := c.pool.QueryRow(ctx, "SELECT attempted_by[array_upper(attempted_by, 1)] FROM "+c.schema+".river_job").Scan(&owner); err != nil {
		t.Fatal(err)
	}
	if rec.Attempt != 1 {
		t.Errorf("Attempt is %d, want that of the second run, 1", rec.Attempt)
	}
	c.dismiss(first)
	c.dismiss(second)
	if _, extra, _ := c.audit(1); extra != 1 {
		t.Errorf("the task ran %d times, want twice", extra+1)
	}
}

// TestServerRestart stops, kills and starts the server while tasks are enqueued
// and run. The worker lives on, so that nothing may run twice.
func TestServerRestart(t *testing.T) {
	slow(t)
	server := servertest.NewPostgres(t)
	c := newCrew(t, server.URL)
	worker := c.hire(8)
	var acknowledged sync.Map // the ids of tasks that were enqueued
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for p := range 4 {
		wg.Go(func() {
			for n := p; ; n += 4 {
				select {
				case <-stop:
					return
				default:
				}
				h, err := stepCall(n, 2).Enqueue(context.Background(), c.app)
				if err != nil {
					time.Sleep(5 * time.Millisecond)
					continue // it may have been stored: then it runs, once
				}
				acknowledged.Store(n, h.ID())
			}
		})
	}
	for _, end := range []func(testing.TB){server.Stop, server.Kill, server.Stop} {
		time.Sleep(700 * time.Millisecond)
		end(t)
		time.Sleep(2 * processLease)
		server.Start(t)
	}
	time.Sleep(700 * time.Millisecond)
	close(stop)
	wg.Wait()
	c.until("all tasks end", func() bool {
		var n int
		return c.pool.QueryRow(context.Background(), "SELECT count(*) FROM "+c.schema+".river_job WHERE finalized_at IS NULL").Scan(&n) == nil && n == 0
	})
	c.dismiss(worker)
	total, lost := 0, 0
	acknowledged.Range(func(n, _ any) bool {
		total++
		if c.count("SELECT count(*) FROM "+c.schema+".ledger WHERE n = $1", n) == 0 {
			lost++
		}
		return true
	})
	// The ledger's own row may be written twice, when its answer was lost.
	extra := c.count("SELECT count(*) FROM " + c.schema + ".river_job WHERE attempt <> 1")
	t.Logf("3 restarts over %d tasks: %d lost, %d run again", total, lost, extra)
	if lost != 0 || extra != 0 || total == 0 {
		t.Errorf("of %d tasks that were enqueued %d were lost, %d run again", total, lost, extra)
	}
}
