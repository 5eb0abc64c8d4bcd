// Worker runs the tasks of the depot and of the van.
//
//	go run ./examples/parcels/worker -engine redis://localhost:6379
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/taskctx/taskctx/examples/parcels/depot"
	"github.com/taskctx/taskctx/examples/parcels/van"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engines"
)

func main() {
	url := flag.String("engine", "sqlite:tasks.db", "where the tasks are")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := work(ctx, *url)
	stop()
	if err != nil {
		slog.Error("worker ended", "error", err)
		os.Exit(1)
	}
}

// work runs tasks until ctx ends.
func work(ctx context.Context, url string) (err error) {
	eng, err := engines.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, eng.Close()) }()
	app := runtime.New(eng, runtime.Config{Workers: 4})
	depot.RegisterTasks(app)
	van.RegisterTasks(app)
	runtime.Supply(app, &depot.Depot{Log: slog.Default()})
	runtime.Supply(app, &van.Van{Log: slog.Default()})
	return app.Run(ctx)
}
