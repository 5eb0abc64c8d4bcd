//go:build unix

package sqlite_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite"
)

// The tests below run this test binary again as worker processes.

var (
	killCount = flag.Int("kills", 10, "how many worker processes TestServe_KilledWorkers kills")
	killTasks = flag.Int("tasks", 2000, "how many tasks TestServe_KilledWorkers runs")
)

// place is a file of tasks, its journal, and an engine of the test's own on it.
type place struct {
	t    *testing.T
	path string
	e    *sqlite.Engine

	heeding map[*exec.Cmd]*os.File // ends when the worker heeds a signal
}

func newPlace(t *testing.T) *place {
	p := &place{t: t, path: filepath.Join(t.TempDir(), "tasks.db"), heeding: make(map[*exec.Cmd]*os.File)}
	if err := os.WriteFile(p.path+".journal", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.e = open(t, p.path, processConfig())
	return p
}

// worker starts a worker process.
func (p *place) worker(env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), workerFile+"="+p.path), env...)
	cmd.Stderr = os.Stderr
	r, w, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = r.Close() })
	cmd.ExtraFiles = []*os.File{w}
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		p.t.Fatal(err)
	}
	p.heeding[cmd] = r
	return cmd
}

// end ends a worker process as an operator does.
func (p *place) end(cmd *exec.Cmd) {
	_, _ = io.Copy(io.Discard, p.heeding[cmd]) // it may only be beginning
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		p.t.Errorf("worker process: %v", err)
	}
}

// insert enqueues n tasks.
func (p *place) insert(name string, args any, n int) []uuid.UUID {
	p.t.Helper()
	data, err := json.Marshal(args)
	if err != nil {
		p.t.Fatal(err)
	}
	ids := make([]uuid.UUID, 0, n)
	for len(ids) < n {
		ms := make([]*engine.Message, min(500, n-len(ids)))
		for i := range ms {
			id := uuid.Must(uuid.NewV7())
			ids = append(ids, id)
			ms[i] = &engine.Message{
				Name: name, Queue: "default", Args: data, Keep: time.Hour,
				Meta: engine.Meta{Version: 1, ID: id, Retries: 1000},
			}
		}
		if _, err := p.e.Insert(context.Background(), ms); err != nil {
			p.t.Fatal(err)
		}
	}
	return ids
}

// line is one of the journal's.
type line struct {
	what, id, pid string
	attempt       int
}

func (p *place) journal() []line {
	p.t.Helper()
	f, err := os.Open(p.path + ".journal")
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	var lines []line
	for in := bufio.NewScanner(f); in.Scan(); {
		f := strings.Fields(in.Text())
		attempt, _ := strconv.Atoi(f[3])
		lines = append(lines, line{f[0], f[1], f[2], attempt})
	}
	return lines
}

// await waits until ok, and says what it waited for if that never comes.
func (p *place) await(what string, ok func() bool) {
	p.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("%s: not after 2 minutes; %d lines in the journal, tasks by state: %s", what, len(p.journal()),
				query[string](p.t, p.path, `SELECT json_group_object(state, n) FROM
					(SELECT state, count(*) n FROM task GROUP BY state)`))
		}
	}
}

// wait waits for the ends of the tasks, and checks that they succeeded.
func (p *place) wait(ids []uuid.UUID) (lost int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for _, id := range ids {
		entry, err := p.e.Wait(ctx, id)
		if err != nil || entry.State != engine.StateSucceeded {
			if lost++; lost < 5 {
				p.t.Errorf("task %s: %+v, %v", id, entry, err)
			}
		}
	}
	return lost
}

// TestServe_KilledWorkers kills worker processes again and again while they work: no task is
// lost, and no more run twice than were running at a kill.
func TestServe_KilledWorkers(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts many processes")
	}
	const processes = 2
	p := newPlace(t)
	lease := workerLease + "=2s" // so that a busy machine loses none but those that are killed
	kills, tasks := *killCount, *killTasks
	var ids []uuid.UUID
	workers := make([]*exec.Cmd, processes)
	for i := range workers {
		workers[i] = p.worker(lease)
	}
	started := time.Now()
	for k := range kills {
		ids = append(ids, p.insert(stepTask, struct{}{}, tasks*(k+1)/kills-len(ids))...)
		want := int64(len(ids) - rand.IntN(tasks/kills))
		p.await("the tasks before the next kill", func() bool { return journalEnds(p.path) >= want })
		victim := k % processes
		if err := workers[victim].Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = workers[victim].Wait()
		workers[victim] = p.worker(lease)
	}
	lost := p.wait(ids)
	took := time.Since(started)
	for _, w := range workers {
		p.end(w)
	}
	runs := make(map[string]int)
	for _, l := range p.journal() {
		if l.what == "start" {
			runs[l.id]++
		}
	}
	again := 0
	for _, id := range ids {
		if n := runs[id.String()]; n == 0 {
			t.Errorf("task %s succeeded and never ran", id)
		} else {
			again += n - 1
		}
	}
	t.Logf("%d kills, %d tasks: %d lost, %d runs more than tasks (at most %d: kills × slots), in %v",
		kills, tasks, lost, again, kills*processSlots, took.Round(time.Millisecond))
	if lost > 0 || again > kills*processSlots {
		t.Error("tasks were lost, or ran again without need")
	}
}

// journalEnds is how many runs have ended, about: by the journal's size.
func journalEnds(path string) int64 {
	info, err := os.Stat(path + ".journal")
	if err != nil {
		return 0
	}
	const pair = len("start 01234567-0123-0123-0123-0123456789ab 0012345 0\n") +
		len("end 01234567-0123-0123-0123-0123456789ab 0012345 0\n")
	return info.Size() / int64(pair)
}

// TestServe_Recovery prints how long after the kill of its worker a task runs again:
// within the lease and two fifths of it.
func TestServe_Recovery(t *testing.T) {
	p := newPlace(t)
	const lease = 2 * time.Second
	env := fmt.Sprintf("%s=%v", workerLease, lease)
	file := filepath.Join(filepath.Dir(p.path), "go")
	ids := p.insert(holdTask, file, 1)
	first := p.worker(env)
	p.await("the task to start", func() bool { return len(p.journal()) == 1 })
	second := p.worker(env)
	p.await("the second worker", func() bool { return liveWorkers(t, p.path) == 2 })
	_ = first.Process.Kill()
	_ = first.Wait()
	killed := time.Now()
	p.await("the task to start again", func() bool { return len(p.journal()) == 2 })
	took := time.Since(killed)
	t.Logf("a killed worker's task ran again after %v, with a lease of %v", took, lease)
	// The machine may be slow, so this is a multiple of what is promised.
	if took > 4*lease {
		t.Errorf("it took %v, the lease is %v", took, lease)
	}
	if l := p.journal()[1]; l.attempt != 1 {
		t.Errorf("the second run is attempt %d, want 1", l.attempt)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.wait(ids)
	p.end(second)
}

// TestServe_TwoProcesses: two worker processes share the work, and run each task once.
func TestServe_TwoProcesses(t *testing.T) {
	p := newPlace(t)
	lease := workerLease + "=1m" // nobody dies, however slow the machine
	workers := []*exec.Cmd{p.worker(lease), p.worker(lease)}
	p.await("both workers", func() bool { return liveWorkers(t, p.path) == 2 })
	var ids []uuid.UUID
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				part := p.insert(stepTask, struct{}{}, 100)
				mu.Lock()
				ids = append(ids, part...)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	p.wait(ids)
	for _, w := range workers {
		p.end(w)
	}
	runs, by := make(map[string]int), make(map[string]int)
	for _, l := range p.journal() {
		if l.what == "start" {
			runs[l.id]++
			by[l.pid]++
		}
	}
	t.Logf("runs by process: %v", by)
	if len(by) != 2 {
		t.Errorf("%d processes ran tasks, want 2", len(by))
	}
	for _, id := range ids {
		if n := runs[id.String()]; n != 1 {
			t.Errorf("task %s ran %d times", id, n)
		}
	}
}

// TestServe_PausedProcess: a worker process that is suspended past its lease loses its
// task, and cannot write its result when it goes on.
func TestServe_PausedProcess(t *testing.T) {
	p := newPlace(t)
	paused := p.worker()
	for round := range 3 {
		file := filepath.Join(filepath.Dir(p.path), fmt.Sprintf("go%d", round))
		id := p.insert(holdTask, file, 1)[0]
		count := func(what string) (n int) {
			for _, l := range p.journal() {
				if l.id == id.String() && l.what == what {
					n++
				}
			}
			return n
		}
		p.await("the task to start", func() bool { return count("start") == 1 })
		p.suspend(paused)
		ctx, stop := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() {
			served <- p.e.Serve(ctx, &engine.Worker{
				ID: "test", Slots: 1, Queues: []string{"default"}, Names: []string{holdTask}, ParkFor: time.Hour,
				Run: func(context.Context, *engine.Delivery) engine.Outcome {
					return engine.Outcome{Kind: engine.OutcomeSucceed, Result: json.RawMessage(`"mine"`)}
				},
			})
		}()
		p.wait([]uuid.UUID{id})
		stop()
		if err := <-served; err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		_ = paused.Process.Signal(syscall.SIGCONT)
		p.await("the late outcome to be refused", func() bool { return count("refused") == 1 })
		entry, err := p.e.Get(context.Background(), id)
		if err != nil || string(entry.Result) != `"mine"` || entry.Attempt != 1 {
			t.Errorf("round %d: the entry is %+v, %v", round, entry, err)
		}
	}
	p.end(paused)
}

// TestCancel_InAnotherProcess: a task is cancelled from another process than its worker.
func TestCancel_InAnotherProcess(t *testing.T) {
	p := newPlace(t)
	file := filepath.Join(filepath.Dir(p.path), "go")
	id := p.insert(holdTask, file, 1)[0]
	w := p.worker()
	p.await("the task to start", func() bool { return len(p.journal()) == 1 })
	if err := p.e.Cancel(context.Background(), id, "no more need"); err != nil {
		t.Fatal(err)
	}
	_ = w.Process.Kill() // it dies before it obeys: the task must not run again
	_ = w.Wait()
	w = p.worker()
	entry, err := p.e.Wait(context.Background(), id)
	if err != nil || entry.State != engine.StateCancelled || entry.Reason != "no more need" {
		t.Errorf("the entry is %+v, %v", entry, err)
	}
	p.end(w)
	if n := len(p.journal()); n != 1 {
		t.Errorf("the task has %d lines in the journal, want 1", n)
	}
}

// TestServe_TaskThatKillsItsProcess: a task that kills its worker each time ends as failed when
// its retries are used up.
func TestServe_TaskThatKillsItsProcess(t *testing.T) {
	p := newPlace(t)
	app := runtime.New(p.e, runtime.Config{Logger: discard})
	h, err := add(crashTask, 1, 2).Enqueue(context.Background(), app) // with two retries
	if err != nil {
		t.Fatal(err)
	}
	starts := 0
	for end := false; !end; starts++ {
		if starts == 10 {
			t.Fatal("the task still kills workers")
		}
		w := p.worker(workerApp + "=1")
		died := make(chan struct{})
		go func() { _ = w.Wait(); close(died) }()
		p.await("the worker's or the task's end", func() bool {
			select {
			case <-died:
				return true
			default:
			}
			entry, err := p.e.Get(context.Background(), h.ID())
			if err != nil {
				t.Fatal(err)
			}
			end = entry.State.Final()
			return end
		})
		if end {
			_ = w.Process.Signal(syscall.SIGTERM)
		}
		<-died
	}
	var terr *runtime.TaskError
	if _, err := h.Wait(context.Background()); !errors.As(err, &terr) || terr.State != engine.StateFailed {
		t.Errorf("the task: %v, want a failed one", err)
	}
	t.Logf("%d workers; %v", starts, terr)
	if starts != 4 {
		t.Errorf("the task met %d workers, want 4: three it killed, and one that failed it", starts)
	}
}
