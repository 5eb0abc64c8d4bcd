// Genbench measures taskgen beside other ways to read and generate Go: it builds
// modules of several shapes, runs each tool on them, and prints medians and
// ratios as a Markdown table.
//
//	go run ./internal/genbench [-n 5] [-shapes 100,1000,50x20]
//
// The floor of most generators is measured too: "go list -deps -export", and
// packages.Load. Generators that are on the PATH (moq, mockery, goverter, wire,
// controller-gen) are run on the same shapes.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	n := flag.Int("n", 5, "runs of each; the table shows medians")
	names := flag.String("shapes", "100,1000,50x20", "the shapes: items in one package, or packages x items")
	flag.Parse()
	if err := run(*n, strings.Split(*names, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "genbench:", err)
		os.Exit(1)
	}
}

func run(n int, names []string) error {
	dir, err := os.MkdirTemp("", "genbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	repo, err := os.Getwd()
	if err != nil {
		return err
	}
	tools, err := findTools(dir, repo)
	if err != nil {
		return err
	}
	var shapes []*shape
	for _, name := range names {
		s, err := newShape(filepath.Join(dir, name), name, repo)
		if err != nil {
			return err
		}
		shapes = append(shapes, s)
	}
	t := newTable(shapes)
	for _, tool := range tools {
		for _, s := range shapes {
			if err := t.measure(tool, s, n); err != nil {
				fmt.Fprintf(os.Stderr, "%s on %s: %v\n", tool.name, s.name, err)
			}
		}
	}
	fmt.Print(t.document(n))
	return nil
}
