//go:build unix

package sqlite_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/engine"
)

var (
	limitKeys  = flag.Int("limitkeys", 20, "under how many keys the tasks of TestLimit_KilledWorkers are")
	limitKills = flag.Int("limitkills", 6, "how many worker processes TestLimit_KilledWorkers kills")
	limitTasks = flag.Int("limittasks", 1200, "how many tasks TestLimit_KilledWorkers runs")
)

// TestLimit_KilledWorkers kills worker processes again and again while they run tasks
// of many keys, two of a key at a time. By what the tasks themselves have written down,
// never a third of a key runs, and all end: no place of a killed worker is lost.
//
// Proves: FEATURES 95
func TestLimit_KilledWorkers(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts many processes")
	}
	const processes, most = 4, 2
	p := newPlace(t)
	lease := workerLease + "=2s"
	workers := make([]*exec.Cmd, processes)
	for i := range workers {
		workers[i] = p.worker(lease)
	}
	keyOf := make(map[string]string)
	var ids []uuid.UUID
	for len(ids) < *limitTasks {
		ms := make([]*engine.Message, 100)
		for i := range ms {
			id := uuid.Must(uuid.NewV7())
			key := fmt.Sprint("key ", (len(ids)+i)%*limitKeys)
			keyOf[id.String()] = key
			ms[i] = &engine.Message{
				Name: stepTask, Queue: "default", Args: []byte("{}"), Keep: time.Hour,
				Limits: []engine.Limit{{Rule: "key", Key: key, Most: most}, {Rule: "all", Key: "all", Most: 25}},
				Meta:   engine.Meta{Version: engine.WireLimited, ID: id, Retries: 1000},
			}
		}
		_, err := p.e.Insert(context.Background(), ms)
		require.NoError(t, err)
		for _, m := range ms {
			ids = append(ids, m.Meta.ID)
		}
	}
	note, err := os.OpenFile(p.path+".journal", os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	defer note.Close()
	for k := range *limitKills {
		want := int64(*limitTasks * (k + 1) / (*limitKills + 1))
		p.await("the tasks before the next kill", func() bool { return journalEnds(p.path) >= want })
		victim := workers[k%processes]
		require.NoError(t, victim.Process.Kill())
		_ = victim.Wait()
		_, err := fmt.Fprintf(note, "kill %s %07d 0\n", uuid.Nil, victim.Process.Pid)
		require.NoError(t, err)
		workers[k%processes] = p.worker(lease)
	}
	lost := p.wait(ids)
	for _, w := range workers {
		p.end(w)
	}
	over, peak := p.overLimit(keyOf, most)
	t.Logf("%d kills, %d tasks of %d keys: %d lost, %d starts beyond %d of a key, at most %d ran at a time",
		*limitKills, len(ids), *limitKeys, lost, over, most, peak)
	assert.Zero(t, lost)
	assert.Zero(t, over)
	assert.Greater(t, peak, most, "keys do not wait for each other")
	p.await("no place is held any more", func() bool {
		counts, err := p.e.Limits(t.Context())
		return err == nil && len(counts) == 0
	})
}

// overLimit reads in the journal how often a task began while as many of its key ran
// as may, and how many ran at a time at most. A run is over when it says so, and when
// its process is killed.
func (p *place) overLimit(keyOf map[string]string, most int) (over, peak int) {
	running := make(map[string]map[line]bool) // by key
	all := make(map[line]bool)
	for _, l := range p.journal() {
		run := line{id: l.id, pid: l.pid}
		key := keyOf[l.id]
		switch l.what {
		case "start":
			if running[key] == nil {
				running[key] = make(map[line]bool)
			}
			running[key][run], all[run] = true, true
			if len(running[key]) > most {
				over++
			}
			peak = max(peak, len(all))
		case "end":
			delete(running[key], run)
			delete(all, run)
		case "kill":
			for r := range all {
				if r.pid == l.pid {
					delete(all, r)
					delete(running[keyOf[r.id]], r)
				}
			}
		}
	}
	return over, peak
}
