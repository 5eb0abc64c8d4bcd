//go:build unix

package sqlite_test

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestWriter_IsFairToOtherProcesses: a process that is always busy lets another one write, and prints
// how long that waits.
func TestWriter_IsFairToOtherProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	busy, other := open(t, path), open(t, path)
	ctx := context.Background()
	var stop atomic.Bool
	var wg sync.WaitGroup
	var inserted atomic.Int64
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				if _, err := busy.InsertOne(ctx, message("fair.task")); err != nil {
					t.Error(err)
					return
				}
				inserted.Add(1)
			}
		})
	}
	var waits []time.Duration
	for range 100 {
		for n := inserted.Load(); inserted.Load() < n+10; { // it is busy again
			time.Sleep(100 * time.Microsecond)
		}
		start := time.Now()
		if _, err := other.InsertOne(ctx, message("fair.task")); err != nil {
			t.Fatal(err)
		}
		waits = append(waits, time.Since(start))
	}
	stop.Store(true)
	wg.Wait()
	slices.Sort(waits)
	t.Logf("beside %d inserts of a busy process, an insert took %v (median), %v (longest)",
		inserted.Load(), waits[len(waits)/2], waits[len(waits)-1])
}
