package comingfrom

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/taskctx/taskctx/runtime"
)

// Sort sorts strings.
//
//task:context name=sort retries=24
func Sort(ctx context.Context, values []string) ([]string, error) {
	slices.Sort(values)
	return values, nil
}

// placeOrder writes an order and enqueues a task in one transaction: neither
// exists without the other. The app's engine is one of package postgres.
func placeOrder(ctx context.Context, app *runtime.App, db *sql.DB, items []string) error {
	return runtime.Transact(ctx, db, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO orders (items) VALUES ($1)", len(items)); err != nil {
			return err
		}
		_, err := EnqueueSort(ctx, app.In(tx), items)
		return err
	})
}

// sortAll enqueues two tasks as one, and waits for both.
func sortAll(ctx context.Context, app *runtime.App) (first, second []string, err error) {
	var b runtime.Batch
	one := runtime.AddTo(&b, SortCall([]string{"b", "a"}))
	two := runtime.AddTo(&b, SortCall([]string{"d", "c"}, runtime.WithPriority(3)))
	if err := b.Enqueue(ctx, app); err != nil {
		return nil, nil, err
	}
	first, err1 := one.Wait(ctx)
	second, err2 := two.Wait(ctx)
	return first, second, errors.Join(err1, err2)
}

// Export waits until its file is there, without using a retry, and gives up
// when nobody wants it any more.
//
//task:context name=export
func Export(ctx *runtime.Context, file string) error {
	switch file {
	case "not there yet":
		return runtime.Snooze(30 * time.Second)
	case "gone":
		return runtime.Cancelled("the file is gone")
	}
	ctx.Progress(1, 1, file)
	return nil
}

// reports has a task run every 15 minutes, and at the start if none has run for
// the last quarter.
func reports(app *runtime.App) {
	runtime.Every(app, runtime.Interval(15*time.Minute), ExportCall("report"), runtime.CatchUp())
}
