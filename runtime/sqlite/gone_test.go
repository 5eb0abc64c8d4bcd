//go:build unix

package sqlite_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite"
)

// TestOpen_SymlinkAfterACrash: a file that is reached by a symbolic link is as
// sound as any other when its log holds what the file lacks.
func TestOpen_SymlinkAfterACrash(t *testing.T) {
	made := filepath.Join(t.TempDir(), "tasks.db")
	first := open(t, made)
	for range 50 {
		_, err := first.InsertOne(t.Context(), message("file.task"))
		require.NoError(t, err)
	}
	// What a crash leaves: the file and its log, as they are now.
	folder := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(folder, "shared"), 0o755))
	for _, suffix := range []string{"", "-wal"} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, "shared", "tasks.db"+suffix), read(t, made+suffix), 0o600))
	}
	link := filepath.Join(folder, "current.db")
	require.NoError(t, os.Symlink("shared/tasks.db", link))
	e := open(t, link)
	counts, err := e.Counts(t.Context())
	require.NoError(t, err)
	require.Len(t, counts, 1)
	assert.Equal(t, []engine.Count{{Queue: "default", State: engine.StatePending, Tasks: 50, Oldest: counts[0].Oldest}}, counts)
}

// TestOpen_SymlinkToNothing: the file is made where the link leads.
func TestOpen_SymlinkToNothing(t *testing.T) {
	folder := t.TempDir()
	link := filepath.Join(folder, "current.db")
	require.NoError(t, os.Symlink("tasks.db", link))
	e := open(t, link)
	_, err := e.InsertOne(t.Context(), message("file.task"))
	require.NoError(t, err)
	assert.FileExists(t, filepath.Join(folder, "tasks.db"))
	assert.FileExists(t, filepath.Join(folder, "tasks.db-wal"))
}

// TestOpen_HardLink: a file with a second name is opened by neither, also while it is
// open by the first, and is sound when the second name is gone. Each name would have a
// log of its own, which the other does not read.
//
// Proves: RELIABILITY 35
func TestOpen_HardLink(t *testing.T) {
	folder := t.TempDir()
	path, link := filepath.Join(folder, "tasks.db"), filepath.Join(folder, "other.db")
	first, err := sqlite.Open(path, sqlite.Config{Logger: discard})
	require.NoError(t, err)
	_, err = first.InsertOne(t.Context(), message("file.task"))
	require.NoError(t, err)
	require.NoError(t, os.Link(path, link))
	refused := func(path string) {
		t.Helper()
		_, err := sqlite.Open(path, sqlite.Config{Logger: discard})
		require.ErrorIs(t, err, sqlite.ErrLinked)
		require.NotErrorIs(t, err, sqlite.ErrDamaged)
		assert.ErrorContains(t, err, path)
		assert.NoFileExists(t, link+"-wal")
	}
	refused(link)
	_, err = first.InsertOne(t.Context(), message("file.task"))
	require.NoError(t, err)
	require.NoError(t, first.Close())
	refused(link)
	refused(path)
	require.NoError(t, os.Remove(path))
	e := open(t, link) // by its only name
	counts, err := e.Counts(t.Context())
	require.NoError(t, err)
	require.Len(t, counts, 1)
	assert.EqualValues(t, 2, counts[0].Tasks)
}

// TestInsert_IntoAFileThatIsGone: no task is acknowledged into a file that was
// deleted or replaced, and a worker on it ends.
func TestInsert_IntoAFileThatIsGone(t *testing.T) {
	for name, remove := range map[string]func(t *testing.T, path string){
		"deleted": func(t *testing.T, path string) {
			for _, suffix := range []string{"", "-wal", "-shm"} {
				require.NoError(t, os.Remove(path+suffix))
			}
		},
		"its log deleted": func(t *testing.T, path string) { require.NoError(t, os.Remove(path+"-wal")) },
		"replaced": func(t *testing.T, path string) {
			require.NoError(t, os.Rename(madeFile(t, 3), path))
		},
		"its folder renamed": func(t *testing.T, path string) {
			require.NoError(t, os.Rename(filepath.Dir(path), filepath.Dir(path)+".old"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "here")
			require.NoError(t, os.Mkdir(folder, 0o755))
			path := filepath.Join(folder, "tasks.db")
			e, err := sqlite.Open(path, sqlite.Config{Logger: discard})
			require.NoError(t, err)
			defer func() { _ = e.Close() }()
			_, err = e.InsertOne(t.Context(), message("file.task"))
			require.NoError(t, err)
			producer, err := sqlite.Open(path, sqlite.Config{Logger: discard})
			require.NoError(t, err)
			defer func() { _ = producer.Close() }()
			served := make(chan error, 1)
			go func() {
				served <- e.Serve(context.Background(), &engine.Worker{ID: "w", Slots: 1, Queues: []string{"other"}, ParkFor: time.Hour})
			}()
			remove(t, path)
			_, err = producer.InsertOne(t.Context(), message("file.task"))
			assert.ErrorIs(t, err, sqlite.ErrGone)
			_, err = producer.Insert(t.Context(), []*engine.Message{message("file.task"), message("file.task")})
			assert.ErrorIs(t, err, sqlite.ErrGone)
			select {
			case err := <-served:
				assert.ErrorIs(t, err, sqlite.ErrGone)
			case <-time.After(time.Minute):
				t.Fatal("the worker goes on with a file that is gone")
			}
		})
	}
}

// TestOpen_Existing: who only looks makes nothing.
func TestOpen_Existing(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "none.db")
	_, err := sqlite.Open(path, sqlite.Config{Existing: true})
	require.ErrorIs(t, err, os.ErrNotExist)
	assert.NoFileExists(t, path)
	empty := filepath.Join(folder, "empty.db")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	_, err = sqlite.Open(empty, sqlite.Config{Existing: true})
	require.ErrorIs(t, err, sqlite.ErrEmpty)
	assert.Empty(t, read(t, empty))
	change(t, empty, "VACUUM; PRAGMA user_version = 0") // a database without a table
	_, err = sqlite.Open(empty, sqlite.Config{Existing: true})
	require.ErrorIs(t, err, sqlite.ErrEmpty)
	e := open(t, madeFile(t, 1), sqlite.Config{Existing: true})
	_, err = e.InsertOne(t.Context(), message("file.task"))
	assert.NoError(t, err)
}
