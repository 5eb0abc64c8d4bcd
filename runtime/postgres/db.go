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
