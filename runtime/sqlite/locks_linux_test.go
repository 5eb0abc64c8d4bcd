package sqlite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/sqlite"
)

// locksOn returns the locks that this process has on a file, as the kernel lists
// them.
func locksOn(t *testing.T, path string) (locks []string) {
	t.Helper()
	all, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Skip(err)
	}
	var st syscall.Stat_t
	require.NoError(t, syscall.Stat(path, &st))
	for line := range strings.Lines(string(all)) {
		if strings.Contains(line, fmt.Sprintf(" %d ", os.Getpid())) && strings.Contains(line, fmt.Sprintf(":%d ", st.Ino)) {
			_, lock, _ := strings.Cut(line, ":")
			locks = append(locks, lock)
		}
	}
	return locks
}

// TestOpen_LeavesLocksAlone: to open a file a second time in a process, and to
// close it, ends no lock that the first connection has on it. A program that finds
// no lock takes the log away.
func TestOpen_LeavesLocksAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	first := open(t, path)
	_, err := first.InsertOne(t.Context(), message("file.task"))
	require.NoError(t, err)
	before := locksOn(t, path)
	require.NotEmpty(t, before)
	second, err := sqlite.Open(path, sqlite.Config{})
	require.NoError(t, err)
	assert.Equal(t, before, locksOn(t, path), "while the second is open")
	require.NoError(t, second.Close())
	assert.Equal(t, before, locksOn(t, path), "after the second was closed")
}
