package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows how far the work is. One goroutine uses it.
type progress interface {
	step() // one more file is done
	end()  // no more follow
}

// newProgress shows a bar on a terminal, and lines elsewhere or if plain.
func newProgress(w io.Writer, total int, plain bool) progress {
	if total == 0 {
		return noProgress{}
	}
	if f, ok := w.(*os.File); ok && !plain && term.IsTerminal(int(f.Fd())) {
		return progressBar{progressbar.NewOptions(total,
			progressbar.OptionSetWriter(w),
			progressbar.OptionSetDescription("indexing"),
			progressbar.OptionShowCount(),
			progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("files"),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetWidth(20), // room for what the terminal shows of Ctrl-C
			progressbar.OptionUseANSICodes(true),
		)}
	}
	fmt.Fprintf(w, "indexing %d files\n", total)
	now := time.Now()
	return &progressLines{w: w, total: total, started: now, last: now}
}

type progressBar struct{ bar *progressbar.ProgressBar }

func (p progressBar) step() { _ = p.bar.Add(1) } // nothing to do if the terminal is gone
func (p progressBar) end()  { _ = p.bar.Exit(); fmt.Fprintln(os.Stderr) }

// lineEvery is how often a line says how far the work is.
const lineEvery = 2 * time.Second

type progressLines struct {
	w             io.Writer
	done, total   int
	started, last time.Time
}

func (p *progressLines) step() {
	p.done++
	now := time.Now()
	if now.Sub(p.last) < lineEvery && p.done < p.total {
		return
	}
	p.last = now
	fmt.Fprintf(p.w, "indexed %d of %d files, %d%%, %.0f files/s\n",
		p.done, p.total, 100*p.done/p.total, float64(p.done)/now.Sub(p.started).Seconds())
}

func (p *progressLines) end() {}

type noProgress struct{}

func (noProgress) step() {}
func (noProgress) end()  {}
