package bench_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var pageFile = flag.String("page", "", "the file that BenchmarkPeers writes its table into")

// goals are how long taskctx may take at most, in times of the other.
var goals = map[string]float64{"channel": 6, "json": 0.6, "watermill": 0.1, "neoq": 0.2}

// notes say what each runner carries.
var notes = map[string]string{
	"channel":   "a closure over a channel",
	"floor":     "the floor: id, clock, JSON by hand, context, recover",
	"recorded":  "the floor with a record, made for just this task",
	"json":      "encoding/json over a channel",
	"pond":      "pond: a closure",
	"taskq":     "taskq, in memory: arguments as they are, by reflection",
	"neoq":      "neoq, in memory: a map, hashed",
	"watermill": "watermill, gochannel: encoding/json",
	"taskctx":   "taskctx, in memory: id, record, typed context, storage, JSON both ways",
}

// column is what one runner took with one number of workers.
type column struct{ ns, cpu, allocs, ratio float64 }

// page is the table in Markdown.
type page struct {
	workers []int
	names   []string
	columns map[string][]column // by name, one for each number of workers
}

func (p *page) add(name string, c column) {
	if p.columns == nil {
		p.columns = make(map[string][]column)
	}
	if _, ok := p.columns[name]; !ok {
		p.names = append(p.names, name)
	}
	p.columns[name] = append(p.columns[name], c)
}

const pageIntro = `# How fast tasks in memory are

Printed by "make bench-peers": one producer, the same small task on each, in turn,
in short rounds of one run; the figures are medians. A task has a string and an
integer as arguments and adds to a counter that its worker keeps open. "Times" is
how often the time of the other fits into that of taskctx. They vary between
machines, and with how far apart the processors are that a task passes between.
"The floor" keeps no record of a task, which cannot be looked up, waited for,
retried, cancelled or prioritized: it is what remains when a task is nothing more.
The row below it adds a record that is found by the task's id, written by hand for
just this task. So it says what a goal in times of a closure can ask for.

| |`

func (p *page) write(b *testing.B) {
	if *pageFile == "" {
		return
	}
	var t strings.Builder
	t.WriteString(pageIntro)
	for _, w := range p.workers {
		fmt.Fprintf(&t, " ns, %d workers | processor time | allocations | times |", w)
	}
	t.WriteString(" goal, at most |\n|---|" + strings.Repeat("--:|", 4*len(p.workers)+1) + "\n")
	for _, name := range p.names {
		fmt.Fprintf(&t, "| %s |", notes[name])
		for _, c := range p.columns[name] {
			fmt.Fprintf(&t, " %.0f | %.0f | %.1f |", c.ns, c.cpu, c.allocs)
			if name == "taskctx" {
				t.WriteString(" |")
			} else {
				fmt.Fprintf(&t, " %.2f |", c.ratio)
			}
		}
		switch goal, ok := goals[name]; {
		case ok:
			fmt.Fprintf(&t, " %g |\n", goal)
		case name == "taskctx":
			t.WriteString(" 6 allocations |\n")
		default:
			t.WriteString(" |\n")
		}
	}
	if err := os.WriteFile(*pageFile, []byte(t.String()), 0o644); err != nil {
		b.Fatal(err)
	}
}
