package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/internal/servertest"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/postgres"
)

// TestCommit_ThroughAPooler: the same where engine and tasks reach the server
// through PgBouncer in transaction mode, however pgx sends statements.
//
// Proves: RELIABILITY 34, 37
func TestCommit_ThroughAPooler(t *testing.T) {
	slow(t)
	t.Parallel()
	direct := servertest.Postgres(t)
	through := servertest.NewPgBouncer(t, direct, "transaction")
	for _, sends := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		for _, library := range []string{"pgx", "database/sql"} {
			level := pgx.ReadCommitted
			if sends == "exec" {
				level = pgx.Serializable
			}
			t.Run(fmt.Sprint(library, " ", sends, " ", level), func(t *testing.T) {
				testCommit(t, newSchema(t, direct), through+"&default_query_exec_mode="+sends, 2, level, library)
			})
		}
	}
}

var errNotYet = errors.New("not yet")

// unexpected returns the errors that no run of testCommit may end with. Behind a
// pooler, statements that pgx has prepared on one connection of the server's are
// missing on another, or there from another client. An attempt that ends so has not
// come to the error of the test.
func unexpected(err error, url string) error {
	var pe *pgconn.PgError
	switch {
	case errors.Is(err, errNotYet):
		return nil
	case errors.As(err, &pe) && strings.Contains(url, "cache_statement") && (pe.Code == "26000" || pe.Code == "42P05"):
		return nil
	case errors.As(err, &pe) && pe.Code == "40001": // of RepeatableRead and Serializable
		return nil
	}
	return err
}

// TestJoin_ThroughAPooler: the engine's statements in the caller's transactions work
// behind PgBouncer in transaction mode, where the next transaction is in another
// session, and in a session that another client has used, though pgx prepares the
// caller's.
//
// Proves: RELIABILITY 34
func TestJoin_ThroughAPooler(t *testing.T) {
	slow(t)
	direct := servertest.Postgres(t)
	through := servertest.NewPgBouncer(t, direct, "transaction")
	for _, opened := range []string{direct, through} {
		for _, library := range []string{"pgx", "database/sql"} {
			t.Run(fmt.Sprint(library, " pooled ", opened == through), func(t *testing.T) {
				app := runtime.New(open(t, opened, postgres.Config{Schema: newSchema(t, direct)}), runtime.Config{Logger: quiet})
				a, b, holds := newClient(t, through, library), newClient(t, through, library), newClient(t, through, "pgx")
				first := a.insert(t, app)
				release, held := holds.hold(t)
				second := a.insert(t, app)
				other, hold := newClient(t, through, "pgx").hold(t)
				release()
				third := b.insert(t, app)
				other()
				assert.Equal(t, []int{first, third}, []int{held, held}, "of the session that has prepared it, and for another client")
				assert.Equal(t, second, hold, "in another session")
				assert.NotEqual(t, first, second)
			})
		}
	}
}

// client is one connection to the pooler.
type client struct {
	begin func(t *testing.T) (tx any, session int, commit func() error)
}

func newClient(t *testing.T, url, library string) client {
	pool := newPool(t, url, 1)
	const ask = "SELECT pg_backend_pid()"
	ctx := context.Background()
	if library == "pgx" {
		return client{func(t *testing.T) (_ any, session int, _ func() error) {
			tx, err := pool.Begin(ctx)
			require.NoError(t, err)
			t.Cleanup(func() { _ = tx.Rollback(ctx) })
			require.NoError(t, tx.QueryRow(ctx, ask, pgx.QueryExecModeExec).Scan(&session))
			return tx, session, func() error { return tx.Commit(ctx) }
		}}
	}
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { _ = db.Close() })
	return client{func(t *testing.T) (_ any, session int, _ func() error) {
		tx, err := db.BeginTx(ctx, nil)
		require.NoError(t, err)
		t.Cleanup(func() { _ = tx.Rollback() })
		require.NoError(t, tx.QueryRowContext(ctx, ask, pgx.QueryExecModeExec).Scan(&session))
		return tx, session, tx.Commit
	}}
}

// hold keeps a session, the last that was used, until it is released.
func (c client) hold(t *testing.T) (release func(), session int) {
	_, session, commit := c.begin(t)
	return func() { require.NoError(t, commit()) }, session
}

// insert enqueues a task in a transaction, and returns its session.
func (c client) insert(t *testing.T, app *runtime.App) (session int) {
	tx, session, commit := c.begin(t)
	h, err := addRow(1).Enqueue(t.Context(), app.In(tx))
	require.NoError(t, err)
	require.NoError(t, commit())
	_, err = app.Lookup(t.Context(), h.ID())
	require.NoError(t, err)
	return session
}
