package sqlite_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite"
)

// TestServe_GoesOnWhenADiskHasRoomAgain: a disk that was full is given some room, less
// than the log takes by itself before it is copied: all tasks end, also one by one, which
// takes more of the log.
func TestServe_GoesOnWhenADiskHasRoomAgain(t *testing.T) {
	for _, slots := range []int{5, 1} {
		t.Run(fmt.Sprint(slots, " slots"), func(t *testing.T) { testFullDisk(t, 12, 6, slots) })
	}
}

// TestServe_GoesOnInWhatTheLogTook: the same where there is room for what the tasks
// write only once the log gives back what it took until the disk was full.
func TestServe_GoesOnInWhatTheLogTook(t *testing.T) { testFullDisk(t, 16, 4, 5) }

// testFullDisk fills a disk of so many MiB, gives some of them back, and runs all tasks.
func testFullDisk(t *testing.T, size, back, slots int) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", size)); err != nil {
		t.Skipf("it needs a small disk: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	ballast := filepath.Join(dir, "ballast")
	require.NoError(t, os.WriteFile(ballast, make([]byte, back<<20), 0o600))
	e := open(t, filepath.Join(dir, "tasks.db"), sqlite.Config{})
	ctx, stop := context.WithCancel(t.Context())
	var ids []uuid.UUID
	for {
		m := message("file.task")
		m.Args = bytes.Repeat([]byte("1"), 4000)
		in, err := e.Insert(ctx, []*engine.Message{m})
		if err != nil {
			require.ErrorIs(t, err, sqlite.ErrFull)
			break
		}
		ids = append(ids, in[0].ID)
	}
	require.NoError(t, os.Remove(ballast))
	served := make(chan error, 1)
	go func() {
		served <- e.Serve(ctx, &engine.Worker{
			ID: "w", Slots: slots, Queues: []string{"default"}, Names: []string{"file.task"}, ParkFor: time.Hour,
			Run: func(context.Context, *engine.Delivery) engine.Outcome {
				return engine.Outcome{Kind: engine.OutcomeSucceed, Result: bytes.Repeat([]byte("1"), 4000)}
			},
		})
	}()
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, id := range ids {
		entry, err := e.Wait(wait, id)
		require.NoError(t, err)
		require.Equal(t, engine.StateSucceeded, entry.State)
	}
	stop()
	require.NoError(t, <-served)
}
