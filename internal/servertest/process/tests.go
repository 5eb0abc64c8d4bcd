//go:build unix

package process

import (
	"context"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Killed kills worker processes again and again while tasks run. What runs is
// enqueued in as many lots, so that a kill meets tasks however fast they are.
func Killed(t *testing.T, c *Crew) {
	const crewSize, slots = 2, 8
	var workers []*exec.Cmd
	for range crewSize {
		workers = append(workers, c.hire(slots))
	}
	met := 0
	for kill := range *kills {
		from, to := *tasks*kill / *kills, *tasks*(kill+1) / *kills
		c.fill(from, to, 5)
		c.until("half of the lot has run", func() (bool, error) {
			n, err := c.s.Left()
			return n <= (to-from)/2, err
		})
		c.kill(workers[kill%crewSize])
		if left, err := c.s.Left(); err == nil && left > 0 {
			met++
		}
		workers[kill%crewSize] = c.hire(slots)
	}
	killed := time.Now()
	c.untilAllEnd()
	recovery := time.Since(killed)
	for _, w := range workers {
		c.dismiss(w)
	}
	a := c.audit(*tasks)
	t.Logf("%d kills over %d tasks, %d while some were left: %d lost, %d runs too many of at most %d; "+
		"all done %v after the last kill, lease %v",
		*kills, *tasks, met, a.lost, a.extra, *kills*slots, recovery, Lease)
	if a.lost != 0 || a.bad != 0 || a.extra > *kills*slots {
		t.Errorf("%d lost, %d did not succeed, %d runs too many of at most %d", a.lost, a.bad, a.extra, *kills*slots)
	}
}

// Recovery tests that after a kill the task of the killed worker runs again
// within the lease and two heartbeats.
func Recovery(t *testing.T, c *Crew) {
	first, other := c.hire(2), c.hire(2)
	c.untilWorkers(2)
	h := c.enqueue(100, 60_000)
	c.untilRuns(1)
	victim := first
	if c.runs()[0].PID == other.Process.Pid {
		victim = other
	}
	c.kill(victim)
	began := time.Now()
	c.untilRuns(2)
	took := time.Since(began)
	t.Logf("a task of a killed worker ran again after %v; the lease is %v", took, Lease)
	// The machine may be slow, so this is a multiple of the promised time.
	if took > 4*Lease {
		t.Errorf("it took %v, the lease is %v", took, Lease)
	}
	if err := c.app.Cancel(t.Context(), h.ID(), "enough"); err != nil {
		t.Fatal(err)
	}
	c.untilAllEnd()
}

// Three tests that three processes run each task once, and each has its share.
func Three(t *testing.T, c *Crew) {
	var workers []*exec.Cmd
	for range 3 {
		workers = append(workers, c.hire(4))
	}
	c.untilWorkers(3)
	const n = 600
	c.fill(0, n, 10)
	c.untilAllEnd()
	for _, w := range workers {
		c.dismiss(w)
	}
	a := c.audit(n)
	shares := make(map[int]int)
	for _, r := range c.runs() {
		shares[r.PID]++
	}
	t.Logf("%d tasks on three processes: %v", n, shares)
	if a != (audit{}) || len(shares) != 3 {
		t.Errorf("%d lost, %d runs too many, %d did not succeed, on %d of 3 processes", a.lost, a.extra, a.bad, len(shares))
	}
	if left, err := c.s.Workers(); err != nil || left != 0 {
		t.Errorf("%d workers that have stopped are still known, %v", left, err)
	}
}

// Suspended tests that a process writes nothing when it goes on after it was
// stopped for longer than its lease, while another ran its task.
func Suspended(t *testing.T, c *Crew) {
	first := c.hire(1)
	h := c.enqueue(1, 4000)
	c.untilRuns(1)
	if err := first.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	second := c.hire(1)
	c.untilRuns(2)
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
	if a := c.audit(1); a.extra != 1 {
		t.Errorf("the task ran %d times, want twice", a.extra+1)
	}
}

// Server is a server that can go away.
type Server interface {
	Stop(tb testing.TB)
	Kill(tb testing.TB)
	Start(tb testing.TB)
}

// Restarted stops, kills and starts the server while tasks are enqueued and
// run, and keeps it away for longer than the lease. The worker lives on, so
// that nothing may run twice.
func Restarted(t *testing.T, c *Crew, server Server) {
	worker := c.hire(8)
	stored := c.enqueueUntil(func() {
		for _, end := range []func(testing.TB){server.Stop, server.Kill, server.Stop} {
			time.Sleep(700 * time.Millisecond)
			end(t)
			time.Sleep(2 * Lease)
			server.Start(t)
		}
		time.Sleep(700 * time.Millisecond)
	})
	c.untilAllEnd()
	c.dismiss(worker)
	runs := make(map[int]int)
	again := 0
	for _, r := range c.runs() {
		if runs[r.N]++; r.Attempt > 0 || runs[r.N] > 1 {
			again++
		}
	}
	lost := 0
	for _, n := range stored {
		if runs[n] == 0 {
			lost++
		}
	}
	t.Logf("3 restarts over %d tasks: %d lost, %d run again", len(stored), lost, again)
	if lost != 0 || again != 0 || len(stored) == 0 {
		t.Errorf("of %d tasks that were enqueued %d were lost, %d run again", len(stored), lost, again)
	}
	if good, err := c.s.Succeeded(); err != nil || good != len(runs) {
		t.Errorf("%d tasks of %d that ran succeeded, %v", good, len(runs), err)
	}
}

// enqueueUntil enqueues tasks from four goroutines until f returns. It returns
// the numbers of tasks that Enqueue reported as stored; others may be.
func (c *Crew) enqueueUntil(f func()) (stored []int) {
	stop := make(chan struct{})
	var mu sync.Mutex
	var callers sync.WaitGroup
	for p := range 4 {
		callers.Go(func() {
			for n := p; ; n += 4 {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := StepCall(n, 2).Enqueue(context.Background(), c.app); err != nil {
					time.Sleep(5 * time.Millisecond)
					continue
				}
				mu.Lock()
				stored = append(stored, n)
				mu.Unlock()
			}
		})
	}
	f()
	close(stop)
	callers.Wait()
	return stored
}
