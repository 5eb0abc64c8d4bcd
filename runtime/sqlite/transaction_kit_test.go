//go:build unix

package sqlite_test

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/enginetest"
)

// appDB opens a file as an app does that has its own tables in it.
func appDB(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(20000)")
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// ownTables makes the tables of an app in a file.
func ownTables(t testing.TB, path string) {
	t.Helper()
	_, err := appDB(t, path).Exec("CREATE TABLE tasks(n INTEGER); CREATE TABLE keys(k TEXT); PRAGMA user_version = 57")
	require.NoError(t, err)
}

// begin begins a transaction of the app's.
func begin(t testing.TB, path string) enginetest.Transaction {
	t.Helper()
	tx, err := appDB(t, path).BeginTx(t.Context(), nil)
	require.NoError(t, err)
	return enginetest.Transaction{
		Tx: tx, Commit: tx.Commit, Rollback: tx.Rollback,
		Write: func() error {
			_, err := tx.Exec("CREATE TABLE IF NOT EXISTS app_rows(n INTEGER); INSERT INTO app_rows VALUES (1)")
			return err
		},
	}
}
