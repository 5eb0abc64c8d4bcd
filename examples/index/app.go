package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	goruntime "runtime"
	"time"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/hook"
)

const memoryURL = "memory:"

// appOptions are how a process takes part in the work.
type appOptions struct {
	engine  string // where the tasks are, by URL
	db      string
	workers int
	verbose bool
	log     *slog.Logger
}

func (o *appOptions) addFlags(flags *flag.FlagSet) {
	flags.StringVar(&o.engine, "engine", memoryURL, "keep the tasks at `URL`")
	flags.StringVar(&o.db, "db", "index.db", "the index, a SQLite `file`")
	flags.IntVar(&o.workers, "workers", goruntime.NumCPU(), "index `n` files at a time")
	flags.BoolVar(&o.verbose, "v", false, "list every file that failed, and log what the tasks do")
}

// check completes the options, and returns their first mistake.
func (o *appOptions) check(notes io.Writer) error {
	if o.workers < 0 || o.workers == 0 && o.engine == memoryURL {
		fmt.Fprintf(notes, "-workers %d: it must be at least 1, or 0 with an -engine of other processes\n", o.workers)
		return errUsage
	}
	o.log = slog.New(slog.DiscardHandler) // the summary lists what failed
	if o.verbose {
		o.log = slog.New(slog.NewTextHandler(notes, nil))
	}
	return nil
}

// newApp opens the engine and returns the app on it, not started.
func (o *appOptions) newApp(ctx context.Context, observers ...hook.Observer) (*runtime.App, func() error, error) {
	e, err := openEngine(ctx, o.engine)
	if err != nil {
		return nil, nil, err
	}
	app := runtime.New(e, runtime.Config{Workers: o.workers, Logger: o.log, Observers: observers})
	RegisterTasks(app)
	runtime.Supply(app, IndexFile(o.db))
	return app, e.Close, nil
}

// work runs tasks that other processes enqueue, until ctx ends.
func work(ctx context.Context, o appOptions, out, notes io.Writer) error {
	done, failed := 0, 0
	said := time.Now()
	count := hook.ObserverFunc(func(e hook.Event) { // one event at a time
		switch {
		case e.Kind != hook.EventEnd:
		case e.State == engine.StateSucceeded:
			done++
		case e.State == engine.StateFailed:
			failed++
		}
		if now := time.Now(); e.Kind == hook.EventEnd && now.Sub(said) >= lineEvery {
			said = now
			fmt.Fprintf(notes, "indexed %d files, %d failed\n", done, failed)
		}
	})
	app, closeEngine, err := o.newApp(ctx, count)
	if err != nil {
		return err
	}
	fmt.Fprintf(notes, "indexing what others enqueue, %d files at a time; Ctrl-C stops\n", o.workers)
	runErr := app.Run(ctx)
	closeErr := closeEngine()
	fmt.Fprintf(out, "indexed  %d\nfailed   %d\n", done, failed)
	if runErr != nil {
		return runErr
	}
	return closeErr
}
