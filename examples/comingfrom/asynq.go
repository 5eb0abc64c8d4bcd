package comingfrom

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/cron"
	"github.com/taskctx/taskctx/runtime/engine"
)

const day = 24 * time.Hour

// Delivery is the payload, as asynq's producers write it.
type Delivery struct {
	UserID   int    `json:"user_id"`
	Template string `json:"template"`
}

// Validate refuses what makes no sense, when the task is enqueued and again
// before it runs.
func (d Delivery) Validate() error {
	if d.UserID <= 0 {
		return errors.New("user_id must be positive")
	}
	return nil
}

// Deliver delivers a mail, and returns its number.
//
//task:context name=email:deliver inline=d queue=critical retries=10 timeout=20s
func Deliver(ctx context.Context, d Delivery) (int, error) {
	if d.Template == "" {
		return 0, runtime.Permanent(errors.New("no template")) // no retry helps
	}
	return 1000 + d.UserID, nil
}

// deliverLater enqueues for later, once an hour for the same arguments.
func deliverLater(ctx context.Context, app *runtime.App, d Delivery) (number int, err error) {
	h, err := EnqueueDeliver(ctx, app, d, runtime.WithDelay(time.Minute), runtime.WithUnique(time.Hour))
	if err != nil {
		return 0, err
	}
	return h.Wait(ctx)
}

// Cleanup is run by a schedule.
//
//task:context
func Cleanup(ctx *runtime.Context) error { return nil }

// schedule has a task run every five minutes, once however many processes do
// this. An expression that is wrong is an error when the app starts.
func schedule(app *runtime.App) {
	cron.Every(app, "*/5 * * * *", CleanupCall())
}

// logging is middleware.
func logging(next runtime.Handler) runtime.Handler {
	return func(ctx *runtime.Context) error {
		begin := time.Now()
		err := next(ctx)
		ctx.Logger().Info("done", "took", time.Since(begin), "error", err)
		return err
	}
}

// inspect lists the tasks that failed for good, and runs them once more.
func inspect(ctx context.Context, w io.Writer, app *runtime.App) error {
	q := engine.Query{Queue: "critical", States: []engine.State{engine.StateFailed}}
	for {
		records, next, err := app.List(ctx, q)
		if err != nil {
			return err
		}
		for _, rec := range records {
			fmt.Fprintln(w, rec.Name, string(rec.Args), rec.Reason)
			if err := app.Retry(ctx, rec.ID); err != nil {
				return err
			}
		}
		if q.Cursor = next; next == "" {
			return nil
		}
	}
}
