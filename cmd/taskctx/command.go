package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/uuid"

	"github.com/taskctx/taskctx/runtime"
	"github.com/taskctx/taskctx/runtime/engine"
)

// engineVariable names the environment variable that -engine defaults to.
const engineVariable = "TASKCTX_ENGINE"

// command is one of taskctx's commands.
type command struct {
	name, args, help string
	// flags declares the command's flags and returns what it does with the
	// arguments that remain.
	flags func(f *flag.FlagSet) action
}

// action does what a command is for.
type action func(ctx context.Context, s *session, args []string) error

// session is one call of the program.
type session struct {
	app         *runtime.App
	out, errOut io.Writer
}

// usageError is a call with wrong arguments.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

func commands() []command {
	return []command{
		{"list", "", "list tasks, oldest first", listFlags},
		{"show", "ID...", "show all that is known of tasks", showFlags},
		{"cancel", "ID...", "cancel tasks, waiting or running", cancelFlags},
		{"retry", "ID...", "run failed or cancelled tasks once more", eachFlags("retried", (*runtime.App).Retry)},
		{"delete", "ID...", "forget tasks that do not run", eachFlags("deleted", (*runtime.App).Delete)},
		{"watch", "", "show the queues, live", watchFlags},
	}
}

// run is the program: it returns the exit code.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	top := flag.NewFlagSet("taskctx", flag.ContinueOnError)
	top.SetOutput(errOut)
	top.Usage = func() { printUsage(errOut) }
	url := top.String("engine", os.Getenv(engineVariable), "the engine's URL")
	if err := top.Parse(args); err != nil {
		return exitCode(err)
	}
	name, rest := top.Arg(0), top.Args()
	for _, c := range commands() {
		if c.name == name {
			return report(errOut, c, runCommand(ctx, c, *url, rest[1:], out, errOut))
		}
	}
	if name != "" && name != "help" {
		fmt.Fprintf(errOut, "taskctx: there is no command %q\n\n", name)
	}
	printUsage(errOut)
	if name == "help" {
		return 0
	}
	return 2
}

func runCommand(ctx context.Context, c command, url string, args []string, out, errOut io.Writer) (err error) {
	f := flag.NewFlagSet("taskctx "+c.name, flag.ContinueOnError)
	f.SetOutput(errOut)
	f.StringVar(&url, "engine", url, "the engine's `URL`, by default $"+engineVariable)
	f.Usage = func() {
		fmt.Fprintf(errOut, "usage: taskctx %s [flags] %s\n\n%s\n\n", c.name, c.args, c.help)
		f.PrintDefaults()
	}
	do := c.flags(f)
	if err := f.Parse(args); err != nil {
		return err
	}
	if url == "" {
		return usagef("no engine: set -engine or %s, for example to sqlite:tasks.db", engineVariable)
	}
	if c.args == "" && f.NArg() > 0 {
		return usagef("%s takes no arguments: %s", c.name, strings.Join(f.Args(), " "))
	}
	if c.args != "" && f.NArg() == 0 {
		return usagef("%s needs %s", c.name, c.args)
	}
	e, err := engine.OpenExisting(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	return do(ctx, &session{app: runtime.New(e, runtime.Config{}), out: out, errOut: errOut}, f.Args())
}

// report prints the error of a command and returns the exit code.
func report(errOut io.Writer, c command, err error) int {
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(errOut, "taskctx %s: %v\n", c.name, err)
	}
	return exitCode(err)
}

func exitCode(err error) int {
	var usage *usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		return 2
	}
	return 1
}

func printUsage(w io.Writer) {
	fmt.Fprintf(w, "usage: taskctx -engine URL COMMAND [flags] [arguments]\n\ncommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-14s %s\n", strings.TrimSpace(c.name+" "+c.args), c.help)
	}
	fmt.Fprintf(w, "\nThe engine is one of:\n")
	for _, s := range engine.Schemes() {
		fmt.Fprintf(w, "  %-40s %s\n", s.Example, s.Help)
	}
	fmt.Fprintf(w, "It defaults to $%s. taskctx COMMAND -h shows a command's flags.\n", engineVariable)
}

// parseIDs reads task ids; every mistake is in the error.
func parseIDs(args []string) ([]uuid.UUID, error) {
	ids := make([]uuid.UUID, 0, len(args))
	var bad []string
	for _, a := range args {
		id, err := uuid.Parse(a)
		if err != nil {
			bad = append(bad, a)
			continue
		}
		ids = append(ids, id)
	}
	if len(bad) > 0 {
		return nil, usagef("not a task's id: %s", strings.Join(bad, ", "))
	}
	return ids, nil
}
