package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/taskctx/taskctx/runtime"
)

// summary is the outcome of a run. One goroutine uses it.
type summary struct {
	plan                 *plan
	added, skipped, gone int
	words                int
	failures             []failure
	left                 []task // whose end was not seen
	took                 time.Duration
}

// failure is a file that could not be indexed, and why.
type failure struct{ path, reason string }

// wait waits for the task and counts it. It reports whether the task has ended.
func (s *summary) wait(ctx context.Context, t task) bool {
	c, err := t.handle.Wait(ctx)
	var failed *runtime.TaskError
	switch {
	case err == nil:
		s.count(c)
	case errors.As(err, &failed):
		reason := failed.Reason
		if _, why, ok := strings.Cut(reason, t.path+": "); ok {
			reason = why // "open PATH: why"
		}
		s.failures = append(s.failures, failure{t.path, reason})
	case ctx.Err() != nil:
		s.left = append(s.left, t)
		return false
	default:
		s.failures = append(s.failures, failure{t.path, err.Error()})
	}
	return true
}

func (s *summary) count(c Change) {
	switch c.Kind {
	case added:
		s.added++
		s.words += c.Words
	case kept:
		s.skipped++
	case forgotten:
		s.gone++
	}
}

// settle counts the tasks that ended while the app stopped. Those that did not
// remain in left.
func (s *summary) settle(ctx context.Context) {
	tasks := s.left
	s.left = nil
	for _, t := range tasks {
		if r, err := t.handle.Record(ctx); err == nil && r.State.Final() {
			s.wait(ctx, t)
		} else {
			s.left = append(s.left, t)
		}
	}
}

// unfinished is how many files were not come to.
func (s *summary) unfinished() int {
	ended := s.added + s.gone + len(s.failures) - len(s.plan.failures) + s.skipped - s.plan.done
	return len(s.plan.add) + len(s.plan.forget) - ended
}

// maxListed is how many failures are listed unless all are asked for.
const maxListed = 5

// print writes the summary, with every failure if all is set.
func (s *summary) print(w io.Writer, all bool) {
	seconds := s.took.Seconds()
	ended := s.added + s.gone + len(s.failures)
	fmt.Fprintf(w, "files    %d\nindexed  %d\nskipped  %d, indexed before\nfailed   %d\n",
		s.plan.files, s.added, s.skipped, len(s.failures))
	if s.gone > 0 {
		fmt.Fprintf(w, "removed  %d, gone from the folder\n", s.gone)
	}
	fmt.Fprintf(w, "words    %d\ntime     %.1f s, %.0f files/s\n", s.words, seconds, float64(ended)/max(seconds, 0.001))
	s.printFailures(w, all)
	if n := s.unfinished(); n > 0 {
		fmt.Fprintf(w, "stopped with %d files left: the same command goes on\n", n)
	}
}

// printFailures lists the failures by their reasons, the most frequent first.
func (s *summary) printFailures(w io.Writer, all bool) {
	byReason := make(map[string][]string)
	var reasons []string
	for _, f := range s.failures {
		if byReason[f.reason] == nil {
			reasons = append(reasons, f.reason)
		}
		byReason[f.reason] = append(byReason[f.reason], shownPath(f.path))
	}
	slices.SortFunc(reasons, func(a, b string) int {
		if d := len(byReason[b]) - len(byReason[a]); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for _, r := range reasons {
		paths := byReason[r]
		slices.Sort(paths)
		fmt.Fprintf(w, "\n%d failed: %s\n", len(paths), r)
		for i, path := range paths {
			if i == maxListed && !all {
				fmt.Fprintf(w, "  and %d more, which -v lists\n", len(paths)-i)
				break
			}
			fmt.Fprintf(w, "  %q\n", path)
		}
	}
}

// reason is the error without the path, which is shown beside it.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
