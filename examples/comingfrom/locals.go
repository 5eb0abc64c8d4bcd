package comingfrom

import (
	"context"
	"log/slog"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/local"
)

// requestID is set once, where a request comes in. It is in every log line
// below, and travels with the tasks that are enqueued for the request.
var requestID = local.New[string]("request_id", local.InLogs(), local.Travels())

// status is set by a task and its children.
var status = local.New[string]("status")

// handleRequest is a web handler's middleware: it opens a scope and sets the
// id, from the request's header.
func handleRequest(ctx context.Context, header string, next func(ctx context.Context) error) error {
	ctx = local.With(ctx)
	if err := requestID.Set(ctx, header); err != nil {
		return err
	}
	return next(ctx)
}

// newLogger returns a logger whose lines have the locals that are marked for
// it, when they are logged with a context.
func newLogger(h slog.Handler) *slog.Logger { return slog.New(runtime.NewLogHandler(h)) }

// Audit reads the request's id, in whichever process it runs.
//
//task:context
func Audit(ctx *runtime.Context) (string, error) {
	ctx.Logger().Info("audited") // with request_id
	return requestID.Get(ctx)
}

// Crawl shows what a child sees and what its parent sees of it.
//
//task:context
func Crawl(ctx *runtime.Context) ([]string, error) {
	var seen []string
	for _, mode := range []local.ForkMode{local.Copy, local.Share, local.Overlay} {
		if err := status.Set(ctx, "RUNNING"); err != nil {
			return nil, err
		}
		child := local.Go(ctx, mode, func(ctx context.Context) error {
			return status.Set(ctx, "DONE")
		})
		if err := child.Wait(); err != nil {
			return nil, err
		}
		seen = append(seen, status.GetOr(ctx, "unknown"))
	}
	return seen, nil // RUNNING, DONE, RUNNING
}
