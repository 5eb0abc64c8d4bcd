package postgres

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// db is what statements run on: a pool, a transaction of pgx, or one of
// database/sql.
type db interface {
	query(ctx context.Context, sql string, args []any, each func(scan func(...any) error) error) error
}

// pgxDB is a db on a pool or transaction of pgx.
type pgxDB struct {
	q interface {
		Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	}
}

func (d pgxDB) query(ctx context.Context, text string, args []any, each func(func(...any) error) error) error {
	rows, err := d.q.Query(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	rows.Close()
	return rows.Err()
}

// steerSQL makes the planner take the indexes, for the rest of the transaction.
//
// Postgres keeps the plan of a prepared statement until the table is analyzed,
// however large the table becomes meanwhile. One that it made while the table
// was small reads all of it, or all of an index, each time. What runs for each
// task, or each few of them, is to find its rows in a large table and in a small
// one in the same way. Plans with a step that is off, where there is no other,
// look so expensive that they would be compiled.
const steerSQL = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
	set_config('enable_nestloop', 'off', true), set_config('enable_mergejoin', 'off', true),
	set_config('enable_sort', 'off', true), set_config('jit', 'off', true)`

// steered returns a batch for statements that are planned with steerSQL.
func steered() *pgx.Batch {
	b := new(pgx.Batch)
	b.Queue(steerSQL)
	return b
}

// steeredDB is a db on a pool, for statements that are planned with steerSQL.
type steeredDB struct{ pool *pgxpool.Pool }

func (d steeredDB) query(ctx context.Context, text string, args []any, each func(func(...any) error) error) error {
	b := steered()
	b.Queue(text, args...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			if err := each(rows.Scan); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	return d.pool.SendBatch(ctx, b).Close()
}

// sqlDB is a db on a transaction of database/sql, by pgx's driver for it.
type sqlDB struct{ tx *sql.Tx }

func (d sqlDB) query(ctx context.Context, text string, args []any, each func(func(...any) error) error) (err error) {
	rows, err := d.tx.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// inTx runs f in a transaction.
func inTx(ctx context.Context, pool *pgxpool.Pool, f func(db) error) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return f(pgxDB{tx}) })
}
