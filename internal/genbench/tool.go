package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// tool is a program to measure.
type tool struct {
	name    string
	pkg     string // of its command, if it is a peer
	version string
	missing string // why it could not be had
	input   input
	output  string // the file it writes in each package, "" for none
	bin     string // the program of run
	run     func(bin string, s *shape) error
	prepare func(s *shape) error // once, when the shape was written
}

// ours is the tool that all are compared with, and output the file it writes.
const (
	ours   = "taskgen"
	output = "tasks_gen.go"
)

// findTools builds taskgen, the loaders and the wanted peers. Without names all
// are wanted.
func findTools(dir, repo string, names []string) ([]tool, error) {
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o777); err != nil {
		return nil, err
	}
	cache := filepath.Join(dir, "cache")
	os.Setenv("TASKGENCACHE", cache)
	taskgen, loader := filepath.Join(bin, ours), filepath.Join(bin, "pkgload")
	for out, pkg := range map[string]string{taskgen: "./cmd/taskgen", loader: "./internal/genbench/pkgload"} {
		if err := build(repo, out, pkg); err != nil {
			return nil, err
		}
	}
	every := func(bin string, s *shape) error { return s.command(bin, "./...") }
	all := append([]tool{
		{name: ours, bin: taskgen, input: tasks, output: output, run: every},
		{name: "taskgen (files removed)", bin: taskgen, input: tasks, run: func(bin string, s *shape) error {
			if err := s.removeGenerated(); err != nil {
				return err
			}
			return every(bin, s)
		}},
		{name: "taskgen (no cache)", bin: taskgen, input: tasks, run: func(bin string, s *shape) error {
			if err := os.RemoveAll(cache); err != nil {
				return err
			}
			if err := s.removeGenerated(); err != nil {
				return err
			}
			return every(bin, s)
		}},
		{name: "go list -deps -export", bin: "go", input: tasks, run: func(bin string, s *shape) error {
			return s.command(bin, "list", "-deps", "-export", "./...")
		}},
		{name: "packages.Load", bin: loader, input: tasks, run: every},
	}, peers()...)
	var wanted []tool
	for _, t := range all {
		if len(names) > 0 && t.name != ours && !slices.Contains(names, t.name) {
			continue
		}
		if t.pkg != "" {
			buildPeer(&t, bin, repo)
		}
		wanted = append(wanted, t)
	}
	return wanted, nil
}

// removeGenerated removes taskgen's files.
func (s *shape) removeGenerated() error {
	for k := range s.packages {
		err := os.Remove(filepath.Join(s.dir, fmt.Sprintf("p%d", k), output))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
