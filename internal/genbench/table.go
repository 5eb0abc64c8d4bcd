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
	cells  map[string]time.Duration // by tool and column
}

func newTable(shapes []*shape) *table {
	return &table{shapes: shapes, cells: map[string]time.Duration{}}
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
		var times []time.Duration
		for range n {
			if edit {
				if err := s.edit(); err != nil {
					return err
				}
			}
			start := time.Now()
			if err := tl.run(s); err != nil {
				return err
			}
			times = append(times, time.Since(start))
		}
		slices.Sort(times)
		column := s.name
		if edit {
			column += ", edit"
		}
		t.cells[tl.name+"\n"+column] = times[len(times)/2]
	}
	return nil
}

// String returns the table as Markdown: seconds, and in brackets how many times
// taskgen's.
func (t *table) String() string {
	var b strings.Builder
	cols := t.columns()
	fmt.Fprintf(&b, "| | %s |\n|---|%s\n", strings.Join(cols, " | "), strings.Repeat("---|", len(cols)))
	for _, row := range t.rows {
		fmt.Fprintf(&b, "| %s |", row)
		for _, c := range cols {
			d, ours := t.cells[row+"\n"+c], t.cells["taskgen\n"+c]
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
