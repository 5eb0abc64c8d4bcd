//go:build unix

package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	goruntime "runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/sqlite"
)

// TestIn: tasks that are enqueued in a transaction are there once it commits.
//
// Proves: FEATURES 104
func TestIn(t *testing.T) {
	l := newLedger(t, runtime.Config{Workers: 4}, func(ctx *runtime.Context, tx *sql.Tx, a, b int) error {
		for range b { // a tree: each enqueues so many of the next generation
			if _, err := add(newAddTask("ledger.Add"), a+1, b-1).Enqueue(ctx, ctx.App().In(tx)); err != nil {
				return err
			}
		}
		return nil
	})
	l.start()
	roll := func(commit bool) *runtime.Handle[int] {
		tx, err := l.db.Begin()
		require.NoError(t, err)
		h, err := l.enqueue(l.app.In(tx), 0, 3)
		require.NoError(t, err)
		if !commit {
			require.NoError(t, tx.Rollback())
			return h
		}
		require.NoError(t, tx.Commit())
		return h
	}
	gone, there := roll(false), roll(true)
	_, err := there.Wait(t.Context())
	require.NoError(t, err)
	require.Eventually(t, func() bool { return l.rows()[3] == 6 }, time.Minute, 5*time.Millisecond)
	assert.Equal(t, map[int]int{0: 1, 1: 3, 2: 6, 3: 6}, l.rows())
	_, err = gone.Record(t.Context())
	require.ErrorIs(t, err, runtime.ErrNotFound)

	other, err := appDB(t, filepath.Join(t.TempDir(), "other.db")).Begin()
	require.NoError(t, err)
	defer func() { _ = other.Rollback() }()
	for _, tx := range []any{other, nil, "x", l.db} {
		_, err := l.enqueue(l.app.In(tx), 0, 0)
		require.ErrorIs(t, err, runtime.ErrUnsupported, "%T", tx)
	}
}

// TestTransact commits what is done without an error.
func TestTransact(t *testing.T) {
	l := newLedger(t, runtime.Config{}, nil)
	l.db.SetMaxOpenConns(1) // what is not ended would stop the next one
	insert := func(n int, end func() error) error {
		return runtime.Transact(t.Context(), l.db, func(tx *sql.Tx) error {
			if _, err := tx.Exec("INSERT INTO ledger VALUES (?, 1)", n); err != nil {
				return err
			}
			return end()
		})
	}
	errOwn := errors.New("own")
	require.NoError(t, insert(1, func() error { return nil }))
	require.Equal(t, errOwn, insert(2, func() error { return errOwn }))
	require.PanicsWithValue(t, "x", func() { _ = insert(3, func() error { panic("x") }) })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = insert(4, func() error { goruntime.Goexit(); return nil })
	}()
	<-ended
	ctx, cancel := context.WithCancel(t.Context())
	err := runtime.Transact(ctx, l.db, func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO ledger VALUES (5, 1)")
		cancel()
		return err
	})
	require.Error(t, err)
	require.Error(t, runtime.Transact(ctx, l.db, func(*sql.Tx) error { return nil }), "the context has ended")
	conn, err := l.db.Conn(t.Context())
	require.NoError(t, err)
	require.NoError(t, runtime.Transact(t.Context(), conn, func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO ledger VALUES (6, 1)")
		return err
	}))
	require.NoError(t, conn.Close())
	assert.Equal(t, map[int]int{1: 1, 6: 1}, l.rows())
}

// TestBeside: the app's file stays the app's, and is told apart from others.
func TestBeside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	ownTables(t, path)
	_, err := sqlite.Open(path, sqlite.Config{})
	require.ErrorIs(t, err, sqlite.ErrForeign)
	_, err = sqlite.Open(path, sqlite.Config{Beside: true, Existing: true})
	require.ErrorIs(t, err, sqlite.ErrEmpty)
	first := open(t, path, sqlite.Config{Beside: true})
	_, err = first.InsertOne(t.Context(), message("file.task"))
	require.NoError(t, err)
	second := open(t, path, sqlite.Config{Existing: true}) // as the command does
	counts, err := second.Counts(t.Context())
	require.NoError(t, err)
	require.Len(t, counts, 1)
	assert.EqualValues(t, 1, counts[0].Tasks)
	db := appDB(t, path)
	var version, app, tables int
	require.NoError(t, db.QueryRow("PRAGMA user_version").Scan(&version))
	require.NoError(t, db.QueryRow("PRAGMA application_id").Scan(&app))
	require.NoError(t, db.QueryRow("SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'taskctx%' AND name NOT LIKE 'sqlite%'").Scan(&tables))
	assert.Equal(t, []int{57, 0, 2}, []int{version, app, tables})
	var shown string
	require.NoError(t, db.QueryRow("SELECT name || ' ' || state FROM taskctx_task").Scan(&shown))
	assert.Equal(t, "file.task pending", shown)
	_, err = db.Exec(fmt.Sprintf("INSERT INTO taskctx_schema VALUES (%d, %[1]d)", sqlite.SchemaVersion+1))
	require.NoError(t, err)
	_, err = sqlite.Open(path, sqlite.Config{Beside: true})
	require.ErrorIs(t, err, sqlite.ErrNewer)
}
