//go:build unix

package process

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/pace"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

var (
	rateProcesses = flag.Int("rateprocesses", 3, "how many worker processes tests of rates run")
	rateN         = flag.Int("raten", 20, "how many tasks of a key they let begin in a time")
	ratePer       = flag.Duration("rateper", time.Second, "that time")
	ratePhase     = flag.Duration("ratephase", 0, "how long each of their phases is at least")
	rateDown      = flag.Duration("ratedown", time.Second, "how long nobody runs, and how long the queue is paused")
	rateWaiting   = flag.Int("ratewaiting", 0, "how many tasks of a key wait to the end, at least")
	rateLeast     = flag.Float64("rateleast", 0,
		"the part of a rate that is to be reached while tasks wait, on a machine with nothing else to do")
)

const (
	rateKeys = 4
	// rateLots is how many times a rate's number begins in each phase, at least.
	rateLots = 2
)

// rated is a run of tests of rates.
type rated struct {
	*testing.T
	c       *Crew
	path    string
	ids     [rateKeys][]uuid.UUID
	backlog int // how many tasks of a key wait at the beginning
	workers []*exec.Cmd
}

// Rated runs tasks with rates in several processes: at first, after a pause of the
// queue, after a time without any, and while one after the other is killed. By the
// times of the records no window has more of a key than may begin, and each key goes on
// in each phase. With a rateper of 10 s and more the same holds for what the tasks
// themselves have noted, and rateleast of the rate is reached.
func Rated(t *testing.T, c *Crew) {
	r := &rated{T: t, c: c, path: filepath.Join(t.TempDir(), "rated")}
	c.env = append(c.env, envLimited+"="+r.path)
	r.backlog = (int((3**ratePhase+*rateDown) / *ratePer)+3*(rateLots+1)+2**rateProcesses+10)**rateN + *rateWaiting
	r.enqueue(r.backlog)
	r.hire()
	r.phase("at first")
	require.NoError(t, c.app.Pause(t.Context(), engine.DefaultQueue))
	time.Sleep(*rateDown)
	require.NoError(t, c.app.Resume(t.Context(), engine.DefaultQueue))
	r.phase("after a pause")
	r.dismissAll()
	time.Sleep(*rateDown)
	r.hire()
	r.phase("after a time without workers")
	for i := range r.workers {
		c.kill(r.workers[i])
		r.workers[i] = c.hire(5)
		r.await("after a kill", r.times(), *rateN)
	}
	r.dismissAll()
	began := make(map[int]bool)
	for _, l := range readLimited(t, r.path) {
		began[l.n] = true
	}
	for key, times := range r.times() {
		most, claimed := pace.Most(times, *ratePer), pace.Most(r.claims(key, began), *ratePer)
		t.Logf("key %d: %d began, at most %d of %d in any %v by the records, %d by the tasks",
			key, len(times), claimed, *rateN, *ratePer, most)
		assert.LessOrEqual(t, claimed, *rateN, "key %d", key)
		if *ratePer >= 10*time.Second {
			assert.LessOrEqual(t, most, *rateN, "key %d", key)
		}
		assert.Less(t, len(times), len(r.ids[key]), "tasks wait to the end")
	}
}

// enqueue enqueues tasks of each key.
func (r *rated) enqueue(perKey int) {
	r.Helper()
	first := len(r.ids[0])
	for lot := range slices.Chunk(make([]struct{}, perKey), 100) {
		var b runtime.Batch
		var hs []*runtime.Handle[int]
		for i := range len(lot) * rateKeys {
			rate := runtime.WithRate(fmt.Sprint("key ", i%rateKeys), *rateN, *ratePer)
			hs = append(hs, runtime.AddTo(&b, StepCall(first*rateKeys+i, 0, rate)))
		}
		require.NoError(r, b.Enqueue(context.Background(), r.c.app))
		for i, h := range hs {
			r.ids[i%rateKeys] = append(r.ids[i%rateKeys], h.ID())
		}
		first += len(lot)
	}
}

func (r *rated) hire() {
	r.workers = nil
	for range *rateProcesses {
		r.workers = append(r.workers, r.c.hire(5))
	}
}

func (r *rated) dismissAll() {
	for _, w := range r.workers {
		r.c.dismiss(w)
	}
}

// phase waits for lots of each key.
func (r *rated) phase(name string) {
	r.Helper()
	before := r.times()
	r.await(name, before, 1)
	time.Sleep(*ratePhase)
	r.await(name, before, rateLots**rateN+1)
	for key, times := range r.times() {
		part := pace.Reached(times[len(before[key]):], *rateN, *ratePer)
		r.Logf("%s: key %d: %d began, %.3f of the rate", name, key, len(times)-len(before[key]), part)
		assert.GreaterOrEqual(r, part, *rateLeast, "%s: key %d", name, key)
	}
}

// await waits until n more tasks of each key have begun. On a slow machine more begin
// meanwhile than were thought of: they are replaced.
func (r *rated) await(name string, before [rateKeys][]time.Time, n int) {
	r.Helper()
	r.c.until(fmt.Sprintf("%s: %d more of each key", name, n), func() (bool, error) {
		now := r.times()
		for key, times := range now {
			if left := len(r.ids[key]) - len(times); left < r.backlog/2 {
				r.enqueue(r.backlog - left)
			}
		}
		for key, times := range now {
			if len(times)-len(before[key]) < n {
				return false, nil
			}
		}
		return true, nil
	})
}

// times are when tasks of each key began by what they have noted, sorted.
func (r *rated) times() (times [rateKeys][]time.Time) {
	r.Helper()
	for _, l := range readLimited(r.T, r.path) {
		if l.what == "start" {
			times[l.n%rateKeys] = append(times[l.n%rateKeys], time.UnixMicro(l.at))
		}
	}
	for _, ts := range times {
		slices.SortFunc(ts, time.Time.Compare)
	}
	return times
}

// claims are when the records of the key's tasks that have begun say that they did,
// sorted. One that was claimed by a worker that was killed then has a record of that, too.
func (r *rated) claims(key int, began map[int]bool) (times []time.Time) {
	r.Helper()
	for i, id := range r.ids[key] {
		if !began[i*rateKeys+key] {
			continue
		}
		rec, err := r.c.app.Lookup(context.Background(), id)
		require.NoError(r, err)
		if !rec.StartedAt.IsZero() {
			times = append(times, rec.StartedAt)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	return times
}

// InOrder kills worker processes while tasks run in order by keys, some of which fail
// once. By what the tasks themselves have noted each begins after the one before it of
// its key has ended, in the order of enqueueing.
func InOrder(t *testing.T, c *Crew, e engine.Engine) {
	const keys, perKey = 10, 12
	path := filepath.Join(t.TempDir(), "ordered")
	c.env = append(c.env, envLimited+"="+path)
	for n := range keys * perKey {
		key := fmt.Sprint("order ", n%keys)
		m := &engine.Message{Name: stepName, Queue: engine.DefaultQueue, Args: fmt.Appendf(nil, `{"n":%d,"sleep":60}`, n), Keep: time.Hour,
			Limits: []engine.Limit{{Rule: key, Key: key, Most: 1, Ordered: true}}}
		m.Meta.Version, m.Meta.ID, m.Meta.Retries, m.Meta.EnqueuedAt = engine.WireLimited, uuid.Must(uuid.NewV7()), 50, time.Now().UTC()
		_, err := e.Insert(context.Background(), []*engine.Message{m})
		require.NoError(t, err)
	}
	var workers []*exec.Cmd
	for range *limitProcesses {
		workers = append(workers, c.hire(5))
	}
	for killed := range *limitKills {
		before := len(readLimited(t, path))
		c.until("tasks run", func() (bool, error) {
			left, err := c.s.Left()
			return left == 0 || len(readLimited(t, path)) > before+keys, err
		})
		victim := workers[killed%len(workers)]
		c.kill(victim)
		require.NoError(t, noteLimited(path, "kill", 0, victim.Process.Pid))
		workers[killed%len(workers)] = c.hire(5)
	}
	c.untilAllEnd()
	good, err := c.s.Succeeded()
	require.NoError(t, err)
	assert.Equal(t, keys*perKey, good)
	again, wrong := outOfOrder(readLimited(t, path), keys)
	t.Logf("%d kills, %d tasks of %d keys in order: %d ran again, %d began before the one before them had ended",
		*limitKills, keys*perKey, keys, again, wrong)
	assert.Zero(t, wrong)
	for _, w := range workers {
		c.dismiss(w)
	}
	require.NoError(t, os.Remove(path))
}

// outOfOrder counts the runs that were not the first of their task, and those that began
// although the task before it in its key had not ended.
func outOfOrder(lines []limitedLine, keys int) (again, wrong int) {
	began, ended := make(map[int]bool), make(map[int]bool)
	for _, l := range lines {
		switch l.what {
		case "start":
			if began[l.n] {
				again++
			}
			if began[l.n] = true; l.n >= keys && !ended[l.n-keys] {
				wrong++
			}
		case "end":
			ended[l.n] = true
		}
	}
	return again, wrong
}
