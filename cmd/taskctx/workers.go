package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/taskctx/taskctx/runtime/engine"
)

// workersFlags declares workers.
func workersFlags(f *flag.FlagSet) action {
	asJSON := f.Bool("json", false, "print each worker as a line of JSON")
	return func(ctx context.Context, s *session, _ []string) error {
		workers, err := s.app.Workers(ctx)
		if err != nil {
			return err
		}
		slices.SortFunc(workers, func(x, y engine.WorkerInfo) int {
			return cmp.Or(x.StartedAt.Compare(y.StartedAt), cmp.Compare(x.ID, y.ID))
		})
		if *asJSON {
			for _, w := range workers {
				if err := encodeLine(s.out, w); err != nil {
					return err
				}
			}
			return nil
		}
		if len(workers) == 0 {
			fmt.Fprintln(s.errOut, "no workers")
			return nil
		}
		out := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(out, "WORKER\tHOST\tBUSY\tSTARTED\tSEEN\tQUEUES\tTASKS")
		for _, w := range workers {
			host := w.Host
			if w.PID != 0 {
				host = fmt.Sprintf("%s/%d", host, w.PID)
			}
			seen := showTime(w.SeenAt)
			if w.Lost {
				seen += " LOST"
			}
			fmt.Fprintf(out, "%s\t%s\t%d/%d\t%s\t%s\t%s\t%d\n", oneLine(w.ID), oneLine(host), w.Running, w.Slots, showTime(w.StartedAt),
				seen, oneLine(strings.Join(w.Queues, ",")), len(w.Names))
		}
		return out.Flush()
	}
}
