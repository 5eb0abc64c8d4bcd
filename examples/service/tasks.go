package main

//go:generate go tool taskgen

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"

	_ "modernc.org/sqlite" // the driver "sqlite", in pure Go

	"github.com/taskctx/taskctx/runtime"
)

// Bank charges cards. An order is charged once, however often it is asked.
type Bank interface {
	Charge(ctx context.Context, order, card string, cents int) error
}

// Lab is the context of this service's tasks.
type Lab struct {
	*runtime.Context
	Tx   *sql.Tx // from beginTx: one for each run of a task
	Bank Bank    `task:"supply"`
}

// File is the name of the database's file. Nothing provides it, so main
// supplies it.
type File string

const schema = `CREATE TABLE IF NOT EXISTS prints (
	orderid TEXT NOT NULL, photo TEXT NOT NULL, made INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (orderid, photo)
)`

// openDB opens the service's own database, once for the process.
//
//task:provide process
func openDB(ctx context.Context, file File) (*sql.DB, func() error, error) {
	db, err := sql.Open("sqlite", "file:"+string(file)+"?_txlock=immediate&_pragma=busy_timeout(10000)")
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(1) // SQLite has one writer
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, db.Close, nil
}

// beginTx gives each run a transaction, which commits when the task succeeds.
//
//task:provide task
func beginTx(ctx *runtime.Context, db *sql.DB) (*sql.Tx, func(error) error, error) {
	tx, err := db.BeginTx(ctx, nil)
	return tx, runtime.Commit(ctx, tx), err
}

// Order is an order of prints. An order that Validate refuses is not enqueued.
type Order struct {
	ID     string   `json:"id"`
	Photos []string `json:"photos"`
}

// Validate returns the first mistake in the order.
func (o Order) Validate() error {
	switch {
	case o.ID == "":
		return errors.New("it has no id")
	case len(o.Photos) == 0:
		return errors.New("it has no photos")
	}
	return nil
}

// Place notes what is to be printed, charges the card, and has the photos
// printed. A second order with this id and these photos is the same task.
//
//task:context retries=5 delay=200ms timeout=10s unique=24h redact=card
func Place(ctx *Lab, order Order, card string) error {
	for _, photo := range order.Photos {
		_, err := ctx.Tx.ExecContext(ctx, "INSERT OR IGNORE INTO prints (orderid, photo) VALUES (?, ?)", order.ID, photo)
		if err != nil {
			return err
		}
	}
	const price = 50
	if err := ctx.Bank.Charge(ctx, order.ID, card, price*len(order.Photos)); err != nil {
		return fmt.Errorf("charge %s: %w", card, err) // the card is shown nowhere, here neither
	}
	ctx.Logger().Info("charged", "order", order.ID)
	// Print cannot begin before this transaction has ended, since SQLite has one
	// writer. Elsewhere enqueue within the transaction, with ctx.App().In(ctx.Tx),
	// or after it.
	_, err := EnqueuePrint(ctx, ctx.App(), order.ID)
	return err
}

// Print makes the prints of an order: printPhoto gets each photo in turn, and
// its results are the task's.
//
//task:context each=printPhoto
func Print(ctx *Lab, order string) iter.Seq2[Photo, error] {
	return func(yield func(Photo, error) bool) {
		names, err := column(ctx, ctx.Tx, "SELECT photo FROM prints WHERE orderid = ? AND made = 0 ORDER BY photo", order)
		if err != nil {
			yield(Photo{}, err)
			return
		}
		for i, name := range names {
			ctx.Progress(int64(i), int64(len(names)), name)
			if !yield(Photo{order, name}, nil) {
				return
			}
		}
	}
}

// Photo is one photo of an order.
type Photo struct{ Order, Name string }

func printPhoto(ctx *Lab, p Photo) (string, error) {
	_, err := ctx.Tx.ExecContext(ctx, "UPDATE prints SET made = 1 WHERE orderid = ? AND photo = ?", p.Order, p.Name)
	return "print of " + p.Name, err
}

// Sweep forgets what was printed. main has it done every night.
//
//task:context retries=0
func Sweep(ctx *Lab) (int64, error) {
	r, err := ctx.Tx.ExecContext(ctx, "DELETE FROM prints WHERE made = 1")
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// column returns the texts that a query selects.
func column(ctx context.Context, tx *sql.Tx, query string, args ...any) (texts []string, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		texts = append(texts, s)
	}
	return texts, rows.Err()
}
