//go:build unix

package engines_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engines"
	"github.com/taskctx/taskctx/runtime/glue"
	"github.com/taskctx/taskctx/runtime/wire"
)

var clocks = flag.Bool("clocks", false, "run TestEngines_ProcessClockSteps, which compiles the standard library anew")

// The environment of a worker process: this test binary, started again.
const (
	envClockURL    = "TASKCTX_CLOCK_URL"
	envClockFolder = "TASKCTX_CLOCK_FOLDER"
)

func init() {
	asWorker = func() (bool, error) {
		url := os.Getenv(envClockURL)
		if url == "" {
			return false, nil
		}
		return true, clockWorker(url, os.Getenv(envClockFolder))
	}
}

// setStep sets how far the clock of this process is from the right one. Only a
// process whose standard library was changed for it has it.
var setStep func(time.Duration)

type clockArgs struct{ long bool }

func (a *clockArgs) fields(f *wire.Fields) { f.Bool("long", &a.long) }

var clockTask = glue.NewTask[clockArgs, int](wire.Spec{
	Name: "clock.task", Func: "task", Retries: 3, Params: []wire.Param{{Name: "long", Sig: "bool"}},
}, (*clockArgs).fields)

// clockCall keeps its record for long: a worker whose clock is an hour ahead
// forgets records an hour early.
func clockCall(long bool) runtime.Call[int] {
	a := clockArgs{long}
	return clockTask.Call(a.fields, []runtime.Option{runtime.WithKeep(24 * time.Hour)})
}

// clockWorker is a worker process. Long tasks end when the file "go" is there;
// each run is a line in the file "ledger".
func clockWorker(url, folder string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ledger, err := os.OpenFile(filepath.Join(folder, "ledger"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	steps := make(chan os.Signal, 1)
	signal.Notify(steps, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGHUP)
	go func() {
		for s := range steps {
			setStep(map[os.Signal]time.Duration{syscall.SIGUSR1: time.Hour, syscall.SIGUSR2: -time.Hour}[s])
			fmt.Fprintf(ledger, "clock %d %s\n", os.Getpid(), time.Now().UTC().Format(time.RFC3339))
		}
	}()
	e, err := engines.Open(ctx, url)
	if err != nil {
		return err
	}
	app := runtime.New(e, runtime.Config{Workers: 16}) // so that slots are free beside the long tasks
	glue.Register(app, clockTask, func(ctx *runtime.Context, a *clockArgs) (int, error) {
		if a.long {
			fmt.Fprintf(ledger, "long %d %s\n", os.Getpid(), ctx.Metadata().TaskID)
			for {
				if _, err := os.Stat(filepath.Join(folder, "go")); err == nil {
					break
				}
				if err := ctx.Sleep(10 * time.Millisecond); err != nil {
					return 0, err
				}
			}
		}
		return os.Getpid(), nil
	})
	return errors.Join(app.Run(ctx), e.Close(), ledger.Close())
}

// buildStepped builds this test binary with a standard library whose clock can
// be stepped: time.Now adds the step to the time of day, and leaves the
// monotonic clock alone, as a kernel does whose clock is set.
func buildStepped(t *testing.T) string {
	dir := t.TempDir()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	source, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	const read = "sec, nsec, mono := runtimeNow()\n"
	changed := strings.Replace(string(source), "func Now() Time {\n\t"+read, "func Now() Time {\n\t"+read+"\tsec += Step.Load()\n", 1)
	changed = strings.Replace(changed, "import (\n", "import (\n\t\"sync/atomic\"\n", 1) + "\nvar Step atomic.Int64\n"
	if !strings.Contains(changed, "sec += Step.Load()") {
		t.Fatalf("%s does not read the clock as this test expects", name)
	}
	replaced := filepath.Join(dir, "time.go")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {name: replaced}})
	if err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string][]byte{replaced: []byte(changed), filepath.Join(dir, "overlay"): overlay} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(dir, "worker")
	build := exec.Command("go", "test", "-c", "-tags", "clockstep", "-overlay", filepath.Join(dir, "overlay"), "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// TestEngines_ProcessClockSteps steps the clock of a worker process by an hour, both
// ways, while it and a process with the right clock run long tasks: neither
// loses one to the other, and both go on with short ones.
//
// Proves: RELIABILITY 11
func TestEngines_ProcessClockSteps(t *testing.T) {
	if !*clocks {
		t.Skip("run by make clocks: it compiles the standard library anew, and takes a few leases of each engine")
	}
	stepped := buildStepped(t)
	leases := map[string]time.Duration{"sqlite": 10 * time.Second, "postgres": 15 * time.Second, "redis": 15 * time.Second}
	for name, lease := range leases {
		url := engineURLs[name](t)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testProcessClock(t, url, stepped, lease)
		})
	}
}

func testProcessClock(t *testing.T, url, stepped string, lease time.Duration) {
	ctx, folder := t.Context(), t.TempDir()
	e, err := engines.Open(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	app := runtime.New(e, runtime.Config{})
	start := func(binary string) *exec.Cmd {
		cmd := exec.Command(binary)
		cmd.Env = append(os.Environ(), envClockURL+"="+url, envClockFolder+"="+folder)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			if err := cmd.Wait(); err != nil {
				t.Errorf("worker process: %v", err)
			}
		})
		return cmd
	}
	right, wrong := start(os.Args[0]), start(stepped)
	short := func() int {
		h, err := clockCall(false).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := h.Wait(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	both := func(pids map[int]int) bool { return pids[right.Process.Pid] > 0 && pids[wrong.Process.Pid] > 0 }
	var long []*runtime.Handle[int]
	for { // until each has a long task
		h, err := clockCall(true).Enqueue(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		long = append(long, h)
		var pids map[int]int
		for {
			if pids = longRuns(t, folder); total(pids) == len(long) {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if both(pids) {
			break
		}
		if len(long) == 15 {
			t.Fatalf("the long tasks went to one process: %v", pids)
		}
	}
	ran := make(map[int]int)
	for _, s := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGHUP} {
		if err := wrong.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		pids := make(map[int]int)
		for end := time.Now().Add(3 * lease / 2); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			pid := short()
			pids[pid]++
			ran[pid]++
		}
		if total(longRuns(t, folder)) != len(long) {
			t.Fatalf("after %v a long task runs twice", s)
		}
		t.Logf("after %v: short tasks by process: %v", s, pids)
	}
	if !both(ran) {
		t.Errorf("short tasks by process: %v, want each to have had some", ran)
	}
	if err := os.WriteFile(filepath.Join(folder, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, h := range long {
		if _, err := h.Wait(ctx); err != nil {
			t.Error(err)
		}
		if r, err := app.Lookup(ctx, h.ID()); err != nil || r.Attempt != 0 {
			t.Errorf("the record is %+v, %v, want attempt 0", r, err)
		}
	}
	data, err := os.ReadFile(filepath.Join(folder, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(data), "clock "); n != 3 {
		t.Errorf("the clock was stepped %d times, want 3", n)
	}
	t.Logf("%d long tasks, each run once; the ledger:\n%s", len(long), data)
}

// longRuns counts the runs of long tasks by process.
func longRuns(t *testing.T, folder string) map[int]int {
	f, err := os.Open(filepath.Join(folder, "ledger"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	pids := make(map[int]int)
	for in := bufio.NewScanner(f); in.Scan(); {
		var pid int
		if _, err := fmt.Sscanf(in.Text(), "long %d", &pid); err == nil {
			pids[pid]++
		}
	}
	return pids
}

func total(counts map[int]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}
