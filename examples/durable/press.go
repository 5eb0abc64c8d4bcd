package durable

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/taskctx/taskctx/runtime"
)

// PressContext has a transaction: only steps take it.
//
//task:context
type PressContext struct {
	*runtime.Context
	Tx *sql.Tx
}

// begin begins the transaction of a step, which commits before the step is
// remembered.
//
//task:provide task
func begin(ctx *runtime.Context, db *sql.DB) (*sql.Tx, func(error) error, error) {
	tx, err := db.BeginTx(ctx, nil)
	return tx, runtime.Commit(ctx, tx), err
}

// Archive moves the pages of a book into the archive, each in a transaction of its
// own.
//
//task:context durable retries=5
func Archive(ctx *runtime.Context, book string, pages int) error {
	for n := range pages {
		_, err := runtime.Step(ctx, fmt.Sprint("page/", n), func(ctx *PressContext) (runtime.Void, error) {
			_, err := ctx.Tx.ExecContext(ctx, "INSERT INTO archive SELECT * FROM pages WHERE book = ? AND n = ?", book, n)
			return runtime.Void{}, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Notify tells the readers of a book, and waits for none of them.
//
//task:context durable
func Notify(ctx *runtime.Context, readers []string) error {
	for _, reader := range readers {
		runtime.Spawn(ctx, reader, MailCall(reader, runtime.Orphan()))
	}
	return nil // the children are stored before the task ends
}

// Mail tells one reader.
//
//task:context
func Mail(ctx context.Context, reader string) error {
	_, err := fmt.Println("dear", reader)
	return err
}
