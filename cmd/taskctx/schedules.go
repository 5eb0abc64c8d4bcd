package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// scheduled is a schedule as its tasks tell.
type scheduled struct {
	Name   string          `json:"name"`
	Task   string          `json:"task"`
	Tasks  int             `json:"tasks"`
	Newest *runtime.Record `json:"newest"`
}

// schedulesFlags declares schedules. What ticks next only the process knows that has
// the schedule.
func schedulesFlags(f *flag.FlagSet) action {
	asJSON := f.Bool("json", false, "print each schedule as a line of JSON")
	return func(ctx context.Context, s *session, _ []string) error {
		by := make(map[string]*scheduled)
		add := func(r *runtime.Record) error {
			name := r.Tags.Get(runtime.TagEvery)
			x := by[name]
			if x == nil {
				x = &scheduled{Name: name}
				by[name] = x
			}
			if x.Tasks++; x.Newest == nil || r.EnqueuedAt.After(x.Newest.EnqueuedAt) {
				x.Task, x.Newest = r.Name, r
			}
			return nil
		}
		none := func() error { return nil }
		if _, _, err := eachRecord(ctx, s.app, engine.Query{Tag: runtime.TagEvery, Brief: true}, 0, add, none); err != nil {
			return err
		}
		all := slices.SortedFunc(maps.Values(by), func(x, y *scheduled) int { return cmp.Compare(x.Name, y.Name) })
		if *asJSON {
			for _, x := range all {
				if err := encodeLine(s.out, x); err != nil {
					return err
				}
			}
			return nil
		}
		if len(all) == 0 {
			fmt.Fprintln(s.errOut, "no task of a schedule is kept")
			return nil
		}
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "SCHEDULE\tTASK\tKEPT\tNEWEST\tSTATE\tID")
		for _, x := range all {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n",
				oneLine(x.Name), oneLine(x.Task), x.Tasks, showTime(x.Newest.EnqueuedAt), x.Newest.State, x.Newest.ID)
		}
		return w.Flush()
	}
}
