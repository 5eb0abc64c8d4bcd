// Service is a web service with background tasks: a photo lab that takes orders
// over HTTP, charges the card, and makes the prints.
//
//	go run ./examples/service
//	curl -i localhost:8080/orders -d '{"id":"o-1","photos":["ann.jpg","bob.jpg"],"card":"4111-1111"}'
//	curl localhost:8080/tasks/ID
//
// Tasks are in tasks.db and orders in prints.db, in the current folder. SIGINT
// and SIGTERM stop it: running tasks end first, the others go on at the next
// start.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/cron"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/otel"
	"github.com/taskctx/taskctx/runtime/sqlite"
	"github.com/taskctx/taskctx/runtime/wire"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "where to listen")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", *addr)
	if err == nil {
		err = serve(ctx, listener, os.Stderr)
	}
	stop()
	if err != nil {
		slog.Error("service ended", "error", err)
		os.Exit(1)
	}
}

// serve runs the service until ctx ends.
func serve(ctx context.Context, listener net.Listener, logs io.Writer) (err error) {
	// Logs are JSON, and lines logged with a task's context name the task.
	slog.SetDefault(slog.New(runtime.NewLogHandler(slog.NewJSONHandler(logs, nil))))
	engine, err := sqlite.Open("tasks.db", sqlite.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	app, err := newApp(engine, "prints.db", printedBank{})
	if err != nil {
		return err
	}
	server := &http.Server{Handler: routes(app), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	err = app.Run(ctx) // until the signal, or until the engine fails
	// Requests that are under way may still enqueue: the tasks are in the file.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = errors.Join(err, server.Shutdown(end))
	if serr := <-served; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return err
}

// newApp returns the app with its tasks, ready to start.
func newApp(engine engine.Engine, file File, bank Bank) (*runtime.App, error) {
	cfg := runtime.Config{Workers: 4, KeepLogs: 50}
	// Spans and metrics go to the global providers: set up an exporter as for
	// the rest of a program.
	if err := otel.Instrument(&cfg, otel.Config{}); err != nil {
		return nil, err
	}
	app := runtime.New(engine, cfg)
	RegisterTasks(app)
	runtime.Supply(app, file)
	runtime.Supply(app, bank)
	cron.Every(app, "CRON_TZ=Europe/Vienna 30 3 * * *", SweepCall())
	return app, nil
}

// routes returns the handlers of the requests.
func routes(app *runtime.App) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Order
			Card string `json:"card"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		h, err := EnqueuePlace(r.Context(), app, body.Order, body.Card, runtime.WithTag("order", body.ID))
		if invalid := new(wire.InvalidError); errors.As(err, &invalid) {
			http.Error(w, invalid.Error(), http.StatusUnprocessableEntity)
			return
		}
		if err != nil {
			slog.ErrorContext(r.Context(), "enqueue", "error", err)
			http.Error(w, "try again later", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Location", "/tasks/"+h.ID().String())
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("GET /tasks/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, err := uuid.Parse(r.PathValue("id"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		record, err := app.Lookup(r.Context(), id)
		switch {
		case errors.Is(err, engine.ErrNotFound):
			http.NotFound(w, r)
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		default: // Place's redacted parameter is left out of the record
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(record) // the client is gone
		}
	})
	return mux
}

// printedBank is a bank that logs charges instead of making them.
type printedBank struct{}

// Charge logs the charge, without the card.
func (printedBank) Charge(ctx context.Context, order, _ string, cents int) error {
	slog.InfoContext(ctx, "bank", "order", order, "cents", cents)
	return nil
}
