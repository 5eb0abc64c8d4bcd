package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/taskctx/taskctx/runtime/enginetest"
)

const writeRow = "CREATE TEMP TABLE IF NOT EXISTS app_rows(n int); INSERT INTO app_rows VALUES (1)"

func beginPgx(tb testing.TB, pool *pgxpool.Pool) enginetest.Transaction {
	tb.Helper()
	ctx := context.Background()
	tx, err := pool.Begin(ctx)
	require.NoError(tb, err)
	return enginetest.Transaction{
		Tx:     tx,
		Commit: func() error { return tx.Commit(ctx) }, Rollback: func() error { return tx.Rollback(ctx) },
		Write: func() error {
			_, err := tx.Exec(ctx, writeRow)
			return err
		},
	}
}

func beginSQL(tb testing.TB, pool *pgxpool.Pool) enginetest.Transaction {
	tb.Helper()
	db := stdlib.OpenDBFromPool(pool)
	tb.Cleanup(func() { _ = db.Close() })
	tx, err := db.Begin()
	require.NoError(tb, err)
	return enginetest.Transaction{
		Tx: tx, Commit: tx.Commit, Rollback: tx.Rollback,
		Write: func() error {
			_, err := tx.Exec(writeRow)
			return err
		},
	}
}

// otherDatabase makes a database of its own on the same server.
func otherDatabase(tb testing.TB, server string) *pgxpool.Pool {
	tb.Helper()
	ctx := context.Background()
	name := fmt.Sprintf("other_%d", schemas.Add(1))
	admin, err := pgxpool.New(ctx, server)
	require.NoError(tb, err)
	tb.Cleanup(admin.Close)
	_, err = admin.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	require.NoError(tb, err)
	_, err = admin.Exec(ctx, "CREATE DATABASE "+name)
	require.NoError(tb, err)
	tb.Cleanup(func() { _, _ = admin.Exec(context.Background(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	u, err := url.Parse(server)
	require.NoError(tb, err)
	u.Path = "/" + name
	pool, err := pgxpool.New(ctx, u.String())
	require.NoError(tb, err)
	tb.Cleanup(pool.Close)
	return pool
}
