package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/taskctx/taskctx/runtime"
)

// pauseFlags declares pause and resume: done is what to say of each queue, or, with
// -task, of each name.
func pauseFlags(done string, queue, task func(*runtime.App, context.Context, string) error) func(*flag.FlagSet) action {
	return func(f *flag.FlagSet) action {
		tasks := f.Bool("task", false, "names of tasks instead of queues")
		return func(ctx context.Context, s *session, args []string) error {
			do, what := queue, "queue"
			if *tasks {
				do, what = task, "task"
			}
			var errs []error
			for _, name := range args {
				if err := do(s.app, ctx, name); err != nil {
					errs = append(errs, err)
					continue
				}
				fmt.Fprintf(s.out, "%s %s %s\n", what, oneLine(name), done)
			}
			return errors.Join(errs...)
		}
	}
}

func pausedFlags(f *flag.FlagSet) action {
	asJSON := f.Bool("json", false, "write a line of JSON for each")
	return func(ctx context.Context, s *session, _ []string) error {
		paused, err := s.app.Paused(ctx)
		if err != nil {
			return err
		}
		if *asJSON {
			e := json.NewEncoder(s.out)
			for _, p := range paused {
				if err := e.Encode(p); err != nil {
					return err
				}
			}
			return nil
		}
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		for _, p := range paused {
			what, name := "queue", p.Queue
			if name == "" {
				what, name = "task", p.Name
			}
			since := "-"
			if !p.Since.IsZero() {
				since = p.Since.Local().Format(time.DateTime)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", what, oneLine(name), since)
		}
		return w.Flush()
	}
}
