package redis_test

import (
	"context"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/taskctx/taskctx/internal/servertest"
)

// TestKilledWorkers kills worker processes again and again while tasks run.
func TestKilledWorkers(t *testing.T) {
	slow(t)
	const crewSize, slots = 2, 8
	c := newCrew(t, server(t))
	c.fill(0, *flagTasks, 5)
	var workers []*exec.Cmd
	for range crewSize {
		workers = append(workers, c.hire(slots))
	}
	for kill := range *flagKills {
		before := c.runs()
		target := min(before+*flagTasks/(2**flagKills)+1, before+2000)
		c.until("tasks run", func() bool { return c.runs() >= target || c.left() == 0 })
		w := workers[kill%crewSize]
		if err := w.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = w.Wait()
		workers[kill%crewSize] = c.hire(slots)
	}
	killed := time.Now()
	c.until("all tasks end", func() bool { return c.left() == 0 })
	recovery := time.Since(killed)
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
	c := newCrew(t, server(t))
	first, other := c.hire(2), c.hire(2)
	c.until("both workers are there", func() bool { return c.present() == 2 })
	h, err := stepCall(100, 60_000).Enqueue(t.Context(), c.app)
	if err != nil {
		t.Fatal(err)
	}
	c.until("the long task runs", func() bool { return c.runs() == 1 })
	victim := first
	if c.notes()[0].pid == other.Process.Pid {
		victim = other
	}
	time.Sleep(processLease) // the survivor has seen the other's count
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait()
	began := time.Now()
	c.until("the long task runs again", func() bool { return c.runs() == 2 })
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
	c := newCrew(t, server(t))
	var workers []*exec.Cmd
	for range 3 {
		workers = append(workers, c.hire(4))
	}
	c.until("all are there", func() bool { return c.present() == 3 })
	const n = 600
	c.fill(0, n, 10)
	c.until("all tasks end", func() bool { return c.left() == 0 })
	for _, w := range workers {
		c.dismiss(w)
	}
	lost, extra, bad := c.audit(n)
	sharers := make(map[int]int)
	for _, r := range c.notes() {
		sharers[r.pid]++
	}
	t.Logf("%d tasks on three processes: %v", n, sharers)
	if lost != 0 || extra != 0 || bad != 0 || len(sharers) != 3 {
		t.Errorf("%d lost, %d runs too many, %d did not succeed, on %d of 3 processes", lost, extra, bad, len(sharers))
	}
	if left := c.present(); left != 0 {
		t.Errorf("%d workers that have stopped still have a count", left)
	}
}

// TestSuspendedWorker: a process that was stopped for longer than its lease,
// while another ran its task, writes nothing when it goes on.
func TestSuspendedWorker(t *testing.T) {
	slow(t)
	c := newCrew(t, server(t))
	first := c.hire(1)
	h, err := stepCall(1, 4000).Enqueue(t.Context(), c.app)
	if err != nil {
		t.Fatal(err)
	}
	c.until("the task runs", func() bool { return c.runs() == 1 })
	if err := first.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	second := c.hire(1)
	c.until("the task runs again", func() bool { return c.runs() == 2 })
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
// and run, and has it away for longer than the lease. The worker lives on, so
// that nothing may run twice.
func TestServerRestart(t *testing.T) {
	slow(t)
	t.Parallel()
	server := servertest.NewRedis(t)
	c := newCrew(t, server.URL+"0")
	worker := c.hire(8)
	var acknowledged sync.Map // the numbers of tasks that were enqueued
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
				if _, err := stepCall(n, 2).Enqueue(context.Background(), c.app); err != nil {
					time.Sleep(5 * time.Millisecond)
					continue // it may have been stored: then it runs, once
				}
				acknowledged.Store(n, true)
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
		n, err := c.trySize("pending", "active", "scheduled", "retry")
		return err == nil && n == 0
	})
	c.dismiss(worker)
	runs := make(map[int]int)
	again := 0
	for _, r := range c.notes() {
		runs[r.n]++
		if r.attempt > 0 || runs[r.n] > 1 {
			again++
		}
	}
	total, lost := 0, 0
	acknowledged.Range(func(n, _ any) bool {
		total++
		if runs[n.(int)] == 0 {
			lost++
		}
		return true
	})
	t.Logf("3 restarts over %d tasks: %d lost, %d run again", total, lost, again)
	if lost != 0 || again != 0 || total == 0 {
		t.Errorf("of %d tasks that were enqueued %d were lost, %d run again", total, lost, again)
	}
	if n := c.size("archived"); n != 0 {
		t.Errorf("%d tasks did not succeed", n)
	}
}
