package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"taskgen": func() { os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) },
	})
}

var update = flag.Bool("update", false, "write what the command does now into the scripts")

// The scripts use the command as a user types it. Each runs in a module of its
// own, app.test, that requires this one.
func TestScripts(t *testing.T) {
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup:               func(env *testscript.Env) error { return setup(env, repo) },
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exitcode": exitcode},
	})
}

var repoLines = regexp.MustCompile(`(?m)^(module .*|tool .*)$`)

// setup writes go.mod and go.sum, and shares the go command's caches.
func setup(env *testscript.Env, repo string) error {
	mod, err := os.ReadFile(filepath.Join(repo, "go.mod"))
	if err != nil {
		return err
	}
	text := "module app.test\n" + repoLines.ReplaceAllString(string(mod), "") +
		"\ntool github.com/taskctx/taskctx/cmd/taskgen\n" +
		"\nrequire github.com/taskctx/taskctx v0.0.0\n\nreplace github.com/taskctx/taskctx => " + repo + "\n"
	if err := os.WriteFile(filepath.Join(env.WorkDir, "go.mod"), []byte(text), 0o666); err != nil {
		return err
	}
	sum, err := os.ReadFile(filepath.Join(repo, "go.sum"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(env.WorkDir, "go.sum"), sum, 0o666); err != nil {
		return err
	}
	for _, name := range []string{"GOCACHE", "GOMODCACHE"} {
		env.Setenv(name, goEnv[name])
	}
	env.Setenv("REPO", repo)
	env.Setenv("GOPROXY", "off")
	env.Setenv("GOWORK", "off")
	env.Setenv("GOFLAGS", "-mod=readonly")
	env.Setenv("TASKGENCACHE", filepath.Join(env.WorkDir, ".taskgen"))
	// The race detector has every process sleep for a second at its end, for goroutines
	// that go on: the command has waited for its own.
	env.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0"))
	return nil
}

// exitcode runs a command that must end with this exit code:
//
//	exitcode 2 taskgen -colour
func exitcode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode code command [args]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got, err = exit.ExitCode(), nil
	}
	ts.Check(err)
	if got != want {
		ts.Fatalf("exit code %d, not %d", got, want)
	}
}
