package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// shape is a module with a number of packages, each with a number of items.
type shape struct {
	name            string
	dir             string
	packages, items int
	edits           int
	cpu             time.Duration // of the commands that were run in it
}

// newShape writes the module of a shape.
func newShape(dir, name, repo string) (*shape, error) {
	s := &shape{name: name, dir: dir, packages: 1}
	p, i, ok := strings.Cut(name, "x")
	if !ok {
		p, i = "1", p
	}
	var err error
	if s.packages, err = strconv.Atoi(p); err == nil {
		s.items, err = strconv.Atoi(i)
	}
	if err != nil {
		return nil, fmt.Errorf("the shape %s: %w", name, err)
	}
	if err := s.module(repo); err != nil {
		return nil, err
	}
	for k := range s.packages {
		pkg := fmt.Sprintf("p%d", k)
		if err := os.MkdirAll(filepath.Join(dir, pkg), 0o777); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, pkg, "a.go"), s.source(pkg), 0o666); err != nil {
			return nil, err
		}
	}
	return s, nil
}

var repoLines = regexp.MustCompile(`(?m)^(module .*|tool .*)$`)

func (s *shape) module(repo string) error {
	mod, err := os.ReadFile(filepath.Join(repo, "go.mod"))
	if err != nil {
		return fmt.Errorf("run it in the root of its module: %w", err)
	}
	sum, err := os.ReadFile(filepath.Join(repo, "go.sum"))
	if err != nil {
		return err
	}
	text := "module shape.test\n" + repoLines.ReplaceAllString(string(mod), "") +
		"\nrequire github.com/taskctx/taskctx v0.0.0\n\nreplace github.com/taskctx/taskctx => " + repo + "\n"
	if err := os.MkdirAll(s.dir, 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.dir, "go.mod"), []byte(text), 0o666); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, "go.sum"), sum, 0o666)
}

// source is a package: for each item a task, and the same signature as an
// interface, for the tools that work on those.
func (s *shape) source(pkg string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `package %s

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"time"

	"github.com/taskctx/taskctx/runtime"
)

type Ctx struct {
	*runtime.Context
	DB     *sql.DB
	Client *http.Client `+"`task:\"supply\"`"+`
}

//task:provide worker
func openDB(ctx context.Context) (*sql.DB, func() error, error) {
	db, err := sql.Open("none", "")
	if err != nil {
		return nil, nil, err
	}
	return db, db.Close, nil
}

type Order struct {
	ID    string
	At    time.Time
	Items map[string][]int
}
`, pkg)
	for i := range s.items {
		fmt.Fprintf(&b, `
// Task%[1]d does something with an order.
//
//task:context queue=q%[2]d retries=%[2]d timeout=%[3]ds
func Task%[1]d(ctx *Ctx, id string, cents int64, order Order) (string, error) {
	if cents < 0 {
		return "", fmt.Errorf("task %%s: %%d", id, cents)
	}
	rows, err := ctx.DB.QueryContext(ctx, "SELECT "+id)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	for rows.Next() {
		order.ID += id
	}
	return order.ID, rows.Err()
}

type Iface%[1]d interface {
	Do(ctx context.Context, id string, cents int64, order Order) (string, error)
}
`, i, i%10, i%10+1)
	}
	return b.Bytes()
}

// edit adds a comment to one file.
func (s *shape) edit() error {
	s.edits++
	f, err := os.OpenFile(filepath.Join(s.dir, "p0", "a.go"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err = fmt.Fprintf(f, "\n// edit %d\n", s.edits); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// command runs a program in the module.
func (s *shape) command(name string, args ...string) error { return s.commandIn("", name, args...) }

// commandIn runs a program in a directory of the module.
func (s *shape) commandIn(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = filepath.Join(s.dir, dir)
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "GOPROXY=off")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState != nil {
		s.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	if err != nil {
		return fmt.Errorf("%s: %w\n%.2000s", name, err, out)
	}
	return nil
}
