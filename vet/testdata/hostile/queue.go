//go:build !never

package hostile

import (
	"context"
	"database/sql"

	"github.com/taskctx/taskctx/runtime"
)

func transactions(ctx context.Context, db *sql.DB, app *runtime.App, kind int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer EnqueueNil(ctx, app) // after the commit, then
	switch kind {
	case 1:
		tx.Rollback()
		return nil
	case 2:
		if err := tx.Commit(); err != nil {
			return err
		}
		_, err := EnqueueNil(ctx, app)
		return err
	}
	if kind == 3 {
		if kind > 2 {
			tx.Rollback()
		}
		return nil
	}
	if _, err := EnqueueNil(ctx, app); err != nil { // want `the task is enqueued beside the open transaction tx`
		return err
	}
	return tx.Commit()
}

func batches(ctx context.Context, app *runtime.App) (out runtime.Batch) {
	runtime.AddTo(&out, NilCall())
	b := &runtime.Batch{}
	runtime.AddTo(b, NilCall()) // want `the calls in b are never enqueued`
	sent := new(runtime.Batch)
	runtime.AddTo(sent, NilCall())
	later := func() error { return sent.Enqueue(ctx, app) }
	_ = later()
	return
}
