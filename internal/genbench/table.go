package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// table collects the medians.
type table struct {
	shapes []*shape
	rows   []string
	// The medians by tool and column: of the wall clock, and of the processors.
	wall, cpu map[string]time.Duration
}

func newTable(shapes []*shape) *table {
	return &table{shapes: shapes, wall: map[string]time.Duration{}, cpu: map[string]time.Duration{}}
}

// columns are what each tool is measured at.
func (t *table) columns() []string {
	var list []string
	for _, s := range t.shapes {
		list = append(list, s.name, s.name+", edit")
	}
	return list
}

// measure runs a tool n times with nothing changed, and n times after an edit
// of one file, and keeps the medians.
func (t *table) measure(tl tool, s *shape, n int) error {
	if !slices.Contains(t.rows, tl.name) {
		t.rows = append(t.rows, tl.name)
	}
	if tl.clean != nil {
		defer func() { _ = tl.clean(s) }() // the next tool's own error tells if it did not work
	}
	if err := tl.run(s); err != nil { // warm
		return err
	}
	for _, edit := range []bool{false, true} {
		var wall, cpu []time.Duration
		for range n {
			if edit {
				if err := s.edit(); err != nil {
					return err
				}
			}
			s.cpu = 0
			start := time.Now()
			if err := tl.run(s); err != nil {
				return err
			}
			wall = append(wall, time.Since(start))
			cpu = append(cpu, s.cpu)
		}
		slices.Sort(wall)
		slices.Sort(cpu)
		column := s.name
		if edit {
			column += ", edit"
		}
		t.wall[tl.name+"\n"+column] = wall[n/2]
		t.cpu[tl.name+"\n"+column] = cpu[n/2]
	}
	return nil
}

const preface = `# How fast taskgen is

Printed by "make speed". Seconds, medians of %d, warm caches; in brackets how many
times what taskgen takes. "100" is one package of 100 tasks in which nothing
changed, "50x20" is 50 packages of 20; "edit" is after a comment was added to one
file. "No cache" is the first run on a machine.

`

// document returns both tables as a page of the documentation.
func (t *table) document(n int) string {
	return fmt.Sprintf(preface, n) + "Wall clock:\n\n" + t.markdown(t.wall) +
		"\nProcessor time, which other work on the machine disturbs less:\n\n" + t.markdown(t.cpu)
}

func (t *table) markdown(cells map[string]time.Duration) string {
	var b strings.Builder
	cols := t.columns()
	fmt.Fprintf(&b, "| | %s |\n|---|%s\n", strings.Join(cols, " | "), strings.Repeat("---|", len(cols)))
	for _, row := range t.rows {
		fmt.Fprintf(&b, "| %s |", row)
		for _, c := range cols {
			d, ours := cells[row+"\n"+c], cells["taskgen\n"+c]
			switch {
			case d == 0:
				b.WriteString(" |")
			case ours == 0 || row == "taskgen":
				fmt.Fprintf(&b, " %.3f |", d.Seconds())
			default:
				fmt.Fprintf(&b, " %.3f (%.1f) |", d.Seconds(), float64(d)/float64(ours))
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}
