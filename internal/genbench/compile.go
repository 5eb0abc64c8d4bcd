package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

const compilePreface = `# What the compiler takes for generated code

Printed by "make speed-compile": processor time of the compiler alone, seconds, the
least of %d, for a package of tasks without and with the code that is generated for it,
what a task costs, and the lines that are generated for it.

| tasks | functions alone | with generated code | ms a task | lines a task |
|---|---|---|---|---|
`

// compileTable measures the compiler on packages of so many tasks.
func compileTable(dir, repo string, counts []string, n int) (string, error) {
	tools, err := findTools(dir, repo, []string{ours})
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf(compilePreface, n)
	for _, count := range counts {
		s, err := newShape(filepath.Join(dir, "compile-"+count), count, repo, tasks)
		if err != nil {
			return "", err
		}
		alone, err := s.compile(n)
		if err != nil {
			return "", err
		}
		if err := tools[0].run(tools[0].bin, s); err != nil {
			return "", err
		}
		with, err := s.compile(n)
		if err != nil {
			return "", err
		}
		lines, err := s.lines(output)
		if err != nil {
			return "", err
		}
		text += fmt.Sprintf("| %d | %.2f | %.2f | %.1f | %.0f |\n", s.items, alone.Seconds(), with.Seconds(),
			1000*(with-alone).Seconds()/float64(s.items), float64(lines)/float64(s.items))
	}
	return text, nil
}

// compile returns the least processor time of the compiler for the package,
// once its imports are compiled.
func (s *shape) compile(n int) (time.Duration, error) {
	const format = `{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}`
	list := exec.Command("go", "list", "-mod=mod", "-deps", "-export", "-f", format, "./p0")
	list.Dir = s.dir
	out, err := list.Output()
	if err != nil {
		return 0, fmt.Errorf("compile what the tasks import: %w", err)
	}
	if err := s.write("importcfg", string(out)); err != nil {
		return 0, err
	}
	files, err := filepath.Glob(filepath.Join(s.dir, "p0", "*.go"))
	if err != nil {
		return 0, err
	}
	var took []time.Duration
	for range n {
		args := append([]string{"tool", "compile", "-o", "p0.a", "-p", "shape.test/p0", "-complete", "-pack",
			"-importcfg", "importcfg"}, files...)
		s.cpu = 0
		if err := s.command("go", args...); err != nil {
			return 0, err
		}
		took = append(took, s.cpu)
	}
	return slices.Min(took), nil
}

// lines counts the lines of a file of the first package.
func (s *shape) lines(name string) (int, error) {
	data, err := os.ReadFile(filepath.Join(s.dir, "p0", name))
	return bytes.Count(data, []byte("\n")), err
}
