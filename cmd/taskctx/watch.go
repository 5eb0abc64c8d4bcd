package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/taskctx/taskctx/runtime"
)

// watchFlags declares watch: on a terminal a table that is drawn anew, else one
// after the other.
func watchFlags(f *flag.FlagSet) action {
	every := f.Duration("every", time.Second, "how `long` to wait between looks")
	times := f.Int("times", 0, "look so often, then end; 0 is until interrupted")
	asJSON := f.Bool("json", false, "print each look as a line of JSON")
	return func(ctx context.Context, s *session, _ []string) error {
		if *every <= 0 || *times < 0 {
			return usagef("-every must be over 0, and -times not under")
		}
		w := watch{s: s, asJSON: *asJSON, redraw: !*asJSON && isTerminal(s.out)}
		tick := time.NewTicker(*every)
		defer tick.Stop()
		for n := 1; ; n++ {
			if err := w.look(ctx); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
			if n == *times {
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

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// watch is the queues being watched.
type watch struct {
	s              *session
	asJSON, redraw bool
	before         map[string]int64 // ended tasks by queue
	at             time.Time
}

// look prints the queues as they are now.
func (w *watch) look(ctx context.Context) error {
	counts, err := w.s.app.Counts(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	if w.asJSON {
		return json.NewEncoder(w.s.out).Encode(map[string]any{"time": now.UTC(), "counts": counts})
	}
	var b strings.Builder
	if w.redraw {
		b.WriteString("\x1b[H\x1b[2J") // to the top left, and clear
	}
	fmt.Fprintf(&b, "%s\n\n", now.Format("2006-01-02 15:04:05"))
	w.table(&b, counts, now)
	_, err = io.WriteString(w.s.out, b.String()+"\n")
	return err
}

// table prints a row for each queue: how many tasks are in each state, and how
// many have ended per second since the last look.
func (w *watch) table(out io.Writer, counts []runtime.Count, now time.Time) {
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(tw, "QUEUE\t")
	for _, s := range runtime.States() {
		fmt.Fprintf(tw, "%s\t", strings.ToUpper(string(s)))
	}
	fmt.Fprint(tw, "ENDED/S\t\n")
	ended := make(map[string]int64)
	for len(counts) > 0 {
		queue := counts[0].Queue
		by := make(map[runtime.State]int64)
		for len(counts) > 0 && counts[0].Queue == queue {
			by[counts[0].State] = counts[0].Tasks
			if counts[0].State.Final() {
				ended[queue] += counts[0].Tasks
			}
			counts = counts[1:]
		}
		fmt.Fprintf(tw, "%s\t", queue)
		for _, s := range runtime.States() {
			fmt.Fprintf(tw, "%d\t", by[s])
		}
		fmt.Fprintf(tw, "%s\t\n", w.rate(queue, ended[queue], now))
	}
	w.before, w.at = ended, now
	tw.Flush()
}

// rate is unknown at the first look, and when records were forgotten since.
func (w *watch) rate(queue string, ended int64, now time.Time) string {
	before, ok := w.before[queue]
	if !ok || ended < before {
		return "-"
	}
	return fmt.Sprintf("%.0f", float64(ended-before)/now.Sub(w.at).Seconds())
}
