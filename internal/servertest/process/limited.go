//go:build unix

package process

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

var (
	limitKeys      = flag.Int("limitkeys", 20, "under how many keys the tasks of tests of limits are")
	limitKills     = flag.Int("limitkills", 3, "how many worker processes they kill, one each second")
	limitTasks     = flag.Int("limittasks", 400, "how many tasks they run")
	limitSleep     = flag.Int("limitsleep", 100, "for how many milliseconds each runs")
	limitProcesses = flag.Int("limitprocesses", 3, "how many worker processes they run")
)

const limitSlots = 5 // of a worker process

// limitPatience is thrice as long as the tasks of tests of limits take at best.
func limitPatience() time.Duration {
	return 3 * time.Duration(*limitTasks**limitSleep) * time.Millisecond / time.Duration(limitSlots**limitProcesses)
}

// limitedLine is a line of the file.
type limitedLine struct {
	what   string
	n, pid int
	at     int64
}

func readLimited(t *testing.T, path string) (lines []limitedLine) {
	t.Helper()
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		var l limitedLine
		if n, _ := fmt.Sscan(in.Text(), &l.what, &l.n, &l.pid, &l.at); n == 4 {
			lines = append(lines, l)
		}
	}
	return lines
}

const limitMost = 2 // of a key

// Limited kills worker processes, one each second, while tasks of many keys run, two of
// a key at a time. By what the tasks themselves have written down never a third of a
// key runs, and all end. Then it runs as many without kills, and as many without limits,
// and prints how fast.
func Limited(t *testing.T, c *Crew, e engine.Limiter) {
	path := filepath.Join(t.TempDir(), "limited")
	c.env = append(c.env, envLimited+"="+path)
	c.enqueueLimited(0, true)
	var workers []*exec.Cmd
	for range *limitProcesses {
		workers = append(workers, c.hire(limitSlots))
	}
	c.until("tasks run", func() (bool, error) { return len(readLimited(t, path)) > 2*len(workers), nil })
	var last time.Time
	killed := 0
	for tick := time.NewTicker(time.Second); killed < *limitKills; killed++ {
		<-tick.C
		if n, err := c.s.Left(); err == nil && n == 0 {
			break
		}
		victim := workers[killed%len(workers)]
		c.kill(victim)
		last = time.Now()
		require.NoError(t, noteLimited(path, "kill", 0, victim.Process.Pid))
		workers[killed%len(workers)] = c.hire(limitSlots)
	}
	c.untilAllEnd()
	recovery := time.Since(last)
	over, peak, _ := overLimit(readLimited(t, path))
	good, err := c.s.Succeeded()
	require.NoError(t, err)
	t.Logf("%d kills, %d tasks of %d keys, %d processes: %d did not succeed, "+
		"%d starts beyond %d of a key, at most %d ran at a time; all done %v after the last kill, lease %v",
		killed, *limitTasks, *limitKeys, len(workers), *limitTasks-good, over, limitMost, peak, recovery, limitedLease)
	assert.Equal(t, *limitTasks, good)
	assert.Zero(t, over)
	assert.Greater(t, peak, limitMost, "keys do not wait for each other")
	require.NoError(t, os.Remove(path))
	c.enqueueLimited(*limitTasks, true)
	c.untilAllEnd()
	over, _, took := overLimit(readLimited(t, path))
	require.NoError(t, os.Remove(path))
	c.enqueueLimited(2**limitTasks, false)
	c.untilAllEnd()
	_, _, free := overLimit(readLimited(t, path))
	allowed := min(limitMost**limitKeys, limitSlots*len(workers))
	best := time.Duration(*limitTasks**limitSleep) * time.Millisecond / time.Duration(allowed)
	t.Logf("without kills: %d tasks in %v, %.2f of what the limit and the workers allow, %d starts beyond %d; "+
		"without limits %v, %.2f", *limitTasks, took,
		best.Seconds()/took.Seconds(), over, limitMost, free, best.Seconds()/free.Seconds())
	assert.Zero(t, over)
	for _, w := range workers {
		c.dismiss(w)
	}
	c.until("no place is held any more", func() (bool, error) {
		counts, err := e.Limits(context.Background())
		return len(counts) == 0, err
	})
}

// enqueueLimited enqueues tasks numbered from a number, with limits by key or without.
func (c *Crew) enqueueLimited(from int, limited bool) {
	c.tb.Helper()
	for i := 0; i < *limitTasks; {
		var b runtime.Batch
		for ; i < *limitTasks && b.Len() < 500; i++ {
			n := from + i
			var opts []runtime.Option
			if limited {
				opts = append(opts, runtime.WithLimit(fmt.Sprint("key ", n%*limitKeys), limitMost))
			}
			runtime.AddTo(&b, StepCall(n, *limitSleep, opts...))
		}
		require.NoError(c.tb, b.Enqueue(context.Background(), c.app))
	}
}

// overLimit counts how often a task began while as many of its key ran as may, how many
// ran at a time at most, and how long it took from the first beginning to the last end.
// A run is over when it says so, and when its process is killed.
func overLimit(lines []limitedLine) (over, peak int, took time.Duration) {
	type run struct{ n, pid int }
	running := make(map[int]map[run]bool) // by key
	all := make(map[run]bool)
	for _, l := range lines {
		r, key := run{l.n, l.pid}, l.n%*limitKeys
		switch l.what {
		case "start":
			if running[key] == nil {
				running[key] = make(map[run]bool)
			}
			running[key][r], all[r] = true, true
			if len(running[key]) > limitMost {
				over++
			}
			peak = max(peak, len(all))
		case "end":
			delete(running[key], r)
			delete(all, r)
			took = time.Duration(l.at-lines[0].at) * time.Microsecond
		case "kill":
			for r := range all {
				if r.pid == l.pid {
					delete(all, r)
					delete(running[r.n%*limitKeys], r)
				}
			}
		}
	}
	return over, peak, took
}
