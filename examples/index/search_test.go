package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A reader that has enough, as head does, is no error of the search.
func TestSearch_ReaderIsGone(t *testing.T) {
	dir, db := t.TempDir(), filepath.Join(t.TempDir(), "index.db")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.txt"), []byte("a canary\n"), 0o666))
	require.NoError(t, command(t.Context(), []string{"-db", db, dir}, io.Discard, io.Discard))

	r, w, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, r.Close())
	t.Cleanup(func() { _ = w.Close() })
	err = command(t.Context(), []string{"search", "-db", db, "canary"}, w, io.Discard)
	require.Error(t, err)
	assert.Zero(t, exitCode(err))
}
