// Genbench measures taskgen beside other ways to read and generate Go: it
// builds modules of several shapes, runs each tool on them, and prints medians
// and ratios as a Markdown table.
//
//	go run ./internal/genbench [-n 3] [-shapes 100,1000,50x20] [-tools moq,wire] [-keep file]
//	go run ./internal/genbench [-n 3] -compile 100,300,1000,3000
//	go run ./internal/genbench [-n 3] -modules
//
// It measures the floor of most generators too: "go list -deps -export", and
// packages.Load. The other generators are pinned in tools/peers, and built
// from there. Each works on packages with the same tasks, and something of its
// own for each task: an interface, a marked type, a provider.
//
// All of it takes a while. With -keep a file collects the figures of several
// runs, for some tools and shapes each. Taskgen itself is measured in each
// run, so that ratios are always within one run.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	n := flag.Int("n", 3, "runs of each; the table shows medians")
	names := flag.String("shapes", "100,1000,50x20", "the shapes: items in one package, or packages x items")
	only := flag.String("tools", "", "the tools to measure, with commas between; all if empty")
	keep := flag.String("keep", "", "a `file` that keeps the figures from run to run")
	compile := flag.String("compile", "", "measure the compiler instead, on packages of so many tasks, with commas between")
	modules := flag.Bool("modules", false, "measure go generate in a module, and heavy dependencies, instead")
	flag.Parse()
	var err error
	switch {
	case *compile != "":
		err = printTable(func(dir, repo string) (string, error) { return compileTable(dir, repo, split(*compile), *n) })
	case *modules:
		err = printTable(func(dir, repo string) (string, error) { return modulesTable(dir, repo, *n) })
	default:
		err = run(*n, strings.Split(*names, ","), split(*only), *keep)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "genbench:", err)
		os.Exit(1)
	}
}

// printTable prints a table that is made with a directory of its own.
func printTable(table func(dir, repo string) (string, error)) error {
	dir, err := os.MkdirTemp("", "genbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	repo, err := os.Getwd()
	if err != nil {
		return err
	}
	text, err := table(dir, repo)
	fmt.Print(text)
	return err
}

func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func run(n int, shapes, only []string, keep string) error {
	dir, err := os.MkdirTemp("", "genbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	repo, err := os.Getwd()
	if err != nil {
		return err
	}
	tools, err := findTools(dir, repo, only)
	if err != nil {
		return err
	}
	figures, err := readFigures(keep)
	if err != nil {
		return err
	}
	for _, t := range tools {
		figures.drop(t.name, "")
	}
	for _, shape := range shapes {
		var base []figure // taskgen's, which is measured first
		for _, t := range tools {
			if t.missing != "" {
				figures.put(figure{Tool: t.name, Missing: t.missing})
				continue
			}
			s, err := newShape(filepath.Join(dir, t.input.name+"-"+shape), shape, repo, t.input)
			if err != nil {
				return err
			}
			measured, err := measure(t, s, n)
			if err != nil {
				fmt.Fprintf(os.Stderr, "%s on %s: %v\n", t.name, shape, err)
				figures.put(figure{Tool: t.name, Version: t.version, Missing: "failed on " + shape})
				continue
			}
			if t.name == ours {
				base = measured
			}
			for i, f := range measured {
				if base != nil {
					f.BaseWall, f.BaseCPU = base[i].Wall, base[i].CPU
				}
				figures.put(f)
			}
		}
	}
	if err := figures.save(keep); err != nil {
		return err
	}
	fmt.Print(figures.document(n))
	return nil
}
