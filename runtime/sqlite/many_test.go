//go:build unix

package sqlite_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite"
	"github.com/taskctx/taskctx/runtime/sqlite/internal/lite"
)

// serveSome serves the queues and names until the test ends.
func serveSome(t *testing.T, e *sqlite.Engine, queues, names []string, parkFor time.Duration) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- e.Serve(ctx, &engine.Worker{
			ID: "w " + t.Name(), Slots: 4, Queues: queues, Names: names, ParkFor: parkFor,
			Run: func(context.Context, *engine.Delivery) engine.Outcome {
				return engine.Outcome{Kind: engine.OutcomeSucceed}
			},
		})
	}()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-served)
	})
}

func insertAll(t *testing.T, e *sqlite.Engine, ms []*engine.Message) {
	t.Helper()
	for len(ms) > 0 {
		n := min(1000, len(ms))
		_, err := e.Insert(t.Context(), ms[:n])
		require.NoError(t, err)
		ms = ms[n:]
	}
}

func succeeds(t *testing.T, e *sqlite.Engine, m *engine.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	en, err := e.Wait(ctx, m.Meta.ID)
	require.NoError(t, err)
	require.Equal(t, engine.StateSucceeded, en.State)
}

// countSteps counts the steps of all statements while the test runs.
func countSteps(t *testing.T) *atomic.Int64 {
	n := new(atomic.Int64)
	lite.Fault = func() error { n.Add(1); return nil }
	t.Cleanup(func() { lite.Fault = nil })
	return n
}

// lines collects a log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) with(s string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, s) {
			found = append(found, line)
		}
	}
	return found
}

// TestServe_TasksOfManyUnknownNames: they delay no other task, whichever process
// enqueues; the log tells of them in a line, with a count; and a worker that knows
// one of them finds it.
//
// Proves: RELIABILITY 36
func TestServe_TasksOfManyUnknownNames(t *testing.T) {
	const n = 3000
	steps := countSteps(t)
	path := filepath.Join(t.TempDir(), "tasks.db")
	var log lines
	e := open(t, path, sqlite.Config{Logger: slog.New(slog.NewTextHandler(&log, nil)), PollInterval: time.Millisecond})
	other := open(t, path)
	ms := make([]*engine.Message, n)
	for i := range ms {
		ms[i] = message(fmt.Sprintf("unknown.Task%d", i))
	}
	insertAll(t, e, ms)
	serveSome(t, e, []string{"default"}, []string{"file.task"}, time.Hour)
	known := message("file.task")
	insertAll(t, e, []*engine.Message{known})
	succeeds(t, e, known)
	require.Eventually(t, func() bool {
		return query[int](t, path, "SELECT count(*) FROM tasks WHERE state = 5") == n
	}, 30*time.Second, 10*time.Millisecond)
	before := steps.Load()
	const rounds = 50
	for range rounds { // each is a change by another process
		m := message("file.task")
		insertAll(t, other, []*engine.Message{m})
		succeeds(t, e, m)
	}
	assert.Less(t, (steps.Load()-before)/rounds, int64(n/10), "statements for each task of another process")
	told := log.with("no worker knows")
	if assert.Len(t, told, 1) {
		assert.Contains(t, told[0], "tasks=")
	}
	serveSome(t, e, []string{"default"}, []string{"unknown.Task77"}, time.Hour)
	succeeds(t, e, ms[77])
}

// TestServe_FailsUnknownTasksOfAnyPriority: those that have waited for too long
// fail, wherever they stand among the parked ones.
func TestServe_FailsUnknownTasksOfAnyPriority(t *testing.T) {
	e := open(t, filepath.Join(t.TempDir(), "tasks.db"), sqlite.Config{Logger: discard})
	var ms []*engine.Message
	for i := range 900 {
		m := message(fmt.Sprintf("unknown.Task%d", i%450))
		m.Priority = int8(i % 4)
		ms = append(ms, m)
	}
	insertAll(t, e, ms)
	serveSome(t, e, []string{"default"}, []string{"file.task"}, 50*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, m := range ms {
		en, err := e.Wait(ctx, m.Meta.ID)
		require.NoError(t, err)
		require.Equal(t, engine.StateFailed, en.State)
		require.Contains(t, en.Reason, "no worker knew the task")
	}
}

// TestServe_ManyQueues: what a task costs does not grow with the queues that the
// worker serves.
//
// Proves: RELIABILITY 32
func TestServe_ManyQueues(t *testing.T) {
	const n = 1000
	steps := countSteps(t)
	path := filepath.Join(t.TempDir(), "tasks.db")
	e := open(t, path, sqlite.Config{Logger: discard, PollInterval: time.Millisecond})
	other := open(t, path)
	queues, ms := make([]string, n), make([]*engine.Message, n)
	for i := range queues {
		queues[i] = fmt.Sprintf("tenant-%d", i)
		ms[i] = message("file.task")
		ms[i].Queue = queues[i]
	}
	insertAll(t, e, ms)
	before := steps.Load()
	serveSome(t, e, queues, []string{"file.task"}, time.Hour)
	for _, m := range ms {
		succeeds(t, e, m)
	}
	assert.Less(t, (steps.Load()-before)/n, int64(100), "statements for each task of the backlog")
	for name, producer := range map[string]*sqlite.Engine{"here": e, "by another process": other} {
		before, rounds := steps.Load(), 50
		for i := range rounds {
			m := message("file.task")
			m.Queue = queues[i*n/rounds]
			insertAll(t, producer, []*engine.Message{m})
			succeeds(t, e, m)
		}
		assert.Less(t, (steps.Load()-before)/int64(rounds), int64(n/5), "statements for each task enqueued "+name)
	}
}

// TestServe_RowThatCannotBeChanged: a task whose row refuses to change, here by a
// trigger of somebody else, delays no other, and the error is nobody else's.
func TestServe_RowThatCannotBeChanged(t *testing.T) {
	for name, trigger := range map[string]string{
		"abort":          "BEFORE UPDATE ON tasks WHEN OLD.seq = 5 BEGIN SELECT RAISE(ABORT, 'no'); END",
		"fail":           "BEFORE UPDATE ON tasks WHEN OLD.seq = 5 BEGIN SELECT RAISE(FAIL, 'no'); END",
		"rollback":       "BEFORE UPDATE ON tasks WHEN OLD.seq = 5 BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
		"claimed only":   "BEFORE UPDATE OF lease ON tasks WHEN OLD.seq = 5 BEGIN SELECT RAISE(ABORT, 'no'); END",
		"never succeeds": "BEFORE UPDATE ON tasks WHEN OLD.seq = 5 AND NEW.state = 8 BEGIN SELECT RAISE(ABORT, 'no'); END",
		"never ends":     "BEFORE UPDATE ON tasks WHEN OLD.seq = 5 AND NEW.state >= 8 BEGIN SELECT RAISE(ABORT, 'no'); END",
	} {
		t.Run(name, func(t *testing.T) {
			path := madeFile(t, 10)
			change(t, path, "CREATE TRIGGER evil "+trigger)
			e := open(t, path, sqlite.Config{Logger: discard})
			serveSome(t, e, []string{"default"}, []string{"file.task"}, time.Hour)
			for range 20 {
				m := message("file.task")
				_, err := e.InsertOne(t.Context(), m)
				require.NoError(t, err, "the error of a claim is not the one of an insert")
				succeeds(t, e, m)
			}
			require.Eventually(t, func() bool {
				return query[int](t, path, "SELECT count(*) FROM tasks WHERE state = 8") == 29
			}, 20*time.Second, 10*time.Millisecond)
			switch reason := query[string](t, path, "SELECT coalesce(reason, '') FROM tasks WHERE seq = 5"); name {
			case "claimed only":
				assert.Contains(t, reason, "cannot claim the task")
			case "never succeeds":
				require.Eventually(t, func() bool {
					return query[int](t, path, "SELECT count(*) FROM tasks WHERE state = 9 AND reason LIKE 'cannot record%'") == 1
				}, 20*time.Second, 10*time.Millisecond)
			}
		})
	}
}
