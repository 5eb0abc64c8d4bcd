//go:build unix

package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCheckpoint_OfAShortLog: when it is time, what is in the log alone is copied
// into the file, however short the log is.
func TestCheckpoint_OfAShortLog(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "tasks.db")
	e := open(t, path)
	_, err := e.InsertOne(t.Context(), message("file.task"))
	require.NoError(t, err)
	e.CheckpointSoon()
	alone := filepath.Join(folder, "alone.db") // the file without its log
	require.Eventually(t, func() bool {
		data := read(t, path)
		require.NoError(t, os.WriteFile(alone, data, 0o600))
		return len(data) > 4096 && query[int](t, alone, "SELECT count(*) FROM tasks") == 1
	}, 20*time.Second, 50*time.Millisecond)
}
