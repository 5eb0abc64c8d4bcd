//go:build unix

package process

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// Flags for the size of the tests: the default takes a few seconds.
var (
	kills = flag.Int("kills", 4, "how often worker processes are killed")
	tasks = flag.Int("tasks", 1500, "how many tasks run meanwhile")
)

// envSlots is set for worker processes.
const envSlots = "TASKCTX_TEST_SLOTS"

// heeds is the file that a worker process closes once it heeds a signal.
const heeds = 3

// Main must be called first by a TestMain. It returns in the test process; in
// a worker process it works, with the slots, until that is stopped, and exits.
func Main(work func(ctx context.Context, slots int) error) {
	slots, err := strconv.Atoi(os.Getenv(envSlots))
	if err != nil {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	_ = os.NewFile(heeds, "heeds").Close()
	if err := work(ctx, slots); err != nil && !(ctx.Err() != nil && errors.Is(err, context.Canceled)) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Storage is an engine's storage, for tests. Its methods may be called while
// the server is away.
type Storage interface {
	// Left returns how many tasks have not ended.
	Left() (int, error)
	// Succeeded returns how many have succeeded.
	Succeeded() (int, error)
	// Workers returns how many workers are known.
	Workers() (int, error)
	// Runs returns the runs in the ledger.
	Runs() ([]Run, error)
}

// Crew is worker processes on one storage.
type Crew struct {
	tb  testing.TB
	s   Storage
	env []string
	app *runtime.App

	mu      sync.Mutex
	workers []*exec.Cmd            // guarded by mu
	heeding map[*exec.Cmd]*os.File // guarded by mu; ends when the worker heeds a signal
}

// NewCrew returns a crew without workers. Env gives a worker process the place
// of its storage, and app enqueues there. The workers end with the test.
func NewCrew(tb testing.TB, s Storage, app *runtime.App, env ...string) *Crew {
	c := &Crew{tb: tb, s: s, env: env, app: app, heeding: make(map[*exec.Cmd]*os.File)}
	tb.Cleanup(c.killAll)
	return c
}

// hire starts a worker process.
func (c *Crew) hire(slots int) *exec.Cmd {
	c.tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), c.env...), fmt.Sprintf("%s=%d", envSlots, slots))
	if testing.Verbose() {
		cmd.Stderr = os.Stderr
	}
	r, w, err := os.Pipe()
	if err != nil {
		c.tb.Fatal(err)
	}
	c.tb.Cleanup(func() { _ = r.Close() })
	cmd.ExtraFiles = []*os.File{w} // its file heeds
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		c.tb.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.workers = append(c.workers, cmd)
	c.heeding[cmd] = r
	return cmd
}

func (c *Crew) killAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.workers {
		if w.ProcessState == nil {
			_ = w.Process.Kill()
			_ = w.Wait()
		}
	}
}

// kill ends a worker process like a crash.
func (c *Crew) kill(w *exec.Cmd) {
	c.tb.Helper()
	if err := w.Process.Kill(); err != nil {
		c.tb.Fatal(err)
	}
	_ = w.Wait()
}

// dismiss stops a worker process in an orderly way, also one that has just been
// started.
func (c *Crew) dismiss(w *exec.Cmd) {
	c.tb.Helper()
	c.mu.Lock()
	r := c.heeding[w]
	c.mu.Unlock()
	_, _ = io.Copy(io.Discard, r)
	if err := w.Process.Signal(syscall.SIGTERM); err != nil {
		c.tb.Fatal(err)
	}
	if err := w.Wait(); err != nil {
		c.tb.Errorf("a worker that was told to stop: %v", err)
	}
}

// fill enqueues tasks of the numbers from one to before another in
// batches, each of which sleeps up to so many milliseconds.
func (c *Crew) fill(from, to, sleep int) {
	c.tb.Helper()
	for i := from; i < to; {
		var b runtime.Batch
		for ; i < to && b.Len() < 500; i++ {
			runtime.AddTo(&b, StepCall(i, rand.N(sleep)))
		}
		if err := b.Enqueue(context.Background(), c.app); err != nil {
			c.tb.Fatal(err)
		}
	}
}

// enqueue enqueues one task.
func (c *Crew) enqueue(n, sleep int) *runtime.Handle[int] {
	c.tb.Helper()
	h, err := StepCall(n, sleep).Enqueue(context.Background(), c.app)
	if err != nil {
		c.tb.Fatal(err)
	}
	return h
}

// until waits for a condition; while the server is away it is not known. To look takes a
// tenth of a processor at most.
func (c *Crew) until(what string, f func() (bool, error)) {
	c.tb.Helper()
	end := time.Now().Add(2*time.Minute + time.Duration(*tasks)*10*time.Millisecond + limitPatience())
	for {
		began := time.Now()
		ok, err := f()
		if ok && err == nil {
			return
		}
		time.Sleep(max(20*time.Millisecond, 10*time.Since(began)))
		if time.Now().After(end) {
			c.tb.Fatalf("waited in vain: %s (%v)", what, err)
		}
	}
}

func (c *Crew) untilAllEnd() {
	c.tb.Helper()
	defer c.tellLeft()
	c.until("all tasks end", func() (bool, error) {
		n, err := c.s.Left()
		return n == 0, err
	})
}

// tellLeft logs some of the tasks that have not ended, if the test has failed.
func (c *Crew) tellLeft() {
	c.tb.Helper()
	if !c.tb.Failed() {
		return
	}
	states := slices.DeleteFunc(engine.States(), engine.State.Final)
	records, _, err := c.app.List(context.Background(), engine.Query{States: states, Limit: 20})
	c.tb.Logf("some of what is left, %v:", err)
	for _, r := range records {
		c.tb.Logf("%+v", r)
	}
}

func (c *Crew) untilWorkers(want int) {
	c.tb.Helper()
	c.until("the workers are there", func() (bool, error) {
		n, err := c.s.Workers()
		return n == want, err
	})
}

func (c *Crew) untilRuns(want int) {
	c.tb.Helper()
	c.until("a task runs", func() (bool, error) {
		rs, err := c.s.Runs()
		return len(rs) >= want, err
	})
}

func (c *Crew) runs() []Run {
	c.tb.Helper()
	rs, err := c.s.Runs()
	if err != nil {
		c.tb.Fatal(err)
	}
	return rs
}

// audit counts the faults among tasks.
type audit struct{ lost, extra, bad int }

// audit returns how many of n tasks were lost, how many runs were too many,
// and how many tasks ended without success.
func (c *Crew) audit(n int) audit {
	c.tb.Helper()
	runs := c.runs()
	distinct := make(map[int]bool)
	for _, r := range runs {
		distinct[r.N] = true
	}
	good, err := c.s.Succeeded()
	if err != nil {
		c.tb.Fatal(err)
	}
	return audit{lost: n - len(distinct), extra: len(runs) - len(distinct), bad: n - good}
}
