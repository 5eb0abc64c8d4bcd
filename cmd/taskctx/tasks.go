package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/internal/bulk"
	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// listFlags declares list: a table, or with -json one record per line, or with
// -ids one id.
func listFlags(f *flag.FlagSet) action {
	x := filterFlags(f)
	limit := f.Int("limit", 100, "at most so many tasks; 0 is all")
	last := f.Int("last", 0, "only the newest so many tasks, the newest last")
	newest := f.Bool("newest", false, "the newest first")
	asJSON := f.Bool("json", false, "print each record as a line of JSON")
	ids := f.Bool("ids", false, "print the ids only, a line each, as the other commands take them")
	return func(ctx context.Context, s *session, _ []string) error {
		q, err := x.query()
		if err != nil {
			return err
		}
		if *limit < 0 || *last < 0 {
			return usagef("-limit and -last must not be negative")
		}
		if *asJSON && *ids {
			return usagef("-json and -ids exclude each other")
		}
		show, flush := showRecord, func() error { return nil }
		switch {
		case *ids:
			show = showID
		case !*asJSON:
			show, flush = table(s.out)
		}
		q.Newest = *newest
		q.Brief = !*asJSON // the table shows nothing that is large
		print := func(r *runtime.Record) error { return show(s.out, r) }
		var shown int
		var more bool
		if *last > 0 {
			shown, err = lastRecords(ctx, s.app, q, *last, print, flush)
		} else {
			shown, more, err = eachRecord(ctx, s.app, q, *limit, print, flush)
		}
		switch {
		case err != nil:
			return err
		case more:
			fmt.Fprintf(s.errOut, "there may be more than these %d: raise -limit, or -limit 0 for all\n", shown)
		case shown == 0 && !*asJSON && !*ids:
			fmt.Fprintln(s.errOut, "no such tasks")
		}
		return nil
	}
}

func stateNames() string {
	var names []string
	for _, s := range engine.States() {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

// eachRecord calls show for each record that q selects, at most limit unless
// it is 0, and flush after each page. It returns how many it showed, and
// whether there are more.
func eachRecord(
	ctx context.Context, app *runtime.App, q engine.Query, limit int, show func(*runtime.Record) error, flush func() error,
) (shown int, more bool, err error) {
	for {
		q.Limit = 1000
		if limit > 0 {
			q.Limit = min(q.Limit, limit-shown)
		}
		records, next, err := app.List(ctx, q)
		if err != nil {
			return shown, false, err
		}
		for _, r := range records {
			if err := show(r); err != nil {
				return shown, false, err
			}
		}
		if err := flush(); err != nil {
			return shown, false, err
		}
		shown += len(records)
		if next == "" || limit > 0 && shown >= limit {
			return shown, next != "", nil
		}
		q.Cursor = next
	}
}

// lastRecords is eachRecord for the newest n, the newest last.
func lastRecords(
	ctx context.Context, app *runtime.App, q engine.Query, n int, show func(*runtime.Record) error, flush func() error,
) (shown int, err error) {
	var newest []*runtime.Record
	keep := func(r *runtime.Record) error { newest = append(newest, r); return nil }
	none := func() error { return nil }
	q.Newest = true
	_, _, err = eachRecord(ctx, app, q, n, keep, none)
	slices.Reverse(newest)
	if errors.Is(err, runtime.ErrUnsupported) { // then all are read
		q.Newest, newest = false, nil
		_, _, err = eachRecord(ctx, app, q, 0, func(r *runtime.Record) error {
			if newest = append(newest, r); len(newest) >= 2*n {
				newest = slices.Clone(newest[len(newest)-n:])
			}
			return nil
		}, none)
	}
	if err != nil {
		return 0, err
	}
	newest = newest[max(0, len(newest)-n):]
	for _, r := range newest {
		if err := show(r); err != nil {
			return 0, err
		}
	}
	return len(newest), flush()
}

// showID prints a record's id.
func showID(w io.Writer, r *runtime.Record) error {
	_, err := fmt.Fprintln(w, r.ID)
	return err
}

// showRecord prints a record as one line of JSON.
func showRecord(w io.Writer, r *runtime.Record) error { return encode(w, r) }

// table returns how to print records as a table, and how to finish it.
func table(out io.Writer) (show func(io.Writer, *runtime.Record) error, flush func() error) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tQUEUE\tSTATE\tATTEMPT\tENQUEUED\tREASON")
	return func(_ io.Writer, r *runtime.Record) error {
		_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d/%d\t%s\t%s\n", r.ID, oneLine(r.Name), oneLine(r.Queue), r.State,
			r.Attempt+1, r.MaxRetries+1, showTime(r.EnqueuedAt), oneLine(firstLine(r.Reason)))
		return err
	}, w.Flush
}

// cancelFlags declares cancel.
func cancelFlags(f *flag.FlagSet) action {
	why := f.String("why", "", "the reason on the records; by default each task's name and .cancel")
	tree := f.Bool("tree", false, "all tasks of the trees that begin with the IDs, too: it says how many, and asks")
	m := bulkFlags(f)
	return func(ctx context.Context, s *session, args []string) error {
		if *tree {
			return s.cancelTrees(ctx, m, *why, args)
		}
		if done, err := m.act(ctx, s, bulk.Cancel, *why, args); done {
			return err
		}
		return eachID(args, func(id uuid.UUID) error {
			if err := s.app.Cancel(ctx, id, *why); err != nil {
				return err
			}
			r, err := s.app.Lookup(ctx, id)
			if err != nil {
				return err
			}
			what := "cancelled"
			switch {
			case r.State == engine.StateRunning:
				what = "still running, and told to stop"
			case r.State != engine.StateCancelled:
				what = "not cancelled: it is " + string(r.State)
			}
			fmt.Fprintf(s.out, "%s %s\n", id, what)
			return nil
		})
	}
}

// eachFlags declares a command that does the same with each task named.
func eachFlags(done string, a bulk.Action) func(*flag.FlagSet) action {
	return func(f *flag.FlagSet) action {
		m := bulkFlags(f)
		return func(ctx context.Context, s *session, args []string) error {
			if done, err := m.act(ctx, s, a, "", args); done {
				return err
			}
			return eachID(args, func(id uuid.UUID) error {
				if err := a.Do(ctx, s.app, id, ""); err != nil {
					return err
				}
				fmt.Fprintf(s.out, "%s %s\n", id, done)
				return nil
			})
		}
	}
}

// eachID calls do for each id, goes on after a failure, and returns all
// errors.
func eachID(args []string, do func(uuid.UUID) error) error {
	ids, err := parseIDs(args)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		errs = append(errs, do(id))
	}
	return errors.Join(errs...)
}

// printRecord prints all of a task's record, for people.
func printRecord(out io.Writer, r *runtime.Record) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" { // further lines are set below the first
			fmt.Fprintf(w, "%s\t%s\n", oneLine(name), strings.ReplaceAll(manyLines(value), "\n", "\n\t"))
		}
	}
	line("id", r.ID.String())
	line("name", r.Name)
	line("queue", r.Queue)
	line("state", string(r.State))
	line("attempt", fmt.Sprintf("%d of %d", r.Attempt+1, r.MaxRetries+1))
	line("priority", fmt.Sprint(r.Priority))
	if r.Timeout > 0 {
		line("timeout", r.Timeout.String())
	}
	line("deadline", showTime(r.Deadline))
	line("enqueued", showTime(r.EnqueuedAt))
	line("due", showTime(r.Due))
	line("started", showTime(r.StartedAt))
	line("ended", showTime(r.EndedAt))
	line("worker", r.Worker)
	for k, v := range r.Tags.All() {
		line("tag "+k, v)
	}
	if r.ParentID != uuid.Nil {
		line("parent", r.ParentID.String())
		line("root", r.RootID.String())
	}
	line("arguments", string(r.Args))
	line("result", string(r.Result))
	line("reason", r.Reason)
	if p := r.Progress; p != nil {
		line("progress", strings.TrimSpace(fmt.Sprintf("%d of %d %s", p.Done, p.Total, p.Note)))
	}
	for _, e := range r.Errors {
		line(fmt.Sprintf("error in attempt %d", e.Attempt+1), cmp.Or(e.Stack, e.Error))
	}
	for _, l := range r.Logs {
		line("log "+showTime(l.Time), strings.TrimSpace(fmt.Sprintf("%s %s %s", l.Level, l.Message, l.Attrs)))
	}
	fmt.Fprintln(w)
	return w.Flush()
}

func showTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05.000")
}

// firstLine returns the first line of s, so that a table stays one.
func firstLine(s string) string {
	line, _, more := strings.Cut(s, "\n")
	if runes := []rune(line); len(runes) > 80 {
		line, more = string(runes[:80]), true
	}
	if more {
		line += "…"
	}
	return line
}
