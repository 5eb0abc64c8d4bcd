//go:build unix

package sqlite_test

import (
	"bytes"
	"database/sql"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite"
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

// TestCheckpoint_StuckReader: while another program reads the file for long, the log
// grows and one line tells of it; when it has gone, the log is short again.
func TestCheckpoint_StuckReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	logs := new(lockedBuffer)
	e := open(t, path, sqlite.Config{Logger: slog.New(slog.NewTextHandler(logs, nil))})
	insert := func(mib int) {
		t.Helper()
		ms := make([]*engine.Message, 10*mib)
		for i := range ms {
			ms[i] = message("file.task")
			ms[i].Args = bytes.Repeat([]byte("1"), 100<<10)
		}
		_, err := e.Insert(t.Context(), ms)
		require.NoError(t, err)
	}
	insert(1)
	db, err := sql.Open("sqlite", "file:"+path)
	require.NoError(t, err)
	defer db.Close()
	tx, err := db.Begin()
	require.NoError(t, err)
	var n int
	require.NoError(t, tx.QueryRow("SELECT count(*) FROM tasks").Scan(&n))
	for range 30 {
		insert(5)
	}
	assert.Equal(t, 1, strings.Count(logs.String(), "another program has been reading the file for long"), "the log is\n%s", logs)
	require.NoError(t, tx.Rollback())
	require.Eventually(t, func() bool {
		insert(1)
		info, err := os.Stat(path + "-wal")
		return err == nil && info.Size() <= 64<<20
	}, 30*time.Second, 50*time.Millisecond)
}
