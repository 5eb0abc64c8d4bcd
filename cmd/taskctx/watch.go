package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/taskctx/taskctx/runtime/engine"
)

// watchFlags declares watch: on a terminal a table that is redrawn, elsewhere
// one table after the other.
func watchFlags(f *flag.FlagSet) action {
	every := f.Duration("every", time.Second, "how long to wait between looks, a `duration`")
	times := f.Int("times", 0, "look so often, then end; 0 is until interrupted")
	asJSON := f.Bool("json", false, "print each look as a line of JSON")
	return func(ctx context.Context, s *session, _ []string) error {
		if *every <= 0 || *times < 0 {
			return usagef("-every must be over 0, and -times not under")
		}
		w := watch{s: s, asJSON: *asJSON}
		if out, ok := s.out.w.(*os.File); ok && !*asJSON && term.IsTerminal(int(out.Fd())) {
			w.screen = &screen{out: out}
		}
		tick := time.NewTicker(*every)
		defer tick.Stop()
		for n := 1; ; n++ {
			err := w.look(ctx)
			switch {
			case ctx.Err() != nil:
				return nil // this is how a watch ends
			case err != nil && (n == 1 || n == *times || !errors.Is(err, errNoCounts)):
				return err
			case err != nil: // the server may come back
				if err := w.complain(err); err != nil {
					return err
				}
			case n == *times:
				return nil
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// watch is the queues being watched.
type watch struct {
	s      *session
	asJSON bool
	screen *screen          // nil if the output is no terminal
	before map[string]int64 // ended tasks by queue
	at     time.Time
	last   []byte // the last table
}

// errNoCounts: the engine did not answer.
var errNoCounts = errors.New("cannot look at the queues")

// look prints the queues as they are now.
func (w *watch) look(ctx context.Context) error {
	counts, err := w.s.app.Counts(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoCounts, err)
	}
	now := time.Now()
	if w.asJSON {
		if counts == nil {
			counts = []engine.Count{}
		}
		return json.NewEncoder(w.s.out).Encode(map[string]any{"time": now.UTC(), "counts": counts})
	}
	width := 0
	if w.screen != nil {
		width, _ = w.screen.size()
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n\n", now.Format("2006-01-02 15:04:05"))
	w.table(&b, counts, now, width)
	w.last = b.Bytes()
	return w.print(w.last)
}

// print shows a text; on a terminal it replaces the previous one.
func (w *watch) print(text []byte) error {
	if w.screen != nil {
		return w.screen.draw(text)
	}
	_, err := w.s.out.Write(append(text, '\n'))
	return err
}

// complain shows that a look failed, beside the last counts.
func (w *watch) complain(err error) error {
	if w.screen == nil {
		fmt.Fprintf(w.s.errOut, "taskctx watch: %v; it goes on trying\n", err)
		return nil
	}
	return w.print(fmt.Appendf(slices.Clone(w.last), "\n%s %s; it goes on trying\n",
		time.Now().Format("15:04:05"), escape(err.Error(), "\n")))
}

// shortHeads are the heads of the table on a terminal that is too narrow.
var shortHeads = map[engine.State]string{
	engine.StateScheduled: "SCHED", engine.StatePending: "PEND", engine.StateRunning: "RUN", engine.StateRetrying: "RETRY",
	engine.StateSucceeded: "OK", engine.StateFailed: "FAIL", engine.StateCancelled: "CANC",
}

// wideTable is how many columns the table takes with whole heads, without the
// names of queues.
const wideTable = 85

// table prints a row for each queue: how many tasks are in each state, and how
// many have ended per second since the last look. A width of 0 is any.
func (w *watch) table(out io.Writer, counts []engine.Count, now time.Time, width int) {
	longest := 0
	for _, c := range counts {
		longest = max(longest, utf8.RuneCountInString(oneLine(c.Queue)))
	}
	short := width > 0 && width < longest+wideTable
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(tw, "QUEUE\t")
	for _, s := range engine.States() {
		head := strings.ToUpper(string(s))
		if short {
			head = shortHeads[s]
		}
		fmt.Fprintf(tw, "%s\t", head)
	}
	fmt.Fprint(tw, "ENDED/S\t\n")
	ended := make(map[string]int64)
	for len(counts) > 0 {
		queue := counts[0].Queue
		by := make(map[engine.State]int64)
		for len(counts) > 0 && counts[0].Queue == queue {
			by[counts[0].State] = counts[0].Tasks
			if counts[0].State.Final() {
				ended[queue] += counts[0].Tasks
			}
			counts = counts[1:]
		}
		fmt.Fprintf(tw, "%s\t", oneLine(queue))
		for _, s := range engine.States() {
			fmt.Fprintf(tw, "%d\t", by[s])
		}
		fmt.Fprintf(tw, "%s\t\n", w.rate(queue, ended[queue], now))
	}
	w.before, w.at = ended, now
	tw.Flush()
}

// rate returns the ended tasks per second, empty at the first look and after
// records were forgotten.
func (w *watch) rate(queue string, ended int64, now time.Time) string {
	before, ok := w.before[queue]
	if !ok || ended < before {
		return "-"
	}
	return fmt.Sprintf("%.0f", float64(ended-before)/now.Sub(w.at).Seconds())
}
