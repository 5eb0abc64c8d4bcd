package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/taskctx/taskctx/internal/bulk"
)

// many are the flags of a command that takes ids, or all tasks that a filter selects.
type many struct {
	all, yes *bool
	limit    *int
	filter   *filter
}

// bulkFlags declares them.
func bulkFlags(f *flag.FlagSet) *many {
	return &many{
		all:    f.Bool("all", false, "all tasks that the flags below select, instead of IDs: it says how many, and asks"),
		yes:    f.Bool("yes", false, "with -all, do not ask"),
		limit:  f.Int("limit", 0, "with -all, at most so many tasks; 0 is all"),
		filter: filterFlags(f),
	}
}

// act acts on all tasks of the filter if -all is set; else done is false, and args are
// ids.
func (m *many) act(ctx context.Context, s *session, a bulk.Action, why string, args []string) (done bool, err error) {
	switch {
	case !*m.all && !m.filter.empty():
		return true, usagef("flags that select tasks need -all")
	case !*m.all && len(args) == 0:
		return true, usagef("%s needs IDs, or -all", a)
	case !*m.all:
		return false, nil
	case len(args) > 0:
		return true, usagef("there are both -all and IDs: %s", strings.Join(args, " "))
	case *m.limit < 0:
		return true, usagef("-limit must not be negative")
	}
	return true, s.bulk(ctx, a, m.filter, bulk.Options{Limit: *m.limit, Reason: why}, *m.yes)
}

// bulk acts on all tasks of the filter, once somebody has agreed.
func (s *session) bulk(ctx context.Context, a bulk.Action, x *filter, o bulk.Options, yes bool) error {
	q, err := x.query()
	if err != nil {
		return err
	}
	q, some := a.Narrow(q)
	if !some {
		return usagef("%s is not possible for tasks in these states", a)
	}
	survey, err := bulk.Count(ctx, s.app, q, 0, 0)
	if err != nil {
		return err
	}
	n := survey.Tasks
	if o.Limit > 0 {
		n = min(n, o.Limit)
	}
	if n == 0 {
		fmt.Fprintln(s.errOut, "no such tasks")
		return nil
	}
	if !yes {
		printGroups(s.errOut, survey.Groups)
		if err := s.ask(fmt.Sprintf("%s %d of %d task(s)?", a, n, survey.Tasks)); err != nil {
			return err
		}
	}
	o.Limit = n // tasks that came since nobody has agreed to
	o.Progress = func(r bulk.Result) {
		if r.Done+r.Failed < n {
			fmt.Fprintf(s.errOut, "%d of %d\n", r.Done+r.Failed, n)
		}
	}
	r, err := bulk.Act(ctx, s.app, a, q, o)
	return s.acted(&r, err)
}

// acted prints the result of a bulk action, and returns err with the errors of tasks.
func (s *session) acted(r *bulk.Result, err error) error {
	fmt.Fprintf(s.out, "%d done, %d failed\n", r.Done, r.Failed)
	errs := []error{err}
	for _, e := range r.Errors {
		errs = append(errs, e.Err)
	}
	return errors.Join(errs...)
}

// errNotAgreed ends a command that nobody has agreed to.
var errNotAgreed = errors.New("nothing was done; -yes does it without asking")

// ask asks until somebody answers.
func (s *session) ask(question string) error {
	fmt.Fprintf(s.errOut, "%s [y/N] ", question)
	answer, err := bufio.NewReader(s.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a == "y" || a == "yes" {
		return nil
	}
	return errNotAgreed
}

// maxGroups is how many names and states are told apart.
const maxGroups = 20

func printGroups(out io.Writer, groups map[bulk.Group]int) {
	type row struct {
		bulk.Group
		n int
	}
	var rows []row
	for g, n := range groups {
		rows = append(rows, row{g, n})
	}
	slices.SortFunc(rows, func(x, y row) int {
		return cmp.Or(cmp.Compare(y.n, x.n), cmp.Compare(x.Name, y.Name), cmp.Compare(x.State, y.State))
	})
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, r := range rows {
		if i == maxGroups {
			fmt.Fprintf(w, "...\tand %d more names and states\n", len(rows)-i)
			break
		}
		fmt.Fprintf(w, "%s\t%s\t%d\n", oneLine(r.Name), r.State, r.n)
	}
	w.Flush()
}
