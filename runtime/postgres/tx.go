package postgres

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// Tx returns an Enqueuer that stores tasks in the caller's transaction: they
// exist when it commits, and never if it does not. The app's engine must be of
// this package, or have a method Unwrap() engine.Engine that leads to one, and
// the transaction must be on its database. Neither a transaction nor its
// Enqueuer may be used concurrently. A Wait for a task before the commit never
// returns.
//
// A task with a unique key makes others that enqueue the same key wait for the
// transaction's end.
func Tx(app *runtime.App, tx pgx.Tx) runtime.Enqueuer {
	return via(app, pgxDB{tx})
}

// SQLTx is Tx for a transaction of database/sql, on a database opened with
// pgx's driver for it, github.com/jackc/pgx/v5/stdlib.
func SQLTx(app *runtime.App, tx *sql.Tx) runtime.Enqueuer {
	return via(app, sqlDB{tx})
}

func via(app *runtime.App, d db) runtime.Enqueuer {
	return app.Via(txInserter{unwrap(app.Engine()), d})
}

// unwrap returns the engine of this package that e is or wraps, nil if there
// is none.
func unwrap(e engine.Engine) *Engine {
	for {
		if own, ok := e.(*Engine); ok {
			return own
		}
		u, ok := e.(interface{ Unwrap() engine.Engine })
		if !ok {
			return nil
		}
		e = u.Unwrap()
	}
}

// txInserter inserts into a transaction of the caller's.
type txInserter struct {
	e *Engine
	d db
}

// Insert implements [engine.Inserter].
func (t txInserter) Insert(ctx context.Context, ms []*engine.Message) ([]engine.Inserted, error) {
	if t.e == nil {
		return nil, errors.New("the app's engine is not of package postgres")
	}
	if len(ms) == 0 {
		return nil, nil
	}
	if err := t.e.mayInsert(ctx); err != nil {
		return nil, err
	}
	l, err := t.e.newLot(ms)
	if err != nil {
		return nil, err
	}
	if l.keys != nil { // the key's row needs a number
		if l.id, err = t.e.nextNumbers(ctx, t.d, l.Len()); err != nil {
			return nil, t.e.failed("insert tasks in the transaction", err)
		}
	}
	ins, err := t.e.store(ctx, t.d, l)
	if err != nil {
		return nil, t.e.failed("insert tasks in the transaction", err)
	}
	return ins, nil
}
