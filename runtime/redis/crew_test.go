package redis_test

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
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/redis"
)

// How hard to test: by default a few seconds' worth.
var (
	flagKills = flag.Int("kills", 4, "how often worker processes are killed")
	flagTasks = flag.Int("tasks", 1500, "how many tasks run meanwhile")
)

// The environment of a worker process: this binary, started again.
const (
	envWorker = "REDIS_TEST_WORKER"
	envSlots  = "REDIS_TEST_SLOTS"
)

// processLease is the lease of worker processes.
const processLease = 1500 * time.Millisecond

// ledger is a hash with a field for each run of a step: its number, attempt,
// process and what makes it unlike any other. Noting a run twice is noting it
// once.
const ledger = "test:ledger"

// step is what worker processes run: it notes each of its runs in the ledger.
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

// registerStep registers the task, with its ledger on the server.
func registerStep(app *runtime.App, db *goredis.Client) {
	runtime.Register(app, stepTask, func(ctx *runtime.Context, a *stepArgs) (int, error) {
		run := fmt.Sprintf("%d/%d/%d/%d", a.n, ctx.Metadata().Attempt, os.Getpid(), rand.Uint64())
		// A run that cannot be noted did not happen: it is tried until it is.
		for db.HSet(context.WithoutCancel(ctx), ledger, run, "").Err() != nil {
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

func client(url string) (*goredis.Client, error) {
	o, err := goredis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	return goredis.NewClient(o), nil
}

// workerMain is a worker process. It works until it is told to stop.
func workerMain() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	url := os.Getenv(envWorker)
	slots, err := strconv.Atoi(os.Getenv(envSlots))
	if err != nil {
		return err
	}
	db, err := client(url)
	if err != nil {
		return err
	}
	e, err := redis.Open(ctx, url, redis.Config{Lease: processLease})
	if err != nil {
		return errors.Join(err, db.Close())
	}
	app := runtime.New(e, runtime.Config{Workers: slots})
	registerStep(app, db)
	return errors.Join(app.Run(ctx), e.Close(), db.Close())
}

// crew is a database with a ledger, and worker processes on it.
type crew struct {
	tb     testing.TB
	url    string
	db     *goredis.Client
	engine *redis.Engine
	app    *runtime.App // enqueues only

	mu      sync.Mutex
	workers []*exec.Cmd
}

func newCrew(tb testing.TB, url string) *crew {
	tb.Helper()
	c := &crew{tb: tb, url: url}
	var err error
	if c.db, err = client(url); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.db.Close() })
	c.engine = open(tb, url, redis.Config{Lease: processLease})
	c.app = runtime.New(c.engine, runtime.Config{Logger: testLog(tb)})
	tb.Cleanup(c.killAll)
	return c
}

// hire starts a worker process.
func (c *crew) hire(slots int) *exec.Cmd {
	c.tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envWorker+"="+c.url, fmt.Sprintf("%s=%d", envSlots, slots))
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

// size returns how many tasks asynq's collections hold.
func (c *crew) size(collections ...string) (n int) {
	c.tb.Helper()
	all, err := c.trySize(collections...)
	if err != nil {
		c.tb.Fatal(err)
	}
	return all
}

func (c *crew) trySize(collections ...string) (n int, err error) {
	p := c.db.TxPipeline()
	var sizes []*goredis.IntCmd
	for _, name := range collections {
		key := "asynq:{" + runtime.DefaultQueue + "}:" + name
		if name == "pending" || name == "active" {
			sizes = append(sizes, p.LLen(context.Background(), key))
		} else {
			sizes = append(sizes, p.ZCard(context.Background(), key))
		}
	}
	_, err = p.Exec(context.Background())
	for _, s := range sizes {
		n += int(s.Val())
	}
	return n, err
}

// left returns how many tasks have not ended.
func (c *crew) left() int { return c.size("pending", "active", "scheduled", "retry") }

// runs returns how many runs the ledger has.
func (c *crew) runs() int {
	c.tb.Helper()
	n, err := c.db.HLen(context.Background(), ledger).Result()
	if err != nil {
		c.tb.Fatal(err)
	}
	return int(n)
}

// note is a run in the ledger.
type note struct{ n, attempt, pid int }

func (c *crew) notes() []note {
	c.tb.Helper()
	fields, err := c.db.HKeys(context.Background(), ledger).Result()
	if err != nil {
		c.tb.Fatal(err)
	}
	ns := make([]note, len(fields))
	for i, f := range fields {
		r := &ns[i]
		if _, err := fmt.Sscanf(strings.ReplaceAll(f, "/", " "), "%d %d %d", &r.n, &r.attempt, &r.pid); err != nil {
			c.tb.Fatalf("the ledger has %q: %v", f, err)
		}
	}
	return ns
}

// present returns how many workers have a count.
func (c *crew) present() int {
	c.tb.Helper()
	keys, err := c.db.Keys(context.Background(), "taskctx:beat:*").Result()
	if err != nil {
		c.tb.Fatal(err)
	}
	return len(keys)
}

// until waits for a condition.
func (c *crew) until(what string, f func() bool) {
	c.tb.Helper()
	end := time.Now().Add(2*time.Minute + time.Duration(*flagTasks)*10*time.Millisecond)
	for ; !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			c.tb.Fatalf("waited in vain: %s", what)
		}
	}
}

// audit returns how many of n tasks were lost, how many runs were too many, and
// how many ended otherwise than by success.
func (c *crew) audit(n int) (lost, extra, bad int) {
	c.tb.Helper()
	notes := c.notes()
	distinct := make(map[int]bool)
	for _, r := range notes {
		distinct[r.n] = true
	}
	return n - len(distinct), len(notes) - len(distinct), n - c.size("completed")
}
