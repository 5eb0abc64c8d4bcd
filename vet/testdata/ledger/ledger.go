// Ledger closes books at night: it is right, and nothing of it is reported.
package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/local"
)

// Books is what the tasks work with.
type Books struct {
	*runtime.Context
	DB *sql.DB `task:"supply"`
}

var opened = runtime.NewKey[int]("opened", runtime.PerProcess, nil)

// CloseDay closes a day.
//
//task:context retries=1
func CloseDay(ctx *Books, day time.Time) (sum int64, err error) {
	defer func() {
		_, _ = ctx.DB.ExecContext(context.WithoutCancel(ctx), "ANALYZE")
	}()
	child := local.Go(ctx, local.Copy, func(ctx context.Context) error { return ctx.Err() })
	if err := child.Wait(); err != nil {
		return 0, err
	}
	if _, err := runtime.Stored(ctx, opened, func(context.Context) (int, error) { return 1, nil }); err != nil {
		return 0, err
	}
	for range 3 {
		err := ctx.DB.QueryRowContext(ctx, "SELECT sum(amount) FROM entries WHERE day = $1", day).Scan(&sum)
		switch {
		case err == nil:
			return sum, nil
		case errors.Is(err, sql.ErrNoRows):
			return 0, runtime.Permanent(err)
		}
		if err := ctx.Sleep(time.Second); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("no sum of %s", day)
}

// Publish closes days, one after the other.
//
//task:context
func Publish(ctx *runtime.Context, days []time.Time) error {
	for i, day := range days {
		sum, err := runtime.Step(ctx, fmt.Sprint("day/", i), func(books *Books) (int64, error) { return CloseDay(books, day) })
		if err != nil {
			return err
		}
		switch {
		case sum > 0:
			err = runtime.Rest(ctx, fmt.Sprint("rest/", i), time.Hour)
		default:
			err = runtime.Rest(ctx, fmt.Sprint("rest/", i), time.Minute)
		}
		if err != nil {
			return err
		}
	}
	_, err := runtime.Step(ctx, "report", report)
	return err
}

func report(ctx *Books) (int, error) { return 0, nil }

// Main is no task: it may do all of it.
func Main(app *runtime.App) {
	ctx := context.Background()
	go func() { _ = app.Run(ctx) }()
	time.Sleep(time.Second)
	h, err := EnqueueCloseDay(ctx, app, time.Now())
	if err != nil {
		log.Fatal(err)
	}
	if _, err := h.Wait(ctx); err != nil {
		log.Fatal(err)
	}
	_ = app.Stop(ctx)
}
