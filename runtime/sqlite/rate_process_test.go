//go:build unix

package sqlite_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/pace"
	"github.com/taskctx/taskctx/runtime/engine"
)

var (
	rateProcesses = flag.Int("rateprocesses", 3, "how many worker processes TestRate_Processes runs")
	rateN         = flag.Int("raten", 30, "how many tasks of a key it lets begin in a time")
	ratePer       = flag.Duration("rateper", time.Second, "that time")
	ratePhase     = flag.Duration("ratephase", 0, "how long each of its phases is at least")
	rateDown      = flag.Duration("ratedown", 2*time.Second, "how long nobody runs, and how long the queue is paused")
	rateLeast     = flag.Float64("rateleast", 0, "the part of a rate that is to be reached while tasks wait, on a machine with nothing else to do")
)

const (
	// rateKeys is under how many keys the tasks of TestRate_Processes are.
	rateKeys = 4
	// rateLots is how many times a rate's number begins in each of its phases, at least.
	rateLots = 2
)

// noteRate notes that a task of the key has begun.
func noteRate(path, key string) error {
	now := time.Now()
	f, err := os.OpenFile(path+".rates", os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s %d\n", key, now.UnixNano())
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// TestRate_Processes runs tasks with rates in several processes: at first, after a
// pause of the queue, after a time without any, and while one after the other is
// killed. By the times of the records no window has more of a key than may begin, and
// in each phase each key goes on, for some times its number.
//
// Which part of the rate is reached depends on what else the machine does: only "make
// rates" asks for one, with 8 processes and phases of a minute. There the time of the
// rate is so long, too, that no task begins a fiftieth of it after its claim, so that
// no window has more by what the tasks themselves have noted, either.
//
// Proves: FEATURES 96
func TestRate_Processes(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts many processes")
	}
	p := newPlace(t)
	begin := func() (ws []*exec.Cmd) {
		for range *rateProcesses {
			ws = append(ws, p.worker(workerLease+"=2s"))
		}
		return ws
	}
	per := *ratePer
	r := &rates{place: p, ids: make(map[string][]uuid.UUID), backlog: (int((3**ratePhase+*rateDown)/per) + 3*(rateLots+1) + 2**rateProcesses + 10) * *rateN}
	r.enqueue(r.backlog)
	phase := func(name string) {
		t.Helper()
		before := r.times()
		r.await(name, before, 1)
		time.Sleep(*ratePhase)
		r.await(name, before, rateLots**rateN+1)
		for key, times := range r.times() {
			reached := pace.Reached(times[len(before[key]):], *rateN, per)
			t.Logf("%s: %s: %d began, %.3f of the rate", name, key, len(times)-len(before[key]), reached)
			assert.GreaterOrEqual(t, reached, *rateLeast, "%s: %s", name, key)
		}
	}
	workers := begin()
	phase("at first")
	require.NoError(t, p.e.Pause(t.Context(), engine.Pause{Queue: "default"}))
	time.Sleep(*rateDown)
	require.NoError(t, p.e.Resume(t.Context(), engine.Pause{Queue: "default"}))
	phase("after a pause")
	for _, w := range workers {
		p.end(w)
	}
	time.Sleep(*rateDown)
	workers = begin()
	phase("after a time without workers")
	for i := range workers {
		require.NoError(t, workers[i].Process.Kill())
		_ = workers[i].Wait()
		workers[i] = p.worker(workerLease + "=2s")
		r.await("after a kill", r.times(), *rateN)
	}
	for _, w := range workers {
		p.end(w)
	}
	for key, times := range r.times() {
		most, claimed := pace.Most(times, per), pace.Most(r.claims(key), per)
		t.Logf("%s: %d began, at most %d of %d in any %v by the records, %d by the tasks", key, len(times), claimed, *rateN, per, most)
		assert.LessOrEqual(t, claimed, *rateN, key)
		if per >= 10*time.Second {
			assert.LessOrEqual(t, most, *rateN, key)
		}
		assert.Less(t, len(times), len(r.ids[key]), "tasks wait to the end")
	}
}

// rates are the tasks of TestRate_Processes.
type rates struct {
	*place
	ids     map[string][]uuid.UUID // by key
	backlog int                    // how many of a key wait at the beginning
}

// enqueue enqueues tasks of each key.
func (r *rates) enqueue(perKey int) {
	r.t.Helper()
	var ms []*engine.Message
	for i := range perKey * rateKeys {
		ms = append(ms, &engine.Message{
			Name: rateTask, Queue: "default", Args: []byte("{}"), Keep: time.Hour,
			Limits: []engine.Limit{{Rule: "rate", Key: fmt.Sprint("key", i%rateKeys), Most: *rateN, Per: *ratePer}},
			Meta:   engine.Meta{Version: engine.WireRated, ID: uuid.Must(uuid.NewV7()), Retries: 1000},
		})
	}
	for lot := range slices.Chunk(ms, 1000) {
		_, err := r.e.Insert(context.Background(), lot)
		require.NoError(r.t, err)
	}
	for _, m := range ms {
		r.ids[m.Limits[0].Key] = append(r.ids[m.Limits[0].Key], m.Meta.ID)
	}
}

// await waits until n more tasks of each key have begun. On a slow machine more begin
// meanwhile than were thought of: they are replaced.
func (r *rates) await(name string, before map[string][]time.Time, n int) {
	r.t.Helper()
	r.place.await(fmt.Sprintf("%s: %d more of each key", name, n), func() bool {
		now := r.times()
		for i := range rateKeys {
			key := fmt.Sprint("key", i)
			if left := len(r.ids[key]) - len(now[key]); left < r.backlog/2 {
				r.enqueue(r.backlog - left)
			}
		}
		for i := range rateKeys {
			key := fmt.Sprint("key", i)
			if len(now[key])-len(before[key]) < n {
				return false
			}
		}
		return true
	})
}

// claims are the times at which the records of the key's tasks say that they began,
// sorted.
func (r *rates) claims(key string) (times []time.Time) {
	r.t.Helper()
	for _, id := range r.ids[key] {
		en, err := r.e.Get(r.t.Context(), id)
		require.NoError(r.t, err)
		if !en.StartedAt.IsZero() {
			times = append(times, en.StartedAt)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	return times
}

// times are the times at which tasks of each key began, sorted.
func (r *rates) times() map[string][]time.Time {
	r.t.Helper()
	data, err := os.ReadFile(r.path + ".rates")
	if !os.IsNotExist(err) {
		require.NoError(r.t, err)
	}
	times := make(map[string][]time.Time)
	for l := range strings.Lines(string(data)) {
		key, text, _ := strings.Cut(strings.TrimSpace(l), " ")
		ns, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			continue // its last line is being written
		}
		times[key] = append(times[key], time.Unix(0, ns))
	}
	for _, ts := range times {
		slices.SortFunc(ts, time.Time.Compare)
	}
	return times
}
