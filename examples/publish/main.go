package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
	"github.com/taskctx/taskctx/runtime/sqlite"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "publish:", err)
		os.Exit(1)
	}
}

// settings are the program's flags.
type settings struct {
	file, addr, site, by string
	embargo              time.Duration
	crash                int
}

func run(ctx context.Context, args []string) (err error) {
	var s settings
	f := flag.NewFlagSet("publish", flag.ContinueOnError)
	f.StringVar(&s.file, "tasks", "publish.db", "the `file` that holds the tasks")
	f.StringVar(&s.site, "site", "site", "the `folder` of the site")
	f.StringVar(&s.addr, "addr", "localhost:8080", "where to approve the site")
	f.StringVar(&s.by, "approve", "", "approve the site at once, in this `name`")
	f.DurationVar(&s.embargo, "embargo", 5*time.Second, "how long to wait after the approval")
	f.IntVar(&s.crash, "crash", 0, "kill this process after so many pages; 0 is never")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() != 1 {
		return errors.New("name one folder with Go packages")
	}
	source, err := filepath.Abs(f.Arg(0))
	if err != nil {
		return err
	}
	// A short lease: what a killed process ran goes on seconds after the next start.
	eng, err := sqlite.Open(s.file, sqlite.Config{Lease: 2 * time.Second})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, eng.Close()) }()
	quiet := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	app := runtime.New(eng, runtime.Config{Logger: quiet})
	RegisterTasks(app)
	runtime.Supply(app, &rendered{crash: s.crash})
	return publish(ctx, app, s, Order{Source: source, Site: s.site, Embargo: s.embargo})
}

// publish has the site made, and waits until it is public.
func publish(ctx context.Context, app *runtime.App, s settings, order Order) (err error) {
	// The key leads a second start to the task of the first.
	h, err := EnqueuePublish(ctx, app, order, runtime.WithActiveKey("publish "+order.Site))
	if err != nil {
		return err
	}
	if h.Existing() {
		fmt.Println("going on with", h.ID())
	}
	if err := app.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, app.Stop(context.WithoutCancel(ctx))) }()
	desk := &server{app, h.ID(), order}
	url, shut, err := desk.listen(s.addr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shut()) }()
	if s.by != "" {
		if err := Approved.Send(ctx, app, h.ID(), Approval{s.by, true}, runtime.WithSendKey("approval")); err != nil {
			return err
		}
	}
	fmt.Println("see how far it is, and approve it, at", url)
	watched, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { watch(watched, app, h.ID()) })
	n, err := h.Wait(ctx)
	cancel()
	watching.Wait()
	if ctx.Err() != nil {
		fmt.Println("stopped; the same command goes on from here")
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Printf("%d pages are in %s\n", n, filepath.Join(order.Site, "index.html"))
	return nil
}

// watch prints what the task waits for, whenever that changes.
func watch(ctx context.Context, app *runtime.App, id uuid.UUID) {
	last := ""
	for tick := time.NewTicker(200 * time.Millisecond); ; {
		rec, err := app.Lookup(ctx, id)
		if err == nil && rec.State == engine.StateWaiting && rec.Reason != last {
			last = rec.Reason
			fmt.Println("it", last)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return
		}
	}
}

// rendered counts the pages of this process, which kills itself after some.
type rendered struct {
	mu    sync.Mutex
	n     int // guarded by mu
	crash int
}

func (r *rendered) add(dir string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	if r.n == r.crash {
		fmt.Println("killed after", dir)
		if self, err := os.FindProcess(os.Getpid()); err == nil {
			_ = self.Kill() // as a crash: nothing is cleaned up
		}
	}
}

func listenOn(addr string) (net.Listener, error) {
	var l net.ListenConfig
	return l.Listen(context.Background(), "tcp", addr)
}
