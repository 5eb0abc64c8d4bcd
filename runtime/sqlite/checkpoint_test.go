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

// TestCheckpoint_ShortLogEnds: after the disk was full the log stays as short as the
// room that it is copied into may be, and when that time is over it grows as before,
// until the disk is full once more.
//
// Proves: RELIABILITY 35
func TestCheckpoint_ShortLogEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	e := open(t, path)
	insert := func() error { // some 400 kB
		ms := make([]*engine.Message, 100)
		for i := range ms {
			ms[i] = message("file.task")
			ms[i].Args = bytes.Repeat([]byte("1"), 4000)
		}
		_, err := e.Insert(t.Context(), ms)
		return err
	}
	fill := func() {
		t.Helper()
		require.NoError(t, e.LimitPages(1))
		var err error
		for range 100 {
			if err = insert(); err != nil {
				break
			}
		}
		require.ErrorIs(t, err, sqlite.ErrFull)
		require.NoError(t, e.LimitPages(0))
	}
	grows := func() (size int64) { // to that many bytes, while 12 MB are written
		t.Helper()
		for range 30 {
			require.NoError(t, insert())
			info, err := os.Stat(path + "-wal")
			require.NoError(t, err)
			size = max(size, info.Size())
		}
		return size
	}
	const short, long = 4 << 20, 8 << 20
	require.Greater(t, grows(), int64(long), "before the disk was full")
	for range 2 {
		fill()
		require.NoError(t, insert()) // the log begins anew
		assert.Less(t, grows(), int64(short), "after the disk was full")
		require.True(t, e.EndCareful())
		require.NoError(t, insert())
		assert.Greater(t, grows(), int64(long), "later")
		require.False(t, e.EndCareful())
	}
}
