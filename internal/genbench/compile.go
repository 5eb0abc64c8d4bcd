package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const compilePreface = `# What the compiler takes for generated code

Printed by "make speed-compile": processor time of the compiler alone, seconds, the
least of %d, for a package of tasks without and with the code that is generated for it,
what a task costs, and the lines that are generated for it. Of the package without it
the context type is part, so that the runtime is imported there too.

`

const compileHead = `| tasks | functions alone | with generated code | ms a task | lines a task |
|---|---|---|---|---|
`

const ownResultsPreface = `
The same if each task has a result of a type of its own, for which the methods of
runtime.Call and runtime.Handle are compiled again:

`

const growthText = `
A program grows by %d bytes for each task, beside its function: generated code that is
all used, with its symbols, of %d tasks compared with %d.
`

// ownTypes are tasks that each have a result of a type of their own.
var ownTypes = input{name: "own-results", ownResults: true}

// compileTable measures the compiler on packages of so many tasks, and the
// linker's programs of them.
func compileTable(dir, repo string, counts []string, n int) (string, error) {
	tools, err := findTools(dir, repo, []string{ours})
	if err != nil {
		return "", err
	}
	taskgen := tools[0]
	text := fmt.Sprintf(compilePreface, n) + compileHead
	for _, count := range counts {
		row, err := compileRow(dir, repo, count, n, tasks, taskgen)
		if err != nil {
			return "", err
		}
		text += row
	}
	text += ownResultsPreface + compileHead
	for _, count := range counts[:min(2, len(counts))] {
		row, err := compileRow(dir, repo, count, n, ownTypes, taskgen)
		if err != nil {
			return "", err
		}
		text += row
	}
	const few, many = 50, 350
	grown, err := growth(dir, repo, few, many, taskgen)
	return text + fmt.Sprintf(growthText, grown, many, few), err
}

func compileRow(dir, repo, count string, n int, in input, taskgen tool) (string, error) {
	s, err := newShape(filepath.Join(dir, "compile-"+in.name+"-"+count), count, repo, in)
	if err != nil {
		return "", err
	}
	alone, err := s.compile(n)
	if err != nil {
		return "", err
	}
	if err := taskgen.run(taskgen.bin, s); err != nil {
		return "", err
	}
	with, err := s.compile(n)
	if err != nil {
		return "", err
	}
	lines, err := s.lines(output)
	return fmt.Sprintf("| %d | %.2f | %.2f | %.1f | %.0f |\n", s.items, alone.Seconds(), with.Seconds(),
		1000*(with-alone).Seconds()/float64(s.items), float64(lines)/float64(s.items)), err
}

// growth returns the bytes of a program for one task more.
func growth(dir, repo string, few, many int, taskgen tool) (int64, error) {
	var sizes []int64 // alone and with generated code, of few and of many
	for _, items := range []int{few, many} {
		s, err := newShape(filepath.Join(dir, fmt.Sprintf("program-%d", items)), strconv.Itoa(items), repo, tasks)
		if err != nil {
			return 0, err
		}
		for _, with := range []bool{false, true} {
			if with {
				if err := taskgen.run(taskgen.bin, s); err != nil {
					return 0, err
				}
			}
			size, err := s.program(with)
			if err != nil {
				return 0, err
			}
			sizes = append(sizes, size)
		}
	}
	return ((sizes[3] - sizes[2]) - (sizes[1] - sizes[0])) / int64(many-few), nil
}

// program links a program that uses all functions of the tasks, and what was
// generated for them if there is something, and returns its size.
func (s *shape) program(generated bool) (int64, error) {
	var b strings.Builder
	b.WriteString("package main\n\nimport (\n\t\"github.com/taskctx/taskctx/runtime\"\n\n\t\"shape.test/p0\"\n)\n\nvar all = []any{\n")
	for i := range s.items {
		fmt.Fprintf(&b, "\tp0.Task%d,\n", i)
		if generated {
			fmt.Fprintf(&b, "\tp0.EnqueueTask%d,\n", i)
		}
	}
	b.WriteString("}\n\nfunc main() {\n\tapp := runtime.New(nil, runtime.Config{})\n")
	if generated {
		b.WriteString("\tp0.RegisterTasks(app)\n")
	}
	b.WriteString("\tprintln(len(all), app.Start(nil))\n}\n")
	if err := s.write(filepath.Join("program", "main.go"), b.String()); err != nil {
		return 0, err
	}
	if err := s.command("go", "build", "-o", "program.out", "./program"); err != nil {
		return 0, err
	}
	st, err := os.Stat(filepath.Join(s.dir, "program.out"))
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// compile returns the least processor time of the compiler for the package,
// once its imports are compiled.
func (s *shape) compile(n int) (time.Duration, error) {
	const format = `{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}`
	out, err := goOutput(s.dir, "list", "-mod=mod", "-deps", "-export", "-f", format, "./p0")
	if err != nil {
		return 0, err
	}
	if err := s.write("importcfg", out); err != nil {
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

// goOutput returns the output of a go command in a directory.
func goOutput(dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(context.Background(), "go", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", args[0], err)
	}
	return string(out), nil
}
