package comingfrom

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
)

// SendEmail sends an email, with retries after 1 s, 2 s and 4 s.
//
//task:context retries=3 delay=1s backoff=2
func SendEmail(ctx context.Context, address string) error {
	return connect(ctx, address)
}

// connect is called by a task, at any depth, or by something that is none. It
// needs the context that every Go function passes on, and nothing else.
func connect(ctx context.Context, address string) error {
	task, ok := runtime.FromContext(ctx)
	log := task.Logger() // outside a task, where task is nil, slog.Default()
	log.Info("connecting", "to", address, "plan", task.Metadata().Tags.Get("plan"))
	if ok && task.Metadata().Attempt == 0 {
		return errors.New("server is busy")
	}
	return nil
}

// queueEmail enqueues the task with a tag, and with a key that lets it be
// enqueued only once a day.
func queueEmail(ctx context.Context, app *runtime.App, address string) (uuid.UUID, error) {
	h, err := EnqueueSendEmail(ctx, app, address,
		runtime.WithTag("plan", "pro"), runtime.WithKey("welcome:"+address, day))
	if err != nil {
		return uuid.Nil, err
	}
	return h.ID(), nil
}

// showTask prints what became of a task: its state, its log with marks where
// the retries began, and its errors. Config.KeepLogs says how many lines are
// kept.
func showTask(ctx context.Context, w io.Writer, app *runtime.App, id uuid.UUID) error {
	rec, err := app.Lookup(ctx, id)
	if err != nil {
		return err
	}
	fmt.Fprintln(w, rec.Name, rec.State)
	for _, line := range rec.Logs {
		if line.Retry {
			fmt.Fprintf(w, "--- %s ---\n", line.Message)
			continue
		}
		fmt.Fprintln(w, line.Level, line.Message, line.Attrs)
	}
	for _, e := range rec.Errors {
		fmt.Fprintln(w, "attempt", e.Attempt, e.Error)
	}
	return nil
}
