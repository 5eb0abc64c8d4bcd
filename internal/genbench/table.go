package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// edited ends the names of the columns after an edit.
const edited = ", edit"

// goals are taskgen's longest times, in seconds.
var goals = map[string]float64{
	"100": 0.010, "100" + edited: 0.05, "1000": 0.010, "1000" + edited: 0.4, "50x20": 0.030, "50x20" + edited: 0.3,
}

const preface = `# How fast taskgen is

Printed by "make speed". Seconds, medians of %d, warm caches; in brackets how many
times what taskgen took in the same run. "100" is one package of 100 tasks in which
nothing changed, "50x20" is 50 packages of 20; "edit" is after a comment was added
to one file. "Files removed": the generated files are made anew, not just found to be
right; "no cache": that, and taskgen remembers nothing (the go command does).

The other generators find the same tasks in each package, and beside each task one
thing to generate: an interface to mock (moq, mockery), an interface of a converter
(goverter), a type to copy (controller-gen), a provider and an injector (wire).

`

// document returns both tables as a page of the documentation.
func (all *figures) document(n int) string {
	return fmt.Sprintf(preface, n) + "Wall clock:\n\n" +
		all.markdown(true, func(f figure) (took, base time.Duration) { return f.Wall, f.BaseWall }) +
		"\nProcessor time, which other work on the machine disturbs less:\n\n" +
		all.markdown(false, func(f figure) (took, base time.Duration) { return f.CPU, f.BaseCPU })
}

func (all *figures) markdown(withGoals bool, times func(figure) (took, base time.Duration)) string {
	var tools, columns []string
	for _, f := range all.list {
		if !slices.Contains(tools, f.Tool) {
			tools = append(tools, f.Tool)
		}
		if f.Column != "" && !slices.Contains(columns, f.Column) {
			columns = append(columns, f.Column)
		}
	}
	slices.SortFunc(columns, func(a, b string) int { return slices.Compare(order(a), order(b)) })
	var b strings.Builder
	fmt.Fprintf(&b, "| | %s |\n|---|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, tool := range tools {
		b.WriteString(all.row(tool, columns, times))
		if tool == ours && withGoals {
			b.WriteString(goalRow(columns))
		}
	}
	return b.String()
}

// order returns the sort key of a column: packages, items, and the edit last.
func order(column string) []int {
	name, _, _ := strings.Cut(column, edited)
	packages, items, _ := parseShape(name) // it was parsed when it was measured
	return []int{packages, items, len(column)}
}

// row returns a line of the table. A tool without figures says why.
func (all *figures) row(tool string, columns []string, times func(figure) (took, base time.Duration)) string {
	var cells, why []string
	title := tool
	if f, ok := all.get(tool, ""); ok {
		why = append(why, f.Missing)
	}
	for _, c := range columns {
		f, ok := all.get(tool, c)
		if !ok {
			cells = append(cells, "")
			continue
		}
		if f.Version != "" {
			title = tool + " " + f.Version
		}
		took, base := times(f)
		cell := fmt.Sprintf("%.3f", took.Seconds())
		if tool != ours && base > 0 {
			cell += fmt.Sprintf(" (%.1f)", float64(took)/float64(base))
		}
		cells = append(cells, cell)
	}
	if len(why) > 0 {
		title += ": " + strings.Join(why, ", ")
	}
	return fmt.Sprintf("| %s | %s |\n", title, strings.Join(cells, " | "))
}

func goalRow(columns []string) string {
	cells := make([]string, len(columns))
	for i, c := range columns {
		if g, ok := goals[c]; ok {
			cells[i] = fmt.Sprintf("%.3f", g)
		}
	}
	return fmt.Sprintf("| its goal | %s |\n", strings.Join(cells, " | "))
}
