package runtime

import (
	"context"
	"fmt"

	"github.com/taskctx/taskctx/runtime/engine"
)

// Transact calls do with a transaction of its own: it commits when do returns nil,
// and rolls back when do returns an error, which it returns, panics or calls
// runtime.Goexit.
//
//	err := runtime.Transact(ctx, db, func(tx *sql.Tx) error { ... })
//
// db is a *sql.DB, a *sql.Conn, a *pgxpool.Pool, a *pgx.Conn, or whatever else
// begins transactions so; they begin with the zero value of its options. It is for
// transactions within a task, and outside of tasks: when the task fails later what
// do wrote stays, and a retry writes it again. For one that ends with the task, see
// [Commit].
func Transact[T, O any](
	ctx context.Context, db interface {
		BeginTx(ctx context.Context, opts O) (T, error)
	}, do func(tx T) error,
) error {
	var opts O
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	committed := false
	defer func() {
		if !committed {
			rollbackTx(ctx, tx)
		}
	}()
	if err := do(tx); err != nil {
		return err
	}
	if err := commitTx(ctx, tx); err != nil {
		return err
	}
	committed = true
	return nil
}

// In returns an Enqueuer that stores tasks in the caller's transaction: they
// exist once it commits, and never if it does not. tx is a *sql.Tx, a pgx.Tx,
// or another transaction that the app's engine can use, on the database in
// which the engine keeps the tasks. On another engine, and for a transaction
// of another database, enqueueing fails with [ErrUnsupported].
//
// Neither a transaction nor its Enqueuer may be used concurrently. A Wait for
// a task before the commit never returns. A task with a unique key makes
// others that enqueue the same key wait for the transaction's end.
func (a *App) In(tx any) Enqueuer { return a.Via(&inserterIn{a, tx}) }

// inserterIn inserts in a transaction of the caller's.
type inserterIn struct {
	app *App
	tx  any
}

// Insert implements [engine.Inserter].
func (in *inserterIn) Insert(ctx context.Context, ms []*engine.Message) ([]engine.Inserted, error) {
	t, ok := engine.As[engine.Transactor](in.app.engine)
	if !ok {
		return nil, fmt.Errorf("%T stores no tasks in a transaction of its caller's: %w", in.app.engine, engine.ErrUnsupported)
	}
	joined, err := t.Join(ctx, in.tx)
	if err != nil {
		return nil, err
	}
	return joined.Insert(ctx, ms)
}
