// Web takes orders over HTTP and enqueues them. It has nothing of the code that
// runs them: "go list -deps ./examples/parcels/web" names neither depot nor van.
//
//	go run ./examples/parcels/web -engine redis://localhost:6379
//	curl localhost:8080/tasks/api/tasks -H 'Content-Type: application/json' \
//		-d '{"name": "depot.Depot.Pack", "args": {"p": {"id": "p-1", "to": "Ann", "grams": 300}}}'
//
// The client in client.ts does the same, typed.
//
//task:client of=../depot skip=Depot.TakeBack
package main

//go:generate go tool taskgen
//go:generate sh -c "go tool taskgen schema -format ts > client.ts"

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/engines"
	"github.com/taskctx/taskctx/runtime/web"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "where to listen")
	url := flag.String("engine", "sqlite:tasks.db", "where the tasks are")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := serve(ctx, *addr, *url)
	stop()
	if err != nil {
		slog.Error("web ended", "error", err)
		os.Exit(1)
	}
}

// serve answers requests until ctx ends.
func serve(ctx context.Context, addr, url string) (err error) {
	eng, err := engines.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, eng.Close()) }()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	slog.Info("listening", "addr", listener.Addr().String())
	server := &http.Server{Handler: handler(eng), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Shutdown(context.WithoutCancel(ctx)) })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// handler returns the API and the dashboard, on an app that only enqueues.
func handler(eng engine.Engine) http.Handler {
	app := runtime.New(eng, runtime.Config{})
	RegisterClient(app)
	mux := http.NewServeMux()
	mux.Handle("/tasks/", http.StripPrefix("/tasks", web.Handler(app, web.Config{})))
	return mux
}
