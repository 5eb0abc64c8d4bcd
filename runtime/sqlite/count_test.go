//go:build unix

package sqlite_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/engine"
)

// TestCounts_LargeFile: what waits or has ended badly is counted exactly also
// beside many tasks that succeeded, whose number is an estimate near the truth,
// whatever gaps there are between them.
func TestCounts_LargeFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tasks.db")
	e := open(t, file)
	const never = "4611686018427387904"
	change(t, file, fmt.Sprintf(`
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
		INSERT INTO tasks(seq, name, queue, state, keep, ended_at)
		SELECT i * iif(i > 45000, 7, 1), 'a.b', iif(i %% 4 = 0, 'rare', 'usual'), 8, %[1]s, 1 FROM n;
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)
		INSERT INTO tasks(name, queue, state) SELECT 'a.b', 'long', 2 FROM n;
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 7)
		INSERT INTO tasks(name, queue, state, keep, keep_failed, ended_at) SELECT 'a.b', 'q' || i, 9, %[1]s, %[1]s, 1 FROM n;
		INSERT INTO tasks(name, queue, state) VALUES ('a.b', 'short', 2);
		INSERT INTO tasks(name, queue, state, due) VALUES ('a.b', 'short', 6, %[1]s);`, never))
	counts, err := e.Counts(t.Context())
	require.NoError(t, err)
	got := make(map[string]engine.Count)
	for _, c := range counts {
		got[c.Queue+" "+string(c.State)] = c
	}
	exact := func(queue string, s engine.State, n int64) {
		t.Helper()
		c := got[queue+" "+string(s)]
		assert.Equal(t, s == engine.StatePending, !c.Oldest.IsZero(), "%+v", c)
		c.Oldest = time.Time{}
		assert.Equal(t, engine.Count{Queue: queue, State: s, Tasks: n}, c)
	}
	estimate := func(queue string, s engine.State, n, off float64) {
		t.Helper()
		c := got[queue+" "+string(s)]
		assert.True(t, c.Estimated, "%+v", c)
		assert.InDelta(t, n, c.Tasks, off, "%s %s", queue, s)
	}
	for i := range 7 {
		exact(fmt.Sprintf("q%d", i+1), engine.StateFailed, 1)
	}
	exact("short", engine.StatePending, 1)
	exact("short", engine.StateScheduled, 1)
	estimate("long", engine.StatePending, 12_000, 3_000)
	estimate("usual", engine.StateSucceeded, 45_000, 6_000)
	estimate("rare", engine.StateSucceeded, 15_000, 4_000)
}

// TestCounts_EachStateOfManyQueues: beside many ended tasks, what waits or has
// ended badly is exact up to [engine.ExactCounts] of each state and queue, in
// large queues and in small ones between them.
func TestCounts_EachStateOfManyQueues(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tasks.db")
	e := open(t, file)
	const never int64 = 1 << 62
	statements := []string{`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 21000)
		INSERT INTO tasks(name, queue, state, keep, ended_at) SELECT 'a.b', 'ended', 8, 4611686018427387904, 1 FROM n`}
	want := make(map[string]int64)
	put := func(queue string, n int64, state engine.State, columns, values string) {
		want[queue+" "+string(state)] += n
		statements = append(statements, fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
			INSERT INTO tasks(name, queue, %s) SELECT 'a.b', '%s', %s FROM n`, n, columns, queue, values))
	}
	for i := range 300 {
		put(fmt.Sprintf("a%03d", i), 3, engine.StatePending, "state", "2")
	}
	put("big", 10_000, engine.StatePending, "state", "2")
	put("big", 7_000, engine.StateRetrying, "state, attempt", "3, 1")
	put("big", 9_000, engine.StateScheduled, "state, due", fmt.Sprint("6, ", never))
	put("big", 2_000, engine.StateWaiting, "state, due", fmt.Sprint("11, ", never))
	put("big", 9_000, engine.StateFailed, "state, ended_at, keep", fmt.Sprint("9, 1, ", never))
	put("big", 9_000, engine.StateCancelled, "state, ended_at, keep, keep_failed", fmt.Sprintf("10, 1, 0, %d", never))
	for i := range 50 {
		queue := fmt.Sprintf("c%02d", i)
		put(queue, 1, engine.StatePending, "state, due", "6, 1")
		put(queue, 2, engine.StatePending, "state", "5")
		put(queue, 3, engine.StatePending, "state", "12")
		put(queue, 4, engine.StateRetrying, "state, attempt", "5, 1")
		put(queue, 5, engine.StateRetrying, "state, attempt, due", fmt.Sprint("7, 1, ", never))
		put(queue, 6, engine.StateRetrying, "state, attempt", "13, 1")
		put(queue, 7, engine.StateRunning, "state, lease", "4, 1")
	}
	put("over", 40, "", "state, ended_at, keep", "9, 1, 1") // nothing keeps them
	delete(want, "over ")
	change(t, file, strings.Join(statements, ";\n"))
	counts, err := e.Counts(t.Context())
	require.NoError(t, err)
	got := make(map[string]int64)
	for _, c := range counts {
		if c.State == engine.StateSucceeded {
			assert.True(t, c.Estimated, "%+v", c)
			continue
		}
		assert.False(t, c.Estimated, "%+v", c)
		got[c.Queue+" "+string(c.State)] = c.Tasks
	}
	assert.Equal(t, want, got)
}
