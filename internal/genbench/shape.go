package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// shape is a module with a number of packages, each with a number of items, in
// the form for one kind of tool.
type shape struct {
	name            string
	dir             string
	packages, items int
	edits           int
	cpu             time.Duration // of the commands that were run in it
}

// newShape writes the module of a shape, with the input of a tool.
func newShape(dir, name, repo string, in input) (*shape, error) {
	s := &shape{name: name, dir: dir}
	var err error
	if s.packages, s.items, err = parseShape(name); err != nil {
		return nil, fmt.Errorf("the shape %s: %w", name, err)
	}
	if err := s.module(repo, in); err != nil {
		return nil, err
	}
	for k := range s.packages {
		pkg := fmt.Sprintf("p%d", k)
		for file, text := range in.files(pkg, s.items) {
			if err := s.write(filepath.Join(pkg, file), text); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// parseShape reads the name of a shape: items, or packages x items.
func parseShape(name string) (packages, items int, err error) {
	p, i, ok := strings.Cut(name, "x")
	if !ok {
		p, i = "1", p
	}
	if packages, err = strconv.Atoi(p); err == nil {
		items, err = strconv.Atoi(i)
	}
	return packages, items, err
}

// write writes a file of the module.
func (s *shape) write(name, text string) error {
	name = filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(text), 0o666)
}

var repoLines = regexp.MustCompile(`(?m)^(module .*|tool .*)$`)

// module writes go.mod and go.sum: this repository's, with the requirements of
// the tool's users.
func (s *shape) module(repo string, in input) error {
	mod, err := os.ReadFile(filepath.Join(repo, "go.mod"))
	if err != nil {
		return fmt.Errorf("run it in the root of its module: %w", err)
	}
	var sums strings.Builder
	for _, dir := range []string{repo, filepath.Join(repo, peersDir)} {
		sum, err := os.ReadFile(filepath.Join(dir, "go.sum"))
		if err != nil {
			return err
		}
		sums.Write(sum)
	}
	text := "module shape.test\n" + repoLines.ReplaceAllString(string(mod), "") +
		"\nrequire github.com/taskctx/taskctx v0.0.0\n\nreplace github.com/taskctx/taskctx => " + repo + "\n"
	for _, require := range in.requires {
		version, err := peerVersion(repo, require)
		if err != nil {
			return err
		}
		text += fmt.Sprintf("\nrequire %s %s\n", require, version)
	}
	if err := s.write("go.mod", text); err != nil {
		return err
	}
	return s.write("go.sum", sums.String())
}

// edit adds a comment to one file.
func (s *shape) edit() error {
	s.edits++
	return s.append(filepath.Join("p0", "a.go"), fmt.Sprintf("\n// edit %d\n", s.edits))
}

// append adds text to a file of the module.
func (s *shape) append(name, text string) error {
	f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err = f.WriteString(text); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// command runs a program in the module.
func (s *shape) command(name string, args ...string) error { return s.commandIn("", name, args...) }

// commandIn runs a program in a directory of the module.
func (s *shape) commandIn(dir, name string, args ...string) error {
	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.Dir = filepath.Join(s.dir, dir)
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "GOPROXY=off")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState != nil {
		s.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	if err != nil {
		return fmt.Errorf("%s: %w\n%.2000s", filepath.Base(name), err, out)
	}
	return nil
}
